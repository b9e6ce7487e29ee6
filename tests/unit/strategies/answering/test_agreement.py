from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.strategies.answering.agreement import cohen_kappa, share_interval


def test_kappa_of_a_worked_example() -> None:
    # 20 yes and 15 no together, 5 and 10 apart: p_o = 0.7, p_e = 0.5.
    one = [True] * 25 + [False] * 25
    other = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15

    assert cohen_kappa(one, other) == pytest.approx(0.4)


def test_kappa_at_its_ends() -> None:
    assert cohen_kappa([True, False], [True, False]) == 1
    assert cohen_kappa([True, False], [False, True]) == -1
    assert cohen_kappa([True, False] * 3, [True] * 6) == 0
    assert cohen_kappa([True, True], [True, True]) is None
    assert cohen_kappa([], []) is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_kappa_is_the_same_from_both_sides(pairs: list[tuple[bool, bool]]) -> None:
    one, other = zip(*pairs, strict=True)

    assert cohen_kappa(one, other) == cohen_kappa(other, one)
    kappa = cohen_kappa(one, other)
    assert kappa is None or -1 <= kappa <= 1


def test_the_interval_of_a_share() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert share_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert share_interval(29, 29) == pytest.approx((0.8830, 1.0), abs=5e-5)
    assert share_interval(0, 0) == (0.0, 1.0)
