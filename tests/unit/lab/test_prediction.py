"""Predictions against simulations whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.chains import Curve, chain

from outrider.lab.prediction import (
    PassCosts,
    Ride,
    break_even,
    fit_passes,
    foreseen,
    predict,
)
from outrider.lab.statistics import Times
from outrider.theory import speedup


def flat(rows: int) -> float:
    return 4.0


def steep(rows: int) -> float:
    return 3.0 + 0.5 * rows


EXACT = PassCosts(Curve(steep), (1,), (1.0,))


# ----------------------------------------------------------------------------- what passes take


def test_passes_correct_the_curve_at_their_sizes_and_next_to_them():
    random = np.random.default_rng(1)
    truth = {1: 0.8, 4: 1.1, 9: 1.4}
    passes = [
        (rows, 200.0, truth[rows] * steep(rows) * random.uniform(0.95, 1.05))
        for rows in random.choice(list(truth), size=3000)
    ]
    costs = fit_passes(Curve(steep), passes)

    for rows, factor in truth.items():
        assert costs.ms(rows, 200) == pytest.approx(factor * steep(rows), rel=0.02)
    assert costs.ms(16, 200) == pytest.approx(truth[9] * steep(16), rel=0.02)
    assert costs.ms(1, 200) < costs.ms(2, 200) < costs.ms(4, 200)


def test_what_the_curve_says_of_the_history_stays():
    curve = Curve(steep, attention=2.0)
    passes = [
        (rows, context, 1.5 * curve.ms([(context, rows)]))
        for rows in (1, 3, 5)
        for context in (100, 900)
        for _ in range(50)
    ]
    costs = fit_passes(curve, passes)
    for rows, context, ms in passes:
        assert costs.ms(rows, context) == pytest.approx(ms)


def test_a_few_slow_passes_change_nothing():
    usual = [(1, 0.0, 3.5), (2, 0.0, 4.0)] * 50
    slow = [(1, 0.0, 60.0)] * 4
    curve = Curve(steep)
    assert fit_passes(curve, usual + slow).ms(1, 0) == pytest.approx(
        fit_passes(curve, usual).ms(1, 0)
    )


def test_a_size_seen_once_follows_the_others():
    passes = [(1, 0.0, 3.5)] * 200 + [(6, 0.0, 3 * steep(6))]
    assert fit_passes(Curve(steep), passes).ms(6, 0) < 1.5 * steep(6)


@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0.5, 50.0)), min_size=1, max_size=60))
def test_more_rows_never_cost_less(passes):
    costs = fit_passes(Curve(steep), [(rows, 0.0, ms) for rows, ms in passes])
    ms = [costs.ms(rows, 0) for rows in costs.sizes]
    assert all(a <= b * (1 + 1e-9) for a, b in pairwise(ms))
    assert min(ms) > 0


def test_without_passes_the_curve_stands():
    assert fit_passes(Curve(steep), []).ms(7, 0) == steep(7)


# ---------------------------------------------------------------------------------- speed-ups


def answers(seed: int, alphas, length: int, **costs: float) -> tuple[list[Ride], list[Ride]]:
    """Plain decoding and chains of one length, an answer for each acceptance."""
    random = np.random.default_rng(seed)
    rides = [chain(random, alpha, length, 400, **costs) for alpha in alphas]
    plain = [
        replace(chain(random, 0.0, 0, 1), tokens=r.tokens, passes={1: r.tokens}) for r in rides
    ]
    return plain, rides


@pytest.mark.parametrize(("alpha", "length"), [(0.8, 4), (0.5, 2), (0.2, 6)])
def test_a_prediction_is_what_theory_says_and_what_others_do(alpha, length):
    draft_ms = 0.3
    found = predict(*answers(1, [alpha] * 40, length, draft_ms=draft_ms), EXACT, others=40)
    others = predict(*answers(2, [alpha] * 40, length, draft_ms=draft_ms), EXACT, others=40)

    truth = speedup(alpha, draft_ms / steep(1), length, lambda rows: steep(rows) / steep(1))
    assert found.speedup.value == pytest.approx(truth, rel=0.02)
    assert found.speedup.low < others.speedup.value < found.speedup.high
    assert found.draft_ms == pytest.approx(length * draft_ms)
    assert found.drafting == pytest.approx(
        length * draft_ms / (steep(length + 1) + length * draft_ms)
    )


def test_prompts_that_differ_widen_the_interval():
    alike = predict(*answers(1, [0.5] * 20, 4), EXACT, others=20).speedup
    mixed = predict(*answers(1, [0.1, 0.9] * 10, 4), EXACT, others=20).speedup
    assert mixed.high - mixed.low > 3 * (alike.high - alike.low)


def test_the_interval_holds_what_is_measured_on_others():
    random = np.random.default_rng(5)

    def sample() -> tuple[Times, Times]:
        _, rides = answers(int(random.integers(1 << 30)), random.uniform(0.1, 0.9, 16), 3)
        tokens = np.array([ride.tokens for ride in rides])
        return (
            Times(tokens * steep(1), tokens),
            Times(np.array([EXACT.pass_ms(ride) for ride in rides]), tokens),
        )

    held = 0
    for _ in range(60):
        interval = foreseen(*sample(), others=16)
        plain, plan = sample()
        held += interval.low <= plan.per_second / plain.per_second <= interval.high
    assert held >= 51  # of 57 that are expected


def test_fewer_others_widen_the_interval():
    plain, rides = answers(1, np.linspace(0.1, 0.9, 20), 4)
    many, few = (predict(plain, rides, EXACT, others=n).speedup for n in (100, 4))
    assert few.value == many.value
    assert few.low < many.low < many.high < few.high


def test_one_prompt_has_no_interval_and_none_no_prediction():
    plain, rides = answers(1, [0.5], 4)
    assert predict(plain, rides, EXACT, others=5).speedup.low is None
    silent = [replace(ride, tokens=0) for ride in rides]
    assert predict(plain, silent, EXACT, others=5) is None


@given(rate=st.floats(0.01, 0.999), drafted=st.floats(0.1, 16.0))
def test_at_break_even_drafts_bring_what_they_cost(rate, drafted):
    step = 1.0 + rate * drafted
    assert break_even(step, drafted) == pytest.approx(rate)
    assert break_even(1.0 + 1.01 * drafted, drafted) is None
    assert break_even(0.9, drafted) == break_even(step, 0.0) == 0.0


def test_break_even_of_a_prediction_parts_gain_from_loss():
    for alpha in (0.05, 0.15, 0.3, 0.6):
        found = predict(*answers(3, [alpha] * 30, 3, draft_ms=0.4), EXACT, others=30)
        assert (found.speedup.value > 1.0) == (found.acceptance_rate > found.break_even)
