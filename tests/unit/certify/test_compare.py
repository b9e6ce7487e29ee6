"""The comparisons over plain numbers."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.certify import (
    ChiSquare,
    chi_square,
    chi_square_bound,
    divergence,
    first_difference,
)

Tokens = st.lists(st.integers(0, 3), max_size=6)


@given(Tokens, Tokens)
def test_everything_before_the_first_difference_is_the_same(a: list[int], b: list[int]) -> None:
    at = first_difference(a, b)
    if at is None:
        assert a == b
    else:
        assert a[:at] == b[:at]
        assert a[at : at + 1] != b[at : at + 1]


def test_chi_square_by_hand() -> None:
    p = np.array([0.5, 0.4, 0.06, 0.04])
    # 25, 20, and 5 together where 3 and 2 are to be expected.
    assert chi_square(Counter({0: 30, 1: 15, 2: 5}), p) == ChiSquare(25 / 25 + 25 / 20, 2)


def test_a_small_rest_is_taken_in_by_the_smallest_bin() -> None:
    p = np.array([0.6, 0.36, 0.04])
    found = chi_square(Counter({0: 30, 1: 16, 2: 4}), p)
    assert found == ChiSquare(pytest.approx(0.0), 1)


def test_too_few_observations_say_nothing() -> None:
    assert chi_square(Counter({0: 3}), np.array([0.5, 0.5])) == ChiSquare(0.0, 0)


def test_what_cannot_come_is_infinitely_wrong() -> None:
    assert chi_square(Counter({1: 1}), np.array([1.0, 0.0])).statistic == math.inf


def test_the_bound_holds_for_right_distributions_and_not_for_wrong_ones() -> None:
    random = np.random.default_rng(0)
    p, wrong = random.dirichlet(np.ones(12)), random.dirichlet(np.ones(12))
    right = [chi_square(Counter(random.choice(12, 400, p=p).tolist()), p) for _ in range(300)]
    total = sum(right, ChiSquare())
    assert total.statistic == pytest.approx(total.degrees, rel=0.1)
    exceed = [found.statistic > chi_square_bound(found.degrees, 0.05) for found in right]
    assert sum(exceed) <= 0.05 * len(right)
    caught = chi_square(Counter(random.choice(12, 400, p=wrong).tolist()), p)
    assert caught.statistic > chi_square_bound(caught.degrees)


def test_divergence_counts_positions_and_compares_means() -> None:
    found = divergence(
        [([1, 2, 3], [1, 5, 3, 4]), ([7], [7])],
        [([-1.0, -1.0, -1.0], [-2.0, -2.0, -2.0, -2.0]), ([-1.0], [-2.0])],
    )
    assert found.different == pytest.approx(2 / 5)
    assert found.logprob_change == pytest.approx(-1.0)
    assert divergence([], []).different == 0.0
