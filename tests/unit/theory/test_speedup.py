from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider import theory
from outrider.errors import UsageError

PASSES = 40_000
"""Of a simulation; its seed is fixed, so it gives the same number each time."""

ERRORS = 5.0
"""Standard errors that a simulation may be off."""

alphas = st.floats(0.0, 1.0)
lengths = st.integers(1, 12)
costs = st.floats(0.0, 2.0)
curves = st.lists(st.floats(0.5, 8.0), min_size=2, max_size=14).map(theory.rows_cost)


def simulate(alpha: list[float], seed: int) -> np.ndarray:
    """Tokens of each pass: drafted ones up to the first rejection, and one more."""
    accepted = np.random.default_rng(seed).random((PASSES, len(alpha))) < alpha
    return 1 + np.cumprod(accepted, axis=1).sum(axis=1)


# ------------------------------------------------------------------------------ tokens a pass


@given(alpha=alphas, length=st.integers(0, 9))
def test_expected_tokens_is_the_mean_over_all_outcomes(alpha: float, length: int) -> None:
    mean = 0.0
    for outcome in product([True, False], repeat=length):
        probability = math.prod(alpha if accepted else 1.0 - alpha for accepted in outcome)
        run = next((i for i, accepted in enumerate(outcome) if not accepted), length)
        mean += probability * (run + 1)

    assert theory.expected_tokens(alpha, length) == pytest.approx(mean)


@given(alpha=st.floats(0.0, 0.999), length=st.integers(0, 40))
def test_expected_tokens_is_the_closed_form(alpha: float, length: int) -> None:
    closed = (1 - alpha ** (length + 1)) / (1 - alpha)

    assert theory.expected_tokens(alpha, length) == pytest.approx(closed)


@pytest.mark.parametrize("alpha", [[0.6] * 5, [0.9, 0.7, 0.5, 0.3], [1.0, 1.0], [0.0, 1.0]])
def test_expected_tokens_is_what_a_simulation_gives(alpha: list[float]) -> None:
    tokens = simulate(alpha, seed=3)

    error = tokens.std() / math.sqrt(PASSES)
    expected = theory.expected_tokens(alpha, len(alpha))
    assert abs(tokens.mean() - expected) <= ERRORS * error + 1e-12


def test_positions_may_be_an_array() -> None:
    alpha = np.asarray([0.9, 0.7, 0.5])

    assert theory.expected_tokens(alpha, 2) == pytest.approx(1 + 0.9 + 0.63)
    assert theory.best_length(alpha, 0.0).length == 3


@given(alpha=alphas, length=lengths)
def test_counters_show_less_than_alpha(alpha: float, length: int) -> None:
    rate = theory.acceptance_rate(alpha, length)

    assert rate <= alpha + 1e-12
    assert theory.acceptance_rate(theory.alpha_of_rate(rate, length), length) == pytest.approx(rate)


def test_acceptance_rate_is_accepted_over_drafted() -> None:
    tokens = simulate([0.8] * 4, seed=5)
    rates = (tokens - 1) / 4

    error = rates.std() / math.sqrt(PASSES)
    assert abs(rates.mean() - theory.acceptance_rate(0.8, 4)) <= ERRORS * error
    assert abs(theory.alpha_of_rate(rates.mean(), 4) - 0.8) < 0.01


# ----------------------------------------------------------------------------------- speed-up

FACTS = {
    0.6: [(4, 1.92), (3, 1.67), (2, 1.31), (1, 1.14)],
    0.7: [(6, 2.35), (4, 1.98), (2, 1.46), (2, 1.22)],
    0.8: [(8, 3.09), (6, 2.47), (3, 1.69), (2, 1.36)],
    0.9: [(13, 4.67), (10, 3.43), (6, 2.09), (4, 1.58)],
}
"""The best K and S for α and c of 0.05, 0.10, 0.25 and 0.40, where rows cost nothing."""


@pytest.mark.parametrize("alpha", FACTS)
def test_the_table_of_best_lengths(alpha: float) -> None:
    best = [theory.best_length(alpha, c) for c in (0.05, 0.10, 0.25, 0.40)]

    assert [(b.length, round(b.speedup, 2)) for b in best] == FACTS[alpha]


def test_speedup_is_what_a_simulated_clock_shows() -> None:
    v = theory.rows_cost({1: 5.0, 4: 6.0, 8: 9.0})
    tokens = simulate([0.7] * 5, seed=7)
    plain_ms = 5.0 * tokens.sum()
    drafted_ms = PASSES * (5 * 1.2 + 7.5)

    error = tokens.std() / tokens.mean() / math.sqrt(PASSES)
    expected = theory.speedup(0.7, 1.2 / 5.0, 5, v)
    assert abs(plain_ms / drafted_ms / expected - 1.0) <= ERRORS * error


@given(alpha=alphas, c=costs, v=curves)
def test_no_length_is_better_than_the_best(alpha: float, c: float, v: theory.RowsCost) -> None:
    best = theory.best_length(alpha, c, v, longest=15)

    every = [theory.speedup(alpha, c, k, v) for k in range(16)]
    assert best.speedup == max(every)
    assert best.length == every.index(max(every))
    assert best.speedup >= 1.0


def test_a_search_that_stops_at_the_first_loss_would_miss_the_best() -> None:
    # A second row costs as much as a block of five.
    v = theory.rows_cost([1.0, 2.0, 2.0, 2.0, 2.0])

    assert theory.speedup(0.9, 0.0, 1, v) < 1.0
    assert theory.best_length(0.9, 0.0, v, longest=4).length == 4
    assert theory.best_length(0.9, 0.0, v, longest=4).speedup > 2.0


def test_what_does_not_pay_is_not_drafted() -> None:
    assert theory.best_length(0.3, 0.3) == theory.BestLength(0, 1.0)
    assert theory.best_length(0.3, 0.29).length == 1
    assert theory.best_length(1.0, 0.0).length == theory.LONGEST


# --------------------------------------------------------------------------------- break-even


@given(c=costs, length=lengths, v=curves)
def test_drafting_pays_above_break_even_only(c: float, length: int, v: theory.RowsCost) -> None:
    alpha = theory.break_even(c, length, v)

    if alpha is None:
        assert theory.speedup(1.0, c, length, v) < 1.0
        return
    if alpha == 0.0:
        assert theory.speedup(0.0, c, length, v) >= 1.0
    else:
        assert theory.speedup(alpha, c, length, v) == pytest.approx(1.0)
        assert theory.speedup(alpha * 0.99, c, length, v) < 1.0
    if alpha < 0.99:
        assert theory.speedup(alpha + 0.01, c, length, v) > 1.0


@given(c=costs, v=curves)
def test_below_the_lowest_break_even_no_length_pays(c: float, v: theory.RowsCost) -> None:
    lowest = theory.lowest_break_even(c, v, longest=12)

    if lowest is None:
        assert theory.best_length(1.0, c, v, longest=12).length == 0
        return
    assert lowest.alpha == theory.break_even(c, lowest.length, v)
    below, above = lowest.alpha - 1e-6, lowest.alpha + 1e-3
    if below >= 0.0:
        assert theory.best_length(below, c, v, longest=12).length == 0
    if above <= 1.0:
        assert theory.best_length(above, c, v, longest=12).length > 0


@given(c=st.floats(0.001, 1.0))
def test_where_rows_cost_nothing_some_length_pays_exactly_above_c(c: float) -> None:
    lowest = theory.lowest_break_even(c)

    assert lowest is not None
    assert lowest.alpha == pytest.approx(c)
    assert lowest.length == 1


def test_a_step_in_the_curve_moves_the_lowest_break_even() -> None:
    v = theory.rows_cost([1.0, 1.5, 1.5, 1.5, 1.5])

    lowest = theory.lowest_break_even(0.0, v, longest=4)

    assert lowest is not None
    assert lowest.length == 4
    assert theory.break_even(0.0, 1, v) == pytest.approx(0.5)
    assert lowest.alpha < 0.35


@given(alpha=alphas, length=lengths, v=curves)
def test_break_even_cost_is_where_the_speedup_is_one(
    alpha: float, length: int, v: theory.RowsCost
) -> None:
    c = theory.break_even_cost(alpha, length, v)

    if c >= 0.0:
        assert theory.speedup(alpha, c, length, v) == pytest.approx(1.0)
    else:
        assert theory.speedup(alpha, 0.0, length, v) < 1.0


# --------------------------------------------------------------------------------- the curve


def test_a_curve_is_linear_between_its_points_and_beyond() -> None:
    v = theory.rows_cost({1: 5.0, 2: 6.0, 4: 7.0})

    assert [v(rows) for rows in (1, 2, 3, 4, 6)] == pytest.approx([1.0, 1.2, 1.3, 1.4, 1.6])
    assert theory.rows_cost([4.0, 6.0, 5.0])(9) == 1.25
    assert theory.rows_cost(np.asarray([2.0, 3.0]))(2) == 1.5
    assert theory.rows_cost(lambda rows: 4.0 + rows)(6) == 2.0


@pytest.mark.parametrize(
    "costs", [[1.0], {2: 1.0, 3: 1.0}, {0: 0.5, 1: 1.0}, [1.0, 0.0], [1.0, math.nan], []]
)
def test_a_curve_without_meaning_is_refused(costs: list[float]) -> None:
    with pytest.raises(UsageError, match=r"cost"):
        theory.rows_cost(costs)


# ------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.expected_tokens(1.1, 2),
        lambda: theory.expected_tokens(math.nan, 2),
        lambda: theory.expected_tokens(-0.1, 0),
        lambda: theory.expected_tokens(0.5, -1),
        lambda: theory.expected_tokens([0.5, 0.5], 3),
        lambda: theory.expected_tokens([0.5, 1.5], 1),
        lambda: theory.acceptance_rate(0.5, 0),
        lambda: theory.alpha_of_rate(1.5, 2),
        lambda: theory.speedup(0.5, -0.1, 2),
        lambda: theory.speedup(0.5, math.inf, 2),
        lambda: theory.best_length(0.5, 0.1, longest=-1),
        lambda: theory.break_even(0.1, 0),
        lambda: theory.break_even(-0.1, 1),
        lambda: theory.break_even_cost(0.5, 0),
    ],
)
def test_values_out_of_range_are_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(UsageError):
        call()
