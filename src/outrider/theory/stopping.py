"""When to stop climbing a ladder of models: backward induction, Pandora's rule, sets of models.

Words, the same throughout:

- stage: one way of answering, from the cheapest (1) to the dearest (L); c_i is its cost.
- score, s_i: the probability that stage i's answer is right, given what is known after it. Stage 0
  is before any answer, and its score is what is expected of the first.
- bin: scores are replaced by the mean of those that fall into the same quantile bin, so that
  expectations are sums over counted transitions.
- b: the best score so far. Earlier answers are kept (recall), so stopping is worth λ·b.
- λ: what a right answer is worth, in the unit of the costs. All rules maximise λ·quality − cost.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outrider.errors import UsageError

Array = NDArray[np.float64]

BINS = 20
"""Quantile bins of a stage's scores."""

PRIOR = 5.0
"""Questions' worth of the next stage's overall distribution that every bin begins with."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """How scores follow one another, counted where every stage answered every question.

    Attributes:
        values: for stages 0 to L, the score that each bin stands for, float64[bins], ascending.
        edges: for stages 0 to L, the scores at which the next bin begins, float64[bins − 1].
        given: given[i, j] is P(bin of stage j | bin of stage i), float64[bins i, bins j].
        costs: of stages 1 to L.
    """

    values: tuple[Array, ...]
    edges: tuple[Array, ...]
    given: Mapping[tuple[int, int], Array]
    costs: tuple[float, ...]

    @property
    def stages(self) -> int:
        """L."""
        return len(self.costs)

    @classmethod
    def fit(
        cls,
        scores: ArrayLike,
        costs: Sequence[float],
        *,
        bins: int = BINS,
        prior: float = PRIOR,
    ) -> Self:
        """Count transitions between quantile bins.

        Args:
            scores: of questions that the scores were not fitted to, float64[questions, 1 + L];
                column 0 is the score before generation.
            costs: of stages 1 to L, in any unit.
            bins: of a stage at most; equal scores share one.
            prior: how many questions' worth of stage j's overall distribution each row of
                given[i, j] begins with.

        Raises:
            UsageError: shapes that do not match, no question, or a number out of range.
        """
        table = np.asarray(scores, np.float64)
        if table.ndim != 2 or not len(table) or table.shape[1] != len(costs) + 1:
            raise UsageError(
                f"A ladder of {len(costs)} stages needs a table of {len(costs) + 1} scores a "
                f"question, not one of shape {table.shape}."
            )
        if not np.isfinite(table).all() or not all(math.isfinite(c) and c >= 0 for c in costs):
            raise UsageError("Scores have to be finite numbers, and costs at least 0.")
        if bins < 1 or prior < 0:
            raise UsageError("A table needs at least 1 bin a stage and a prior of at least 0.")
        edges = tuple(_edges(column, bins) for column in table.T)
        places = [np.searchsorted(e, c, side="right") for e, c in zip(edges, table.T, strict=True)]
        values = tuple(
            np.bincount(place, column) / np.bincount(place)
            for place, column in zip(places, table.T, strict=True)
        )
        given = {
            (i, j): _transitions(places[i], places[j], len(values[i]), len(values[j]), prior)
            for i in range(len(values))
            for j in range(1, len(values))
            if i != j
        }
        return cls(values, edges, given, tuple(map(float, costs)))

    def bin(self, stage: int, score: float) -> int:
        """The bin of a stage's score."""
        return bisect_right(self.edges[stage], score)

    def value(self, stage: int, score: float) -> float:
        """The score that stands for a score's bin."""
        return float(self.values[stage][self.bin(stage, score)])


def _edges(scores: Array, bins: int) -> Array:
    """Where quantile bins begin: at scores that occur, so that none is empty."""
    found = np.unique(np.quantile(scores, np.arange(1, bins) / bins, method="higher"))
    return np.asarray(found[found > scores.min()])


def _transitions(
    before: NDArray[np.intp], after: NDArray[np.intp], rows: int, columns: int, prior: float
) -> Array:
    counts = np.zeros((rows, columns))
    np.add.at(counts, (before, after), 1.0)
    counts += prior * counts.sum(axis=0) / counts.sum()
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


# ------------------------------------------------------------------------- backward induction


@dataclass(frozen=True, slots=True)
class Stopping:
    """The optimal rule of a table for one λ.

    Attributes:
        grid: every score that the best so far can have, float64[grid], ascending.
        go: for stages 1 to L − 1, whether to go on, bool[grid, bins].
        entry: V_0 for each bin before generation, float64[bins].
    """

    grid: Array
    go: tuple[NDArray[np.bool_], ...]
    entry: Array

    def goes_on(self, stage: int, best: float, place: int) -> bool:
        """Whether to go on to the next stage.

        Args:
            stage: that has answered last, from 1 to L.
            best: the value of the best bin so far.
            place: the bin of the stage's own score.
        """
        if stage > len(self.go):
            return False
        return bool(self.go[stage - 1][bisect_left(self.grid, best), place])


def backward_induction(table: ScoreTable, worth: float) -> Stopping:
    """The rule that maximises λ·E[quality] − E[cost], where the next score depends on the last.

        V_L(b)    = λ·b
        V_i(b, z) = max(λ·b, −c_{i+1} + E[V_{i+1}(max(b, s_{i+1}), z') | z])
        V_0(z)    = −c_1 + E[V_1(s_1, z') | z]

    where z is the bin of the last score (Chow, Robbins and Siegmund, Great Expectations: The Theory
    of Optimal Stopping, 1971, chapter 3, with a counted Markov chain). A tie stops.

    Args:
        table: the ladder.
        worth: λ, at least 0; infinity takes costs for nothing and asks every stage, since another
            answer never makes the best one worse.

    Raises:
        UsageError: λ is negative or no number.
    """
    scale, costs = _scaled(table.costs, worth)
    grid = np.unique(np.concatenate(table.values[1:]))
    stop = scale * grid[:, None]
    after: Array = np.broadcast_to(stop, (len(grid), len(table.values[-1])))
    go: list[NDArray[np.bool_]] = []
    for stage in reversed(range(1, table.stages)):
        goes = -costs[stage] + _expected(table, grid, after, stage)
        go.insert(0, (goes > stop) | math.isinf(worth))
        after = np.where(go[0], goes, stop)
    # Before the first answer there is nothing to fall back on: b is below every score.
    first = np.searchsorted(grid, table.values[1])
    entry = -costs[0] + table.given[0, 1] @ after[first, np.arange(len(first))]
    return Stopping(grid, tuple(go), entry)


def _scaled(costs: Sequence[float], worth: float) -> tuple[float, tuple[float, ...]]:
    """λ and the costs; for an infinite λ, 1 and nothing."""
    if not worth >= 0:
        raise UsageError(f"λ has to be a number of at least 0, not {worth!r}.")
    return (1.0, (0.0,) * len(costs)) if math.isinf(worth) else (worth, tuple(costs))


def _expected(table: ScoreTable, grid: Array, after: Array, stage: int) -> Array:
    """E[V(max(b, s'), z') | z] for every b and bin z of `stage`, float64[grid, bins]."""
    place = np.searchsorted(grid, table.values[stage + 1])
    reached = np.maximum(np.arange(len(grid))[:, None], place[None, :])
    return np.asarray(after[reached, np.arange(len(place))] @ table.given[stage, stage + 1].T)


# ------------------------------------------------------------------------- Pandora's rule


def reservation_value(values: ArrayLike, probabilities: ArrayLike, price: float) -> float:
    """The σ at which opening a box just pays: E[(s − σ)⁺] = price.

    Weitzman, "Optimal search for the best alternative", Econometrica 47 (1979), eq. 7, for a
    discrete distribution: the left side is piecewise linear and falls, so σ lies on one piece.

    Args:
        values: what may be in the box, float64[n].
        probabilities: of each, summing to 1.
        price: of opening, in the unit of the values: cost / λ. At 0, σ is the greatest value; an
            infinite price gives minus infinity.
    """
    if math.isinf(price):
        return -math.inf
    known, mass = np.asarray(values, np.float64), np.asarray(probabilities, np.float64)
    order = np.argsort(-known)
    total = covered = 0.0
    descending = [*known[order], -math.inf]
    for (value, following), share in zip(pairwise(descending), mass[order], strict=True):
        total, covered = total + share * value, covered + share
        # Between two values, E[(s − σ)⁺] is total − covered · σ.
        if covered > 0 and (sigma := (total - price) / covered) >= following:
            return float(sigma)
    raise UsageError("The probabilities of a box have to sum to 1.")


def next_box(best: float, sigmas: Mapping[int, float]) -> int | None:
    """The box that Pandora's rule opens next: the greatest σ, where it beats the best so far.

    Args:
        best: the greatest value found, minus infinity before the first.
        sigmas: of the boxes that are closed; ties go to the first.

    Returns:
        None where it stops.
    """
    box = max(sigmas, key=lambda name: sigmas[name], default=None)
    return box if box is not None and sigmas[box] > best else None


# ------------------------------------------------------------------------- sets of models


@dataclass(frozen=True, slots=True)
class BestSet:
    """The set of stages to run, with what it is expected to be worth: λ·E[best] − Σ cost."""

    stages: tuple[int, ...]
    value: float


def best_set(
    best: float,
    boxes: Mapping[int, tuple[Array, Array]],
    costs: Mapping[int, float],
    worth: float,
) -> BestSet:
    """The set of stages that maximises λ·E[max(best, scores)] − Σ cost.

    Cascade routing (Dekoninck, Baader and Vechev 2024, arXiv:2410.10347, section 4), for scores
    that are independent given what is known; smaller sets win ties.

    Args:
        best: the best score so far.
        boxes: for each stage that could still run, its scores and their probabilities.
        costs: of these stages.
        worth: λ; infinity takes costs for nothing.

    Raises:
        UsageError: λ is negative or no number.
    """
    _scaled((), worth)
    scale = 1.0 if math.isinf(worth) else worth
    found = BestSet((), scale * best)
    for size in range(1, len(boxes) + 1):
        for chosen in combinations(sorted(boxes), size):
            value = scale * expected_best(best, [boxes[stage] for stage in chosen])
            if not math.isinf(worth):
                value -= math.fsum(costs[stage] for stage in chosen)
            # Sums in another order may differ in the last bits; that is no better set.
            if value > found.value + 1e-12 * max(abs(found.value), 1.0):
                found = BestSet(chosen, value)
    return found


def expected_best(best: float, boxes: Sequence[tuple[Array, Array]]) -> float:
    """E[max(best, s_1, s_2, …)] of independent discrete scores, by the product of their CDFs."""
    grid = np.unique(np.concatenate([[best], *(values for values, _ in boxes)]))
    grid = grid[grid >= best]
    below = np.ones(len(grid))
    for values, probabilities in boxes:
        order = np.argsort(values)
        sums = np.concatenate([[0.0], np.cumsum(probabilities[order])])
        below *= sums[np.searchsorted(values[order], grid, side="right")]
    return float(grid @ np.diff(below, prepend=0.0))
