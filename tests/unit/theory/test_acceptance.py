from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from outrider import theory
from outrider.errors import SamplingError, UsageError
from outrider.sampling import StreamId, gumbel, hash_noise

Row = NDArray[np.float64]
DRAWS = 8_000
ERRORS = 5.0
"""Standard errors that a simulation may be off; its seed is fixed."""


def distributions(size: int = 5) -> st.SearchStrategy[Row]:
    """Over a small vocabulary, tokens without probability among them."""
    weights = st.lists(st.sampled_from([0, 0, 1, 2, 3, 7, 40]), min_size=size, max_size=size)
    return weights.filter(any).map(lambda w: np.asarray(w, np.float64) / sum(w))


PAIRS = [
    ([0.5, 0.3, 0.2], [0.2, 0.2, 0.6]),
    ([0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]),
    ([0.0, 0.5, 0.5], [0.5, 0.5, 0.0]),
    ([0.7, 0.3], [0.0, 1.0]),
]


def share(hits: Row | NDArray[np.bool_]) -> tuple[float, float]:
    """How often, and the standard error of that."""
    mean = float(np.mean(hits))
    return mean, math.sqrt(mean * (1 - mean) / len(hits))


@given(p=distributions(), q=distributions())
def test_rejection_accepts_one_minus_the_total_variation(p: Row, q: Row) -> None:
    # The rule: a token x drawn from q is accepted with probability min(1, p(x) / q(x)).
    by_rule = sum(q[x] * min(1.0, p[x] / q[x]) for x in range(len(q)) if q[x] > 0)

    assert theory.rejection_acceptance(p, q) == pytest.approx(by_rule)
    assert theory.rejection_acceptance(p, q) == pytest.approx(1 - theory.total_variation(p, q))


@given(p=distributions(), q=distributions())
def test_the_fast_sum_of_coupling_is_the_double_sum(p: Row, q: Row) -> None:
    both = [i for i in range(len(p)) if p[i] > 0 and q[i] > 0]
    double = sum(1 / sum(max(p[j] / p[i], q[j] / q[i]) for j in range(len(p))) for i in both)

    assert theory.coupled_acceptance(p, q) == pytest.approx(double)


@given(p=distributions(), q=distributions())
def test_coupling_lies_between_its_bound_and_rejection(p: Row, q: Row) -> None:
    coupled = theory.coupled_acceptance(p, q)

    assert theory.coupled_bound(p, q) <= coupled + 1e-12
    assert theory.independent_acceptance(p, q) <= coupled + 1e-12
    assert coupled <= theory.rejection_acceptance(p, q) + 1e-12
    assert coupled == pytest.approx(theory.coupled_acceptance(q, p))
    assert theory.coupled_acceptance(p, p) == pytest.approx(1.0)


@given(p=distributions(), token=st.integers(0, 4))
def test_a_draft_without_probabilities_loses_nothing_by_coupling(p: Row, token: int) -> None:
    point = np.eye(5)[token]

    assert theory.coupled_acceptance(p, point) == pytest.approx(p[token])
    assert theory.rejection_acceptance(p, point) == pytest.approx(p[token])
    assert theory.independent_acceptance(p, point) == pytest.approx(p[token])
    assert theory.greedy_acceptance(p, point) == p[token]


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_coupling_is_what_the_samplers_noise_gives(p: list[float], q: list[float]) -> None:
    tokens = np.arange(len(p))
    with np.errstate(divide="ignore"):
        target, draft = np.log(p), np.log(q)
    noise = np.stack(
        [gumbel(hash_noise(11, 0, StreamId.TARGET, at, tokens)) for at in range(DRAWS)]
    )
    hits = (target + noise).argmax(axis=1) == (draft + noise).argmax(axis=1)

    mean, error = share(hits)
    assert abs(mean - theory.coupled_acceptance(p, q)) <= ERRORS * error


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_independent_samples_meet_as_often_as_computed(p: list[float], q: list[float]) -> None:
    random = np.random.default_rng(2)
    hits = random.choice(len(p), DRAWS, p=p) == random.choice(len(q), DRAWS, p=q)

    mean, error = share(hits)
    assert abs(mean - theory.independent_acceptance(p, q)) <= ERRORS * error


# ------------------------------------------------------------------------- several candidates


def enumerate_candidates(p: Row, q: Row, children: int) -> Row:
    """The probability that the b-th candidate is accepted, over all sequences of candidates."""
    accepted = np.zeros(children)
    for candidates in product(range(len(q)), repeat=children):
        alive, left = float(np.prod(q[list(candidates)])), p
        for b, x in enumerate(candidates):
            if alive == 0.0:
                break
            accept = min(1.0, left[x] / q[x])
            accepted[b] += alive * accept
            alive *= 1.0 - accept
            rest = np.maximum(left - q, 0.0)
            left = rest / rest.sum() if rest.sum() > 0 else left
    return accepted


@given(p=distributions(4), q=distributions(4), children=st.integers(0, 4))
def test_recursive_acceptance_is_that_of_the_rule(p: Row, q: Row, children: int) -> None:
    accepted = theory.recursive_acceptance(p, q, children)

    assert accepted == pytest.approx(enumerate_candidates(p, q, children), abs=1e-12)
    assert accepted.sum() <= 1.0 + 1e-12
    if children:
        assert accepted[0] == pytest.approx(theory.rejection_acceptance(p, q))


# -------------------------------------------------------------------------------- temperature


def test_acceptance_is_not_monotone_in_temperature() -> None:
    target, draft = [2.0, 1.5, 0.0, -1.0], [2.0, -1.0, 1.8, -1.0]

    curves = theory.acceptance_by_temperature(target, draft, [0.0, 0.5, 1.0, 100.0])

    for curve in (curves.rejection, curves.coupled):
        assert curve[0] == 1.0
        assert curve[1] < curve[0]
        assert curve[3] > 0.98
    # A greedy draft only loses.
    assert (np.diff(curves.greedy) < 0).all()
    assert curves.greedy[3] == pytest.approx(0.25, abs=0.01)
    assert curves.independent[3] == pytest.approx(0.25, abs=0.01)
    assert curves.temperatures.tolist() == [0.0, 0.5, 1.0, 100.0]


@given(
    logits=st.lists(st.integers(-16, 16), min_size=12, max_size=12),
    temperature=st.floats(0.1, 5.0),
)
def test_curves_are_those_of_the_softmax(logits: list[int], temperature: float) -> None:
    rows = np.asarray(logits).reshape(2, 6) / 4
    weights = np.exp(rows / temperature)
    p, q = weights / weights.sum(axis=1, keepdims=True)

    curves = theory.acceptance_by_temperature(rows[0], rows[1], [temperature])

    assert curves.rejection[0] == pytest.approx(theory.rejection_acceptance(p, q))
    assert curves.coupled[0] == pytest.approx(theory.coupled_acceptance(p, q))
    assert curves.independent[0] == pytest.approx(theory.independent_acceptance(p, q))
    assert curves.greedy[0] == pytest.approx(p[rows[1].argmax()])


def test_where_the_argmaxes_differ_nothing_is_accepted_at_zero() -> None:
    curves = theory.acceptance_by_temperature([1.0, 0.0], [0.0, 1.0], [0.0])

    assert (curves.rejection[0], curves.coupled[0], curves.greedy[0]) == (0.0, 0.0, 0.0)


# ------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([0.5, 0.5], [1.0]),
        ([[0.5, 0.5]], [[0.5, 0.5]]),
        ([0.5, 0.4], [0.5, 0.5]),
        ([0.5, 0.5], [1.5, -0.5]),
        ([0.5, math.nan], [0.5, 0.5]),
    ],
)
def test_what_is_no_distribution_is_refused(p: list[float], q: list[float]) -> None:
    for function in (
        theory.total_variation,
        theory.rejection_acceptance,
        theory.coupled_acceptance,
        theory.coupled_bound,
        theory.independent_acceptance,
        theory.greedy_acceptance,
    ):
        with pytest.raises(UsageError):
            function(p, q)


def test_other_values_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="children"):
        theory.recursive_acceptance([1.0], [1.0], -1)
    with pytest.raises(UsageError, match="temperature"):
        theory.acceptance_by_temperature([1.0], [1.0], [-1.0])
    with pytest.raises(SamplingError):
        theory.acceptance_by_temperature([math.nan, 0.0], [1.0, 0.0], [1.0])
