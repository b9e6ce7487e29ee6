from __future__ import annotations

import pytest

from outrider.lab.contest import PLAIN
from outrider.lab.prediction import Prediction
from outrider.lab.statistics import Interval
from outrider.lab.verdict import Trial, best_of_each, judge
from outrider.plan import Plan


def trial(name: str, predicted: float, measured: Interval | None = None, **about) -> Trial:
    values = {
        "tokens_per_pass": 1.5,
        "acceptance_rate": 0.3,
        "break_even": 0.12,
        "step": 1.2,
        "draft_ms": 0.1,
        "drafting": 0.02,
    }
    prediction = Prediction(speedup=Interval(predicted, 0.9, 1.9, 20), **values | about)
    drafter = name.partition("/")[0]
    return Trial(Plan(name=name, drafter=drafter, controller="cost"), prediction, measured)


def test_a_plan_that_pays_is_used_with_what_to_expect_of_it():
    best = trial("mixed/cost", 1.32, Interval(1.29, 1.22, 1.36, 20))
    verdict = judge([trial("ngram/cost", 1.1, Interval(1.08, 1.01, 1.2, 20)), best])

    assert verdict.plan is best.plan
    assert verdict.trial is best
    assert verdict.text == (
        "Use mixed/cost: expect 1.29× (1.22–1.36) plain decoding. It was predicted 1.32×. "
        "A step takes 1.20 plain ones and brings 1.50 tokens. 30% of drafted tokens are accepted; "
        "it breaks even at 12%."
    )
    assert best.error == pytest.approx(1.32 / 1.29 - 1)


def test_an_interval_that_includes_plain_decoding_is_no_reason_to_speculate():
    best = trial("mixed/cost", 1.1, Interval(1.05, 0.99, 1.12, 20), drafting=0.4)
    verdict = judge([best])

    assert verdict.plan is PLAIN
    assert verdict.trial is best
    assert verdict.text.startswith(
        "Do not speculate here: the best, mixed/cost, was measured 1.05× (0.99–1.12), so it may be "
        "no faster than plain decoding."
    )
    assert "(40% of it is drafting)" in verdict.text


def test_exactly_plain_at_the_low_end_does_not_pay():
    assert judge([trial("mixed", 1.1, Interval(1.1, 1.0, 1.2, 20))]).plan is PLAIN


@pytest.mark.parametrize(
    ("measured", "about", "why"),
    [
        (Interval(0.8, 0.7, 0.9, 20), {}, "slower than plain decoding"),
        (Interval(0.8, 0.7, 0.9, 20), {"break_even": None}, "no acceptance would break even"),
        (
            Interval(1.0, 0.99, 1.01, 20),
            {"break_even": 0.0, "acceptance_rate": 0.0},
            "next to nothing is drafted",
        ),
    ],
)
def test_the_verdict_says_why_not(measured, about, why):
    verdict = judge([trial("ngram/cost", 0.9, measured, **about)])
    assert verdict.plan is PLAIN
    assert why in verdict.text


def test_a_plan_that_surely_pays_goes_before_one_that_may():
    sure = trial("ngram/cost", 1.1, Interval(1.1, 1.05, 1.15, 20))
    may = trial("mixed/cost", 1.4, Interval(1.4, 0.9, 1.8, 20))
    assert judge([may, sure]).plan is sure.plan


def test_both_halves_choose():
    lucky = trial("ngram/cost", 1.1, Interval(1.42, 1.3, 1.5, 20))
    steady = trial("mixed/cost", 1.4, Interval(1.4, 1.3, 1.5, 20))
    assert judge([lucky, steady]).plan is steady.plan


@pytest.mark.parametrize("units", [1, 4])
def test_too_few_prompts_are_no_reason_to_speculate(units):
    verdict = judge([trial("mixed/cost", 1.4, Interval(1.4, 1.3, 1.5, units))])
    assert verdict.plan is PLAIN
    assert f"on {units} of the prompts alone, too few" in verdict.text
    assert "take 10 or more" in verdict.text
    assert not judge([trial("mixed/cost", 1.4, Interval(1.4, 1.3, 1.5, 5))]).plan.plain


def test_without_anything_measured_there_is_no_speculation():
    verdict = judge([trial("mixed/cost", 1.4)])
    assert (verdict.plan, verdict.trial) == (PLAIN, None)
    assert "no drafter to measure" in verdict.text


def test_the_best_plan_of_each_drafter():
    trials = [trial("a/1", 1.1), trial("b/1", 1.2), trial("a/2", 1.3), trial("c/1", 0.9)]
    assert [t.plan.name for t in best_of_each(trials)] == ["a/2", "b/1", "c/1"]
