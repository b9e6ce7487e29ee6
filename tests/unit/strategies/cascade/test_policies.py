from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from strategies.cascade.ladders import ladder, questions

from outrider.errors import UsageError
from outrider.strategies.cascade.costs import stage_costs
from outrider.strategies.cascade.curve import (
    Point,
    for_budget,
    for_early_stops,
    for_preference,
    for_quality,
    play,
    points_of,
    sweep,
    table_of,
    worths,
)
from outrider.strategies.cascade.policies import (
    FAMILIES,
    Always,
    CascadeRouting,
    Everything,
    OptimalStopping,
    Threshold,
    best_answer,
)
from outrider.strategies.cascade.predictor import Outcomes, Predictor
from outrider.strategies.cascade.steering import TrainedPolicy, Wish
from outrider.strategies.cascade.training import train
from outrider.theory.stopping import ScoreTable


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    settings = ladder()
    return train(questions(settings, 1000), settings, stage_costs(settings, {}, {}))


@pytest.fixture(scope="module")
def outcomes(predictor: Predictor) -> tuple[Outcomes, Outcomes]:
    settings = ladder()
    return predictor.training, predictor.outcomes(questions(settings, 400, seed=9), settings)


def table(training: Outcomes) -> ScoreTable:
    return table_of(training, bins=8)


@pytest.mark.parametrize("family", FAMILIES)
def test_worthless_answers_end_at_the_first_stage(
    family: str, outcomes: tuple[Outcomes, Outcomes]
) -> None:
    training, test = outcomes
    known = table(training)
    found = play(FAMILIES[family](known, training, 0.0), known, test)
    first = play(Always(1), known, test)
    assert found.asked.tolist() == first.asked.tolist()
    assert found.correct.tolist() == first.correct.tolist()
    assert found.early == 1.0


@pytest.mark.parametrize("family", ["stopping", "learned"])
def test_priceless_answers_ask_every_stage(
    family: str, outcomes: tuple[Outcomes, Outcomes]
) -> None:
    training, test = outcomes
    known = table(training)
    found = play(FAMILIES[family](known, training, math.inf), known, test)
    best = play(Everything(3), known, test)
    assert found.asked.all()
    assert found.correct.tolist() == best.correct.tolist()
    assert found.early == 0.0


def test_a_very_large_worth_gives_the_answers_of_an_infinite_one(
    outcomes: tuple[Outcomes, Outcomes],
) -> None:
    """It stops only where no answer could be better, so what is given out is the same."""
    training, test = outcomes
    known = table(training)
    found = play(OptimalStopping.fit(known, 1e12), known, test)
    best = play(Everything(3), known, test)
    assert found.correct.tolist() == best.correct.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sweep_trades_cost_for_quality(family: str, outcomes: tuple[Outcomes, Outcomes]) -> None:
    training, test = outcomes
    points = points_of(sweep(family, table(training), training, test, points=9))
    costs = [p.cost for p in points]
    # Routing takes the cheapest member of its set first, so its cost may fall by a little.
    assert all(after > 0.97 * before for before, after in pairwise(costs))
    assert points[-1].quality > points[0].quality + 0.1
    assert points[0].early == 1.0


def test_stopping_is_above_mixing(outcomes: tuple[Outcomes, Outcomes]) -> None:
    training, test = outcomes
    points = points_of(sweep("stopping", table(training), training, test))
    single = sorted(zip(test.costs.mean(axis=0), test.correct.mean(axis=0), strict=True))
    gains = [p.quality - np.interp(p.cost, *zip(*single, strict=True)) for p in points]
    assert max(gains) > 0.05


def test_a_threshold_stops_where_it_is_reached() -> None:
    policy = Threshold(0.7, 3)
    assert policy.next({0: 0.9}) == 1
    assert policy.next({0: 0.9, 1: 0.6}) == 2
    assert policy.next({0: 0.9, 1: 0.6, 2: 0.7}) is None
    assert policy.next({0: 0.9, 1: 0.6, 2: 0.6, 3: 0.1}) is None


def test_an_earlier_answer_is_given_out_where_it_is_better() -> None:
    scores = np.array([[0.5, 0.2, 0.4], [0.5, 0.8, 0.6], [0.5, 0.2, 0.4], [0.5, 0.8, 0.6]])
    known = ScoreTable.fit(scores, (1.0, 2.0), bins=2)
    assert best_answer(known, {0: 0.5, 1: 0.8, 2: 0.4}) == 1
    assert best_answer(known, {0: 0.5, 1: 0.2, 2: 0.4}) == 2


def test_routing_may_skip_a_stage_that_brings_nothing() -> None:
    """The second stage is hopeless where the first fails, and the third is not."""
    hard = [[0.2, 0.1, 0.1, 0.9]] * 20
    easy = [[0.8, 0.9, 0.9, 0.9]] * 20
    known = ScoreTable.fit(np.array(hard + easy), (1.0, 5.0, 10.0), bins=2, prior=0.0)
    policy = CascadeRouting(known, 100.0)
    assert policy.next({0: 0.8}) == 1
    assert policy.next({0: 0.8, 1: 0.9}) is None
    assert policy.next({0: 0.2}) == 3
    assert policy.next({0: 0.2, 3: 0.9}) is None
    stopping = OptimalStopping.fit(known, 100.0)
    assert stopping.next({0: 0.2, 1: 0.1}) == 2
    assert stopping.next({0: 0.2, 1: 0.1, 2: 0.1}) == 3


POINTS = [
    Point(0.0, 1.0, 0.5, 1.0),
    Point(10.0, 2.0, 0.6, 0.8),
    Point(100.0, 5.0, 0.8, 0.4),
    Point(math.inf, 9.0, 0.75, 0.0),
]


def test_wishes_find_their_worth() -> None:
    def worth(**wish: float | str) -> float:
        return Wish(**wish).worth_in(POINTS, "ms")  # type: ignore[arg-type]

    assert worth(budget=4.0) == 10.0
    assert worth(quality=0.6) == 10.0
    assert worth(quality=0.7) == 100.0
    assert worth(early_stop_rate=0.5) == 10.0
    assert worth(worth=7.0) == 7.0
    assert worth(preference="fast") == 100.0
    assert worth(preference="best") == 100.0
    assert worth() == worth(preference="balanced") == 100.0


@pytest.mark.parametrize(
    ("family", "wish", "words"),
    [
        *((family, Wish(budget=100.0), "budget 100") for family in FAMILIES),
        ("stopping", Wish(quality=0.6), "quality 0.6"),
        ("stopping", Wish(early_stop_rate=0.7), "early stop rate 0.7"),
        ("stopping", Wish(worth=500.0), "λ 500"),
        ("stopping", Wish(preference="fast"), "preference fast"),
        ("stopping", Wish(), ""),
    ],
)
def test_a_wish_that_training_met_nearly_holds_on_others(
    family: str, wish: Wish, words: str, predictor: Predictor, outcomes: tuple[Outcomes, Outcomes]
) -> None:
    training, test = outcomes
    policy = TrainedPolicy(predictor, family, wish)
    assert wish.words == words
    was, now = (
        points_of([(policy.worth, play(policy.at(policy.worth), table(training), known))])[0]
        for known in (training, test)
    )
    assert wish.budget is None or was.cost <= wish.budget
    assert wish.quality is None or was.quality >= wish.quality
    assert wish.early_stop_rate is None or was.early >= wish.early_stop_rate
    assert wish.worth is None or was.worth == wish.worth
    assert now.cost == pytest.approx(was.cost, rel=0.25)
    assert now.quality == pytest.approx(was.quality, abs=0.12)


def test_preferences_ascend_in_cost(predictor: Predictor) -> None:
    policy = TrainedPolicy(predictor)
    fast, balanced, best = (
        TrainedPolicy(predictor, wish=Wish(preference=word)).expected
        for word in ("fast", "balanced", "best")
    )
    assert fast.cost < balanced.cost <= best.cost
    assert policy.worth_for("fast") == fast.worth
    assert policy.worth_for(None) == policy.worth == balanced.worth


def test_wishes_that_cannot_be_met() -> None:
    with pytest.raises(UsageError, match="the cheapest policy costs 1 ms"):
        for_budget(POINTS, 0.5, "ms")
    with pytest.raises(UsageError, match=r"the best of this cascade is 80\.0%"):
        for_quality(POINTS, 0.9)
    with pytest.raises(UsageError, match="at most 80%"):
        for_early_stops(POINTS[1:], 0.9)
    with pytest.raises(UsageError, match="did you mean 'fast'"):
        for_preference(POINTS, "faster")
    with pytest.raises(UsageError, match="Give one of budget and quality"):
        Wish(budget=1.0, quality=0.5)
    with pytest.raises(UsageError, match="share from 0 to 1"):
        Wish(quality=60.0)


def test_worths_reach_from_nothing_to_everything() -> None:
    known = ScoreTable.fit(np.full((4, 3), 0.5), (2.0, 30.0))
    swept = worths(known, 5)
    assert swept[0] == 0.0
    assert swept[1] == pytest.approx(0.2)
    assert swept[-2] == pytest.approx(32_000.0)
    assert swept[-1] == math.inf
    with pytest.raises(UsageError, match="policy"):
        sweep("stoping", known, None, None)  # type: ignore[arg-type]
