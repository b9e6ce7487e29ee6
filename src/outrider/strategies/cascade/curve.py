"""What policies cost and bring on collected outcomes, and the λ that a user's wish comes to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from outrider.errors import UsageError, unknown_name
from outrider.strategies.cascade.policies import FAMILIES, Policy, best_answer
from outrider.strategies.cascade.predictor import Outcomes
from outrider.theory.stopping import ScoreTable

Preference = Literal["fast", "balanced", "best"]

POINTS: Final = 41
"""Values of λ in a sweep, besides 0 and infinity."""

GAINS: Final[dict[str, float]] = {"fast": 0.5, "balanced": 0.8, "best": 1.0}
"""Share of what λ can bring above the first stage, by preference."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a policy did to each of some questions.

    Attributes:
        correct: whether the answer given out is right, bool[questions].
        cost: of all stages asked, float64[questions].
        last: the stage that was asked last, int64[questions].
        asked: which stages were, bool[questions, stages].
    """

    correct: NDArray[np.bool_]
    cost: NDArray[np.float64]
    last: NDArray[np.int64]
    asked: NDArray[np.bool_]

    @property
    def early(self) -> float:
        """The share of questions that ended before the last stage of the ladder."""
        return float(np.mean(self.last < self.asked.shape[1]))


def play(policy: Policy, table: ScoreTable, outcomes: Outcomes) -> Played:
    """Let a policy decide over collected outcomes."""
    count, stages = outcomes.correct.shape
    asked, last = np.zeros((count, stages), np.bool_), np.zeros(count, np.int64)
    chosen = np.zeros(count, np.int64)
    bins = np.stack(
        [
            np.searchsorted(edges, column, side="right")
            for edges, column in zip(table.edges, outcomes.scores.T, strict=True)
        ],
        axis=1,
    ).tolist()
    decided: dict[tuple[tuple[int, int], ...], int | None] = {}
    for row, (places, known) in enumerate(zip(bins, outcomes.scores.tolist(), strict=True)):
        scores: dict[int, float] = {0: known[0]}
        seen: tuple[tuple[int, int], ...] = ((0, places[0]),)
        while True:
            if not policy.by_bins or seen not in decided:
                decided[seen] = policy.next(scores)
            if (stage := decided[seen]) is None:
                break
            scores[stage] = known[stage]
            seen = (*seen, (stage, places[stage]))
            asked[row, stage - 1] = True
            last[row] = stage
        chosen[row] = best_answer(table, scores) - 1
    rows = np.arange(count)
    return Played(outcomes.correct[rows, chosen], (outcomes.costs * asked).sum(axis=1), last, asked)


@dataclass(frozen=True, slots=True)
class Point:
    """One λ of a sweep.

    Attributes:
        worth: λ, in units of cost a right answer.
        cost: mean, a question.
        quality: share of right answers.
        early: share of questions that ended before the last stage.
    """

    worth: float
    cost: float
    quality: float
    early: float


def table_of(outcomes: Outcomes, bins: int) -> ScoreTable:
    """The table of transitions of collected outcomes, with their mean costs."""
    return ScoreTable.fit(outcomes.scores, outcomes.costs.mean(axis=0).tolist(), bins=bins)


def worths(table: ScoreTable, points: int = POINTS) -> list[float]:
    """0, λ by equal factors over all that can make a difference, and infinity.

    Below the cheapest stage's cost nothing pays; at a thousand times the whole ladder's cost, a
    thousandth of a chance does.
    """
    costs = [cost for cost in table.costs if cost > 0] or [1.0]
    swept = np.geomspace(min(costs) / 10, 1000 * math.fsum(costs), points)
    return [0.0, *swept.tolist(), math.inf]


def sweep(
    family: str, table: ScoreTable, fitting: Outcomes, outcomes: Outcomes, points: int = POINTS
) -> list[tuple[float, Played]]:
    """A policy at every λ.

    Args:
        family: the policy, by its name.
        table: of transitions.
        fitting: outcomes from which a policy may learn.
        outcomes: over which it decides.
        points: values of λ between 0 and infinity.

    Raises:
        UsageError: there is no such policy.
    """
    if family not in FAMILIES:
        raise unknown_name("policy", family, FAMILIES)
    fit = FAMILIES[family]
    return [
        (worth, play(fit(table, fitting, worth), table, outcomes))
        for worth in worths(table, points)
    ]


def points_of(swept: Sequence[tuple[float, Played]]) -> list[Point]:
    """The means of a sweep."""
    return [
        Point(worth, float(p.cost.mean()), float(p.correct.mean()), p.early) for worth, p in swept
    ]


# ------------------------------------------------------------------------- what a user wishes


def for_budget(points: Sequence[Point], budget: float, unit: str) -> Point:
    """The best quality whose mean cost is within a budget.

    Raises:
        UsageError: even the cheapest is dearer.
    """
    within = [p for p in points if p.cost <= budget]
    if not within:
        least = min(p.cost for p in points)
        raise UsageError(
            f"No λ keeps the mean cost within {budget:g} {unit}; the cheapest policy costs "
            f"{least:.4g} {unit} a question."
        )
    return max(within, key=lambda p: (p.quality, -p.cost))


def for_quality(points: Sequence[Point], quality: float) -> Point:
    """The cheapest λ that reaches a quality.

    Raises:
        UsageError: none does.
    """
    enough = [p for p in points if p.quality >= quality]
    if not enough:
        most = max(p.quality for p in points)
        raise UsageError(
            f"No λ reaches a quality of {quality:.1%}; the best of this cascade is {most:.1%}."
        )
    return min(enough, key=lambda p: (p.cost, -p.quality))


def for_early_stops(points: Sequence[Point], share: float) -> Point:
    """The best quality at which a share of the questions ends before the last stage.

    Raises:
        UsageError: none does.
    """
    enough = [p for p in points if p.early >= share]
    if not enough:
        most = max(p.early for p in points)
        raise UsageError(
            f"No λ ends {share:.0%} of the questions before the last stage; at most {most:.0%} end."
        )
    return max(enough, key=lambda p: (p.quality, -p.cost))


def for_preference(points: Sequence[Point], preference: str) -> Point:
    """The cheapest λ with half (fast), four fifths (balanced) or all (best) of what λ can bring.

    Raises:
        UsageError: there is no such preference.
    """
    if preference not in GAINS:
        raise unknown_name("preference", preference, get_args(Preference))
    first = next(p for p in points if p.worth == 0)
    most = max(p.quality for p in points)
    wanted = first.quality + GAINS[preference] * (most - first.quality)
    return for_quality(points, min(wanted, most))
