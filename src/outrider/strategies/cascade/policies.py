"""Policies: which stage to ask next, and when to stop.

A policy sees the score before generation and the score of every stage that has answered, and names
the next stage or none. All keep earlier answers: what is given out is the best answer so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from outrider.strategies.cascade.predictor import Outcomes
from outrider.theory.stopping import (
    ScoreTable,
    Stopping,
    backward_induction,
    best_set,
    next_box,
    reservation_value,
)

Array = NDArray[np.float64]
Scores = Mapping[int, float]
"""Scores by stage, in the order in which they came; 0 is the one before generation."""


class Policy(Protocol):
    """What decides.

    Attributes:
        by_bins: it looks at scores through the bins of its table alone, so that whoever has asked
            about some bins need not ask again.
    """

    by_bins: ClassVar[bool]

    def next(self, scores: Scores) -> int | None:
        """The stage to ask next, from 1; None stops, which it must not before any answer."""
        ...


def best_answer(table: ScoreTable, scores: Scores) -> int:
    """The stage whose answer is given out: that of the best score, the first of equals.

    Scores are compared by what their bins stand for, as the policies do.
    """
    asked = [stage for stage in scores if stage]
    return max(asked, key=lambda stage: table.value(stage, scores[stage]))


@dataclass(frozen=True, slots=True)
class OptimalStopping:
    """Backward induction over the table of transitions: goes on exactly where that pays."""

    by_bins: ClassVar[bool] = True
    table: ScoreTable
    rule: Stopping

    @classmethod
    def fit(cls, table: ScoreTable, worth: float) -> OptimalStopping:
        """The rule of a table for one λ."""
        return cls(table, backward_induction(table, worth))

    def next(self, scores: Scores) -> int | None:
        """The next stage, while it pays."""
        last = max(scores)
        if last == 0:
            return 1
        best = max(self.table.value(stage, scores[stage]) for stage in scores if stage)
        goes_on = self.rule.goes_on(last, best, self.table.bin(last, scores[last]))
        return last + 1 if goes_on else None


@dataclass(frozen=True, slots=True)
class CascadeRouting:
    """The best set of stages as things stand; runs its cheapest member and looks again."""

    by_bins: ClassVar[bool] = True
    table: ScoreTable
    worth: float
    _known: dict[tuple[tuple[int, int], ...], int | None] = field(default_factory=dict, repr=False)

    def next(self, scores: Scores) -> int | None:
        """The cheapest stage of the best set."""
        key = tuple((stage, self.table.bin(stage, score)) for stage, score in scores.items())
        if key not in self._known:
            self._known[key] = self._choose(dict(key))
        return self._known[key]

    def _choose(self, bins: Mapping[int, int]) -> int | None:
        last = next(reversed(bins))
        asked = [self.table.values[stage][place] for stage, place in bins.items() if stage]
        boxes = _boxes(self.table, bins, last)
        costs = {stage: self.table.costs[stage - 1] for stage in boxes}
        # Before any answer there is nothing to give out, and the first has to be asked for.
        chosen = best_set(max(asked, default=0.0), boxes, costs, self.worth).stages
        if not chosen:
            return None if asked else min(costs, key=lambda stage: (costs[stage], stage))
        return min(chosen, key=lambda stage: (costs[stage], stage))


@dataclass(frozen=True, slots=True)
class Pandora:
    """Weitzman's rule, which takes the stages for independent given the question."""

    by_bins: ClassVar[bool] = True
    table: ScoreTable
    worth: float
    _sigmas: dict[int, dict[int, float]] = field(default_factory=dict, repr=False)

    def next(self, scores: Scores) -> int | None:
        """The stage of the greatest reservation value, where that beats the best answer."""
        place = self.table.bin(0, scores[0])
        if place not in self._sigmas:
            self._sigmas[place] = self._reserve(place)
        closed = {stage: s for stage, s in self._sigmas[place].items() if stage not in scores}
        asked = [self.table.value(stage, scores[stage]) for stage in scores if stage]
        found = next_box(max(asked, default=-math.inf), closed)
        if found is None and not asked:
            return min(closed, key=lambda stage: (self.table.costs[stage - 1], stage))
        return found

    def _reserve(self, place: int) -> dict[int, float]:
        """Each stage's reservation value, given the bin before generation."""
        boxes = _boxes(self.table, {0: place}, 0)
        return {
            stage: reservation_value(values, mass, _price(self.table.costs[stage - 1], self.worth))
            for stage, (values, mass) in boxes.items()
        }


@dataclass(frozen=True, slots=True)
class Threshold:
    """Goes up the ladder until a score reaches the threshold."""

    by_bins: ClassVar[bool] = False
    threshold: float
    stages: int

    def next(self, scores: Scores) -> int | None:
        """The next stage, while the last one's score is too low."""
        last = max(scores)
        if last and (scores[last] >= self.threshold or last == self.stages):
            return None
        return last + 1


@dataclass(frozen=True, slots=True)
class Always:
    """Asks one stage and no other."""

    by_bins: ClassVar[bool] = True
    stage: int

    def next(self, scores: Scores) -> int | None:
        """The stage, once."""
        return None if self.stage in scores else self.stage


@dataclass(frozen=True, slots=True)
class Everything:
    """Asks every stage and takes the best answer."""

    by_bins: ClassVar[bool] = True
    stages: int

    def next(self, scores: Scores) -> int | None:
        """The next stage of the ladder, to its end."""
        last = max(scores)
        return last + 1 if last < self.stages else None


@dataclass(frozen=True, slots=True)
class Learned:
    """Fitted Q-iteration: what going on brings, regressed on what is known.

    Backward through the stages, the value of going on of every collected question, under the
    decisions already learnt for the stages behind, is regressed on the best score so far, the last
    one and the one before generation (Ernst, Geurts and Wehenkel, "Tree-based batch mode
    reinforcement learning", JMLR 6, 2005; for stopping problems Longstaff and Schwartz 2001). It
    sees one bin more than the table does, and needs no Markov chain.

    Attributes:
        table: by whose values answers are compared.
        worth: λ.
        weights: of the features of each stage but the last, float64[stages − 1, features].
    """

    by_bins: ClassVar[bool] = True
    table: ScoreTable
    worth: float
    weights: Array

    @classmethod
    def fit(cls, table: ScoreTable, outcomes: Outcomes, worth: float) -> Learned:
        """Learn from collected outcomes; an infinite λ takes costs for nothing."""
        scale, paid = (1.0, 0.0) if math.isinf(worth) else (worth, 1.0)
        stages, count = table.stages, len(outcomes)
        values = np.stack(
            [
                table.values[i][np.searchsorted(table.edges[i], outcomes.scores[:, i], "right")]
                for i in range(stages + 1)
            ],
            axis=1,
        )
        before, values = values[:, 0], values[:, 1:]
        chosen = np.array([np.argmax(values[:, :i], axis=1) for i in range(1, stages + 1)])
        rows = np.arange(count)
        # What stopping after the last stage is worth, and then one stage earlier each time.
        after = scale * outcomes.correct[rows, chosen[-1]]
        weights = np.zeros((max(stages - 1, 0), len(BASIS)))
        for stage in reversed(range(1, stages)):
            best = values[rows, chosen[stage - 1]]
            seen = _basis(best, values[:, stage - 1], before)
            goes = after - paid * outcomes.costs[:, stage]
            ridge = RIDGE * count * np.eye(len(BASIS))
            weights[stage - 1] = np.linalg.solve(seen.T @ seen + ridge, seen.T @ goes)
            on = seen @ weights[stage - 1] > scale * best
            after = np.where(on, goes, scale * outcomes.correct[rows, chosen[stage - 1]])
        return cls(table, worth, weights)

    def next(self, scores: Scores) -> int | None:
        """The next stage, where the learnt value of going on is above that of stopping."""
        last = max(scores)
        if last == 0:
            return 1
        if last == self.table.stages:
            return None
        if math.isinf(self.worth):
            return last + 1
        chosen = best_answer(self.table, scores)
        best = self.table.value(chosen, scores[chosen])
        row = _basis(
            np.array([best]),
            np.array([self.table.value(last, scores[last])]),
            np.array([self.table.value(0, scores[0])]),
        )[0]
        goes_on = float(row @ self.weights[last - 1]) > self.worth * best
        return last + 1 if goes_on else None


BASIS: Final = ("1", "b", "b²", "z", "z²", "b·z", "x", "x²", "b·x")
RIDGE: Final = 1e-6


def _basis(best: Array, last: Array, before: Array) -> Array:
    """Features of what is known, float64[questions, len(BASIS)]."""
    one = np.ones_like(best)
    columns = (one, best, best**2, last, last**2, best * last, before, before**2, best * before)
    return np.stack(columns, axis=1)


def _boxes(table: ScoreTable, bins: Mapping[int, int], last: int) -> dict[int, tuple[Array, Array]]:
    """The scores that stages not asked yet may have, given the last one's."""
    return {
        stage: (table.values[stage], table.given[last, stage][bins[last]])
        for stage in range(1, table.stages + 1)
        if stage not in bins
    }


def _price(cost: float, worth: float) -> float:
    """A cost in answers: cost / λ."""
    return math.inf if worth == 0 and cost > 0 else 0.0 if cost == 0 else cost / worth


Fit = Callable[[ScoreTable, Outcomes, float], Policy]

FAMILIES: Final[Mapping[str, Fit]] = {
    "stopping": lambda table, _, worth: OptimalStopping.fit(table, worth),
    "routing": lambda table, _, worth: CascadeRouting(table, worth),
    "learned": Learned.fit,
    "pandora": lambda table, _, worth: Pandora(table, worth),
}
"""Policies that λ steers, by name."""
