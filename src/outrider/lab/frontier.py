"""Quality against cost: mixtures, the area under a curve, and how far a policy is above mixing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outrider.lab.statistics import LEVEL, Interval

Array = NDArray[np.float64]

FRACTIONS = np.linspace(0.0, 1.0, 101)
"""Of the calls to the strong model, over which APGR averages."""

ROUNDS = 2000
"""Resamples of a bootstrap over questions."""


@dataclass(frozen=True, slots=True)
class Hull:
    """The best that mixing points at random gives: their upper concave hull, never falling.

    Attributes:
        cost: of its corners, float64[n], ascending.
        quality: at them, float64[n], ascending.
    """

    cost: Array
    quality: Array

    @classmethod
    def of(cls, cost: ArrayLike, quality: ArrayLike) -> Hull:
        """The hull of points; a mixture of two lies on the line between them."""
        points = sorted(zip(np.asarray(cost), np.asarray(quality), strict=True))
        corners: list[tuple[float, float]] = []
        for x, y in points:
            if corners and x == corners[-1][0]:
                if y <= corners[-1][1]:
                    continue
                corners.pop()
            while len(corners) > 1 and _below(corners[-2], corners[-1], (x, y)):
                corners.pop()
            corners.append((float(x), float(y)))
        peak = int(np.argmax([y for _, y in corners]))
        kept = np.array(corners[: peak + 1])
        return cls(kept[:, 0], kept[:, 1])

    def at(self, cost: ArrayLike) -> Array:
        """The quality that a cost buys; the cheapest point's below it."""
        return np.asarray(np.interp(np.asarray(cost, np.float64), self.cost, self.quality))

    def area(self, low: float, high: float) -> float:
        """Mean quality over a range of costs (AIQ, Hu et al. 2024, arXiv:2403.12031, section 3).

        The quality at `low` where both are equal.
        """
        inside = self.cost[(self.cost > low) & (self.cost < high)]
        x = np.concatenate([[low], inside, [high]])
        if high <= low:
            return float(self.at(low))
        return float(np.trapezoid(self.at(x), x) / (high - low))


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies on or below the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])


def gap_recovered(hull: Hull, weak: tuple[float, float], strong: tuple[float, float]) -> float:
    """APGR: the mean of (q − q_weak) / (q_strong − q_weak) on the way from weak to strong.

    Ong et al. 2024, "RouteLLM", arXiv:2406.18665, section 3.1, where the share is that of calls to
    the strong model; here it is the share of its additional cost, which is the same for two models.
    Random mixing scores 0.5.

    Args:
        hull: of the policy.
        weak: cost and quality of the weak model.
        strong: of the strong one, which is dearer and better.
    """
    costs = weak[0] + FRACTIONS * (strong[0] - weak[0])
    recovered = (hull.at(costs) - weak[1]) / (strong[1] - weak[1])
    return float(np.trapezoid(recovered, FRACTIONS))


def draws(groups: ArrayLike, rounds: int = ROUNDS, seed: int = 0) -> Array:
    """What each question weighs in each resample, float64[rounds, questions]; rows sum to 1.

    Groups are drawn, and with each all its questions: what is asked twice is no second witness.

    Args:
        groups: which questions are the same, int64[questions], from 0.
        rounds: resamples.
        seed: of the drawing.
    """
    places = np.asarray(groups)
    count = int(places.max()) + 1
    random = np.random.default_rng(seed)
    drawn = random.multinomial(count, np.full(count, 1 / count), size=rounds)[:, places]
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))


def interval(values: Sequence[float] | Array, figure: float, units: int) -> Interval:
    """A figure with the percentiles of its resamples."""
    low, high = np.nanquantile(np.asarray(values), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(figure, float(low), float(high), units)


def mean_interval(values: ArrayLike, weights: Array) -> Interval:
    """A mean over questions with its bootstrap interval."""
    known = np.asarray(values, np.float64)
    return interval(weights @ known, float(known.mean()), len(known))


def gain_over_mixing(
    cost: Array, quality: Array, single_costs: Array, single_qualities: Array, weights: Array
) -> Interval:
    """How far a policy's quality is above the best mixture of single stages of the same mean cost.

    Paired: each resample of questions moves the policy and the mixtures alike.

    Args:
        cost: of the policy, float64[questions].
        quality: of its answers, float64[questions].
        single_costs: of each stage alone, float64[questions, stages].
        single_qualities: of its answers, float64[questions, stages].
        weights: of `draws`.
    """

    def gain(w: Array) -> float:
        hull = Hull.of(w @ single_costs, w @ single_qualities)
        return float(w @ quality - hull.at(w @ cost))

    count = len(cost)
    return interval([gain(w) for w in weights], gain(np.full(count, 1 / count)), count)
