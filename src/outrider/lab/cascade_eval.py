"""What a cascade brings on questions that nothing was fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outrider.lab.cascade_figures import (
    Cell,
    Curve,
    CurvePoint,
    Evaluation,
    PredictorRow,
    StageRow,
    Wished,
)
from outrider.lab.frontier import (
    Hull,
    draws,
    gain_over_mixing,
    gap_recovered,
    interval,
    mean_interval,
)
from outrider.lab.statistics import Interval
from outrider.strategies.cascade.answers import Question
from outrider.strategies.cascade.curve import (
    GAINS,
    Played,
    for_preference,
    play,
    points_of,
    sweep,
    table_of,
    worths,
)
from outrider.strategies.cascade.metrics import quality, reliability
from outrider.strategies.cascade.policies import FAMILIES, Everything, Threshold
from outrider.strategies.cascade.predictor import COMPLEXITIES, Outcomes, Predictor, identity
from outrider.strategies.cascade.settings import CascadeSettings
from outrider.strategies.cascade.steering import TrainedPolicy, Wish
from outrider.theory.stopping import ScoreTable

Array = NDArray[np.float64]

THRESHOLDS: Final = np.linspace(0.0, 1.0, 41)
GRID: Final = 9
"""Values of λ in the grid by complexity, at most."""


def evaluate(
    settings: CascadeSettings,
    predictor: Predictor,
    questions: Sequence[Question],
    *,
    family: str = "stopping",
    sizes: Mapping[str, int] | None = None,
    partial: Sequence[Question] = (),
    wish: Wish | None = None,
) -> Evaluation:
    """Play every policy over the questions that the predictor was not trained on.

    Args:
        settings: of the cascade.
        predictor: trained for it.
        questions: collected; those of the training are left out.
        family: the policy that grid and preferences are shown for.
        sizes: bytes of each stage's model.
        partial: questions that the first few stages have answered, if there are more of them; the
            predictor of these stages is judged by them.
        wish: for which training finds a λ, that is shown too.

    Raises:
        UsageError: the predictor does not fit the stages or the answers, nothing is left, or the
            wish cannot be met.
    """
    predictor.check(settings)
    unseen = predictor.unseen(questions)
    test = predictor.outcomes(unseen, settings)
    training, count = predictor.training, len(unseen)
    table = table_of(training, predictor.bins)
    distinct, groups = np.unique([identity(q) for q in unseen], return_inverse=True)
    weights = draws(groups)
    stages = _stage_rows(settings, predictor, unseen, test, weights, sizes or {})
    every = play(Everything(table.stages), table, test)
    low, high = float(test.costs[:, 0].mean()), float(every.cost.mean())
    singles = test.costs, test.correct.astype(np.float64)

    mixing = Areas.of(*singles, weights, low, high)
    played = {name: _sweep(name, table, training, test) for name in (*FAMILIES, "threshold")}
    areas = {name: Areas.of(*_stacked(swept), weights, low, high) for name, swept in played.items()}
    curves: list[Curve] = []
    for name, swept in played.items():
        chosen = _furthest(_sweep(name, table, training, training), training)
        at = dict(swept)[chosen]
        curves.append(
            Curve(
                name,
                tuple(_point(setting, p, weights) for setting, p in swept),
                areas[name].interval,
                _recovered(swept, test),
                chosen,
                gain_over_mixing(at.cost, at.correct.astype(np.float64), *singles, weights),
                areas[name].over(mixing),
                areas[name].over(areas["threshold"]),
            )
        )
    points = points_of(sweep(family, table, training, training))
    by_worth = dict(played[family])
    complexity = np.array([predictor.complexity(s) for s in test.scores[:, 0]])
    shown = telling([(worth, by_worth[worth].asked) for worth in worths(table)], GRID)
    ms = _ms(predictor, unseen)
    return Evaluation(
        unit=settings.cost.unit,
        regressor=predictor.kind,
        tasks={t: sum(q.task == t for q in unseen) for t in dict.fromkeys(q.task for q in unseen)},
        questions=count,
        distinct=len(distinct),
        trained=len(training),
        stages=stages,
        predictors=_predictor_rows(predictor, settings, predictor.unseen(partial or questions)),
        everything=_point(float("inf"), every, weights),
        oracle=_point(float("nan"), _oracle(test), weights),
        mixing_aiq=mixing.interval,
        curves=tuple(curves),
        steered=family,
        preferences={
            name: _point(worth, by_worth[worth], weights)
            for name in GAINS
            for worth in [for_preference(points, name).worth]
        },
        grid={
            worth: {
                name: _cell(by_worth[worth], (complexity == name) | (name == "all"), ms)
                for name in (*COMPLEXITIES, "all")
            }
            for worth in shown
        },
        levels=_levels(unseen, settings),
        wished=_wished(wish, family, predictor, table, test, weights),
    )


def _wished(
    wish: Wish | None,
    family: str,
    predictor: Predictor,
    table: ScoreTable,
    test: Outcomes,
    weights: Array,
) -> Wished | None:
    """What training finds for a wish, and what it brings here; None without one."""
    if wish is None or not wish.words:
        return None
    policy, training = TrainedPolicy(predictor, family, wish), predictor.training
    rule = policy.at(policy.worth)
    (trained,) = points_of([(policy.worth, play(rule, table, training))])
    return Wished(wish.words, trained, _point(policy.worth, play(rule, table, test), weights))


def telling(swept: Sequence[tuple[float, NDArray[np.bool_]]], count: int) -> list[float]:
    """Some λ of a sweep, its ends among them: evenly of those at which other stages are asked.

    Args:
        swept: each λ with the stages asked, bool[questions, stages].
        count: of λ, at most and at least 2.
    """
    changes = [
        worth
        for place, (worth, asked) in enumerate(swept)
        if not place or not np.array_equal(asked, swept[place - 1][1])
    ]
    if changes[-1] != swept[-1][0]:
        changes.append(swept[-1][0])
    places = np.linspace(0, len(changes) - 1, min(count, len(changes))).astype(int)
    return [changes[place] for place in places]


def _sweep(
    name: str, table: ScoreTable, training: Outcomes, outcomes: Outcomes
) -> list[tuple[float, Played]]:
    if name == "threshold":
        return [
            (float(t), play(Threshold(float(t), table.stages), table, outcomes)) for t in THRESHOLDS
        ]
    return sweep(name, table, training, outcomes)


def _furthest(swept: Sequence[tuple[float, Played]], outcomes: Outcomes) -> float:
    """The setting that is furthest above the mixtures of single stages."""
    hull = Hull.of(outcomes.costs.mean(axis=0), outcomes.correct.mean(axis=0))
    above = [(float(p.correct.mean() - hull.at(p.cost.mean())), s) for s, p in swept]
    return max(above, key=lambda pair: pair[0])[1]


def _point(setting: float, played: Played, weights: Array) -> CurvePoint:
    cost = float(played.cost.mean())
    return CurvePoint(setting, cost, mean_interval(played.correct, weights), played.early)


def _oracle(outcomes: Outcomes) -> Played:
    """Who knows the grades asks the cheapest right stage, and the cheapest where none is right."""
    count, stages = outcomes.correct.shape
    price = np.where(outcomes.correct, outcomes.costs, np.inf)
    none = ~outcomes.correct.any(axis=1)
    price[none] = outcomes.costs[none]
    chosen = np.argmin(price, axis=1)
    rows = np.arange(count)
    asked = np.zeros((count, stages), np.bool_)
    asked[rows, chosen] = True
    return Played(outcomes.correct[rows, chosen], outcomes.costs[rows, chosen], chosen + 1, asked)


@dataclass(frozen=True, slots=True)
class Areas:
    """The AIQ of one policy, and in each resample."""

    figure: float
    resampled: Array
    units: int

    @classmethod
    def of(cls, costs: Array, rights: Array, weights: Array, low: float, high: float) -> Areas:
        """Of settings' costs and grades, float64[questions, settings], over a range of costs."""
        x, y = weights @ costs, weights @ rights
        areas = np.array([Hull.of(a, b).area(low, high) for a, b in zip(x, y, strict=True)])
        whole = Hull.of(costs.mean(axis=0), rights.mean(axis=0))
        return cls(whole.area(low, high), areas, len(costs))

    @property
    def interval(self) -> Interval:
        """With its interval."""
        return interval(self.resampled, self.figure, self.units)

    def over(self, other: Areas) -> Interval:
        """How far above another, of the same resamples."""
        return interval(self.resampled - other.resampled, self.figure - other.figure, self.units)


def _stacked(swept: Sequence[tuple[float, Played]]) -> tuple[Array, Array]:
    """Costs and grades of a sweep, float64[questions, settings] each."""
    costs = np.stack([p.cost for _, p in swept], axis=1)
    return costs, np.stack([p.correct for _, p in swept], axis=1).astype(np.float64)


def _recovered(swept: Sequence[tuple[float, Played]], test: Outcomes) -> float | None:
    cost, right = test.costs.mean(axis=0), test.correct.mean(axis=0)
    best = int(np.argmax(right))
    if right[best] <= right[0] or cost[best] <= cost[0]:
        return None
    hull = Hull.of([p.cost.mean() for _, p in swept], [p.correct.mean() for _, p in swept])
    return gap_recovered(hull, (cost[0], right[0]), (cost[best], right[best]))


def _stage_rows(
    settings: CascadeSettings,
    predictor: Predictor,
    questions: Sequence[Question],
    test: Outcomes,
    weights: Array,
    sizes: Mapping[str, int],
) -> tuple[StageRow, ...]:
    rows = []
    for place, (stage, cost) in enumerate(zip(settings.stages, predictor.costs, strict=True)):
        answers = [q.answers[place] for q in questions]
        rows.append(
            StageRow(
                stage.name,
                mean_interval(test.correct[:, place], weights),
                float(np.mean([cost.ms(a) for a in answers])),
                float(test.costs[:, place].mean()),
                float(np.mean([a.tokens for a in answers])),
                sizes.get(stage.name, 0),
                None if cost.loading_ms is None else cost.loading_ms / 1000,
                cost.source,
            )
        )
    return tuple(rows)


def _predictor_rows(
    predictor: Predictor, settings: CascadeSettings, questions: Sequence[Question]
) -> tuple[PredictorRow, ...]:
    """How good the predictions are on questions of which no two are the same.

    One that is asked again has nearly the same score and grade; a bin of the calibration error that
    holds it ten times would be as uncertain as one that holds it once, and count ten times as much.
    """
    names = ["before any answer", *(f"after {stage.name}" for stage in settings.stages)]
    rows = []
    for place, name in enumerate(names):
        stage = max(place, 1)
        answered = (q for q in questions if len(q.answers) >= stage)
        asked = list({identity(q): q for q in answered}.values())
        right = np.array([q.correct[stage - 1] for q in asked], np.bool_)
        found = predictor.scores(asked, place)
        rows.append(
            PredictorRow(
                name,
                quality(found, right),
                quality(predictor.baseline_scores(asked, place), right),
                reliability(found, right),
            )
        )
    return tuple(rows)


def _ms(predictor: Predictor, questions: Sequence[Question]) -> Array:
    """Milliseconds of every stage's answer, float64[questions, stages]."""
    return np.array(
        [[c.ms(a) for c, a in zip(predictor.costs, q.answers, strict=True)] for q in questions]
    )


def _cell(played: Played, which: NDArray[np.bool_], ms: Array) -> Cell:
    if not which.any():
        return Cell(0, 0.0, 0.0, None, (0.0,) * ms.shape[1])
    asked = played.asked[which]
    shares = [float(np.mean(played.last[which] == s)) for s in range(1, ms.shape[1] + 1)]
    return Cell(
        int(which.sum()),
        float((ms[which] * asked).sum(axis=1).mean()),
        float(played.cost[which].mean()),
        float(played.correct[which].mean()),
        tuple(shares),
    )


def _levels(
    questions: Sequence[Question], settings: CascadeSettings
) -> dict[str, dict[str, float]]:
    """Accuracy of every stage by task and level, and how many questions there are."""
    groups: dict[str, list[Question]] = {}
    for question in questions:
        level = question.problem.level
        name = question.task if level is None else f"{question.task}, level {level}"
        groups.setdefault(name, []).append(question)
    names = [stage.name for stage in settings.stages]
    return {
        group: {"questions": float(len(found))}
        | {
            name: float(np.mean([q.correct[place] for q in found]))
            for place, name in enumerate(names)
        }
        for group, found in sorted(groups.items())
    }
