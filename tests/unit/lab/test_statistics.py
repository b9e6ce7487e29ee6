"""Speed-ups with their intervals, and answers that loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from outrider.lab.statistics import (
    FALSE_ALARMS,
    Interval,
    Times,
    chosen_on_others,
    holm,
    looping,
    mean_interval,
    ratio_of_totals,
    sign_flip,
    speedup,
)

units = st.lists(
    st.tuples(st.floats(1.0, 1e4), st.floats(1.0, 1e4), st.integers(1, 200)),
    min_size=2,
    max_size=20,
)


def times(ms, tokens) -> Times:
    return Times(np.array(ms, np.float64), np.array(tokens, np.float64))


@given(units, st.integers(0, 5))
def test_a_speedup_lies_between_those_of_the_units(found, seed: int) -> None:
    plain_ms, plan_ms, tokens = zip(*found, strict=True)
    said = speedup(times(plain_ms, tokens), times(plan_ms, tokens), rounds=200, seed=seed)

    assert said is not None
    assert said.value == pytest.approx(sum(plain_ms) / sum(plan_ms))
    ratios = [a / b for a, b in zip(plain_ms, plan_ms, strict=True)]
    low, high = min(ratios) * (1 - 1e-9), max(ratios) * (1 + 1e-9)
    assert said.low is not None
    assert said.high is not None
    assert low <= said.low <= said.high <= high


@given(units, st.floats(0.2, 5.0))
def test_what_all_units_gain_alike_has_no_interval(found, factor: float) -> None:
    plain_ms, _, tokens = zip(*found, strict=True)
    plan_ms = [ms / factor for ms in plain_ms]
    said = speedup(times(plain_ms, tokens), times(plan_ms, tokens), rounds=200)

    assert said is not None
    assert (said.low, said.value, said.high) == pytest.approx((factor, factor, factor))


def test_the_interval_covers_the_truth() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        plain = random.gamma(4.0, 100.0, 40)
        plan = plain / 1.5 * random.lognormal(-0.02, 0.2, 40)
        ones = np.ones(40)
        said = speedup(Times(plain, ones), Times(plan, ones), rounds=500, seed=seed)
        assert said is not None
        assert said.low is not None
        assert said.high is not None
        hits += said.low <= 1.5 <= said.high
    assert 175 <= hits <= 199


def test_other_numbers_of_tokens_are_weighed() -> None:
    # 10 ms a token against 5, whatever was said.
    said = speedup(times([100.0], [10]), times([25.0], [5]))
    assert said == Interval(2.0)


def test_units_without_tokens_do_not_count() -> None:
    plain, plan = times([0.0, 100.0], [0, 10]), times([50.0, 50.0], [5, 10])
    assert speedup(plain, plan) == Interval(2.0)
    assert speedup(plain.pick([0]), plan.pick([0])) is None


def test_a_units_time_is_the_median_of_its_repeats() -> None:
    found = Times.of([[(10.0, 10), (90.0, 10), (20.0, 10)], [(0.0, 0)], [(30.0, 10), (10.0, 20)]])
    assert found.ms.tolist() == pytest.approx([20.0, 0.0, 26.25])
    assert found.tokens.tolist() == [10.0, 0.0, 15.0]
    assert found.per_second == pytest.approx(25.0 / 46.25 * 1000)
    assert times([], []).per_second == 0.0


def test_looping_answers() -> None:
    verse = list(range(8))
    assert looping(verse * 3)
    assert not looping(verse * 2)
    assert not looping([])
    assert looping([5] * 10)
    assert not looping([5] * 9)


@given(st.lists(st.integers(0, 3), max_size=40), st.lists(st.integers(), max_size=8))
def test_looping_needs_three_of_the_same_eight(tokens: list[int], before: list[int]) -> None:
    spans = [tuple(tokens[i : i + 8]) for i in range(len(tokens) - 7)]
    assert looping(tokens) == any(spans.count(span) >= 3 for span in spans)
    if looping(tokens):
        assert looping(before + tokens)


def test_totals_are_means_as_they_are() -> None:
    found = Times.total([[(10.0, 4), (30.0, 6)], [(5.0, 1)]])
    assert found.ms.tolist() == [20.0, 5.0]
    assert found.tokens.tolist() == [5.0, 1.0]


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=12))
def test_the_interval_of_a_mean_holds_it(values: list[float]) -> None:
    found = mean_interval(values, rounds=200)
    assert found.value == pytest.approx(np.mean(values))
    assert found.units == len(values)
    if found.low is None or found.high is None:
        assert min(values) == max(values)
        return
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_more_units_make_the_interval_of_a_mean_narrower() -> None:
    few, many = mean_interval([0.0, 1.0] * 5), mean_interval([0.0, 1.0] * 80)
    assert few.low is not None
    assert many.low is not None
    assert few.low < many.low < 0.5
    assert many.low == pytest.approx(0.5 - 1.96 * 0.5 / 160**0.5, abs=0.01)


@given(units)
def test_a_ratio_of_totals_lies_between_those_of_the_units(found) -> None:
    over, under, _ = zip(*found, strict=True)
    said = ratio_of_totals(over, under, rounds=200)

    each = [a / b for a, b in zip(over, under, strict=True)]
    assert said.value == pytest.approx(sum(over) / sum(under))
    assert said.low is not None
    assert said.high is not None
    assert min(each) * (1 - 1e-9) <= said.low <= said.high <= max(each) * (1 + 1e-9)
    assert said.units == len(found)


def test_a_ratio_of_one_unit_has_no_interval() -> None:
    assert ratio_of_totals([3.0], [2.0]) == Interval(1.5)


def test_the_sign_flip_test_is_exact_for_few_pairs() -> None:
    assert sign_flip(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert sign_flip(np.array([1.0, -1.0])) == 1.0
    assert sign_flip(np.ones(13)) == 2 / 2**13
    assert sign_flip(np.zeros(4)) == 1.0


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=10))
def test_its_p_does_not_depend_on_direction_or_scale(values: list[float]) -> None:
    rounded = np.round(values, 3)
    assert sign_flip(rounded) == sign_flip(-rounded) == sign_flip(4 * rounded)


def test_many_pairs_are_drawn_from() -> None:
    noise = np.random.default_rng(0).normal(0.0, 1.0, 30)

    assert sign_flip(noise + 5.0) < 1e-4
    assert sign_flip(noise - noise.mean()) > 0.9


def test_the_level_is_shared_out() -> None:
    assert holm([0.02, FALSE_ALARMS / 3 / 2, 0.9]) == [True, True, False]
    # What stops at the first that does not: the second is not looked at.
    assert holm([0.02, 0.02, 0.9]) == [False] * 3
    assert holm([]) == []


@given(units, st.data())
def test_what_is_chosen_for_a_unit_was_the_fastest_on_the_others(found, data) -> None:
    first, second, tokens = zip(*found, strict=True)
    plans = [times(first, tokens), times(second, tokens)]
    unit = data.draw(st.integers(0, len(tokens) - 1))

    chosen = chosen_on_others(plans)

    others = [i for i in range(len(tokens)) if i != unit]
    totals = [sum(each[i] for i in others) for each in (first, second)]
    assume(abs(totals[0] - totals[1]) > 1e-6 * totals[0])
    assert chosen.ms[unit] == (first, second)[totals[1] < totals[0]][unit]
    assert chosen.tokens[unit] == tokens[unit]


def test_choosing_on_others_takes_the_luck_out_of_the_best_of_many() -> None:
    chance = np.random.default_rng(0)
    best, chosen = [], []
    for _ in range(200):
        plain, *plans = (times(chance.lognormal(0.0, 0.1, 13), [32] * 13) for _ in range(11))
        best.append(max(p.per_second for p in plans) / plain.per_second)
        chosen.append(chosen_on_others(plans).per_second / plain.per_second)

    # Ten plans that are as fast as plain: the best of them looks 5% faster.
    assert np.mean(best) > 1.03
    assert abs(np.mean(chosen) - 1.0) < 0.01


def test_a_single_unit_has_no_others_to_choose_on() -> None:
    assert chosen_on_others([times([3.0], [2]), times([1.0], [2])]).ms.tolist() == [3.0]
