"""What repeated answers say: ratios of speeds with their intervals, and answers that loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

ROUNDS: Final = 10_000
"""Resamples of a bootstrap."""

LEVEL: Final = 0.95
"""Of an interval."""

LOOP_LENGTH: Final = 8
LOOP_COUNT: Final = 3


ENOUGH: Final = 5
"""Units below which a bootstrap interval is too narrow to be believed."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its interval at `LEVEL`.

    Attributes:
        value: the figure.
        low: where the interval begins; None where there is none: of a single unit, or of the mean
            of equal values.
        high: where it ends.
        units: that it was taken over; with fewer than `ENOUGH` it is too narrow.
    """

    value: float
    low: float | None = None
    high: float | None = None
    units: int = 1


@dataclass(frozen=True, slots=True)
class Times:
    """How long the units of a measurement took: prompts, or groups that ran together.

    Attributes:
        ms: milliseconds, float64[units].
        tokens: gained in them, float64[units].
    """

    ms: NDArray[np.float64]
    tokens: NDArray[np.float64]

    @classmethod
    def of(cls, repeats: Sequence[Sequence[tuple[float, int]]]) -> Times:
        """The median over repeats of each unit's time a token, times its mean tokens.

        Args:
            repeats: for each unit, (milliseconds, tokens) of each repeat. Where none has a token
                the unit took no time.
        """
        ms, tokens = np.zeros(len(repeats)), np.zeros(len(repeats))
        for unit, each in enumerate(repeats):
            paces = [taken / count for taken, count in each if count]
            if paces:
                tokens[unit] = np.mean([count for _, count in each])
                ms[unit] = np.median(paces) * tokens[unit]
        return cls(ms, tokens)

    @classmethod
    def total(cls, repeats: Sequence[Sequence[tuple[float, int]]]) -> Times:
        """The mean over repeats of each unit's time and tokens, as they are.

        Args:
            repeats: as in `of`; none is empty.
        """
        means = np.array([np.mean(each, axis=0) for each in repeats], np.float64)
        return cls(means[:, 0], means[:, 1])

    def pick(self, units: Sequence[int] | NDArray[np.bool_]) -> Times:
        """Some of the units."""
        return Times(self.ms[units], self.tokens[units])

    @property
    def per_second(self) -> float:
        """Tokens a second, over all units; 0 where there are none."""
        total = float(self.ms.sum())
        return float(self.tokens.sum()) / total * 1000 if total > 0 else 0.0


def speedup(plain: Times, plan: Times, *, rounds: int = ROUNDS, seed: int = 0) -> Interval | None:
    """How many times as fast a plan is: plain's time a token over the plan's, over all units.

    The interval is a paired percentile bootstrap (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 13): units are drawn with replacement, the same for both, so that what
    makes a prompt slow for both widens nothing.

    Args:
        plain: what is compared against.
        plan: the same units in the same order.
        rounds: resamples.
        seed: of the resampling.

    Returns:
        None where no unit has a token on both sides.
    """
    both = (plain.tokens > 0) & (plan.tokens > 0)
    plain, plan = plain.pick(both), plan.pick(both)
    units = len(plain.ms)
    if not units:
        return None
    value = plan.per_second / plain.per_second
    if units == 1:
        return Interval(value)
    # How often each unit was drawn; sums over a resample are products with these counts.
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=rounds)
    ratios = (drawn @ plain.ms) / (drawn @ plain.tokens)
    ratios /= (drawn @ plan.ms) / (drawn @ plan.tokens)
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), units)


def typical_speedup(
    ratios: NDArray[np.float64], *, rounds: int = ROUNDS, seed: int = 0
) -> Interval | None:
    """The median over units of how many times as fast each is, with its bootstrap interval.

    Beside `speedup`, in which long answers weigh more, every unit counts the same.

    Args:
        ratios: one for each unit, above 0, float64[units].
        rounds: resamples.
        seed: of the resampling.

    Returns:
        None where there are no units.
    """
    units = len(ratios)
    if not units:
        return None
    value = float(np.median(ratios))
    if units == 1:
        return Interval(value)
    drawn = np.random.default_rng(seed).integers(units, size=(rounds, units))
    medians = np.median(ratios[drawn], axis=1)
    low, high = np.quantile(medians, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), units)


class Finding(Enum):
    """What a ratio of speeds says."""

    FASTER = "faster"
    SLOWER = "slower"
    UNDECIDED = "undecided"


def finding(ratio: Interval | None) -> Finding:
    """What a ratio of speeds shows: nothing where its interval contains 1 or rests on few units."""
    if ratio is None or ratio.low is None or ratio.high is None or ratio.units < ENOUGH:
        return Finding.UNDECIDED
    if ratio.low > 1.0:
        return Finding.FASTER
    return Finding.SLOWER if ratio.high < 1.0 else Finding.UNDECIDED


def mean_interval(values: Sequence[float], *, rounds: int = ROUNDS, seed: int = 0) -> Interval:
    """A mean over units, with a percentile bootstrap interval.

    Args:
        values: one a unit, at least one. Equal ones have no interval: resampling them shows
            nothing of what others might be.
        rounds: resamples.
        seed: of the resampling.
    """
    units, value = len(values), float(np.mean(values))
    if min(values) == max(values):
        return Interval(value, units=units)
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=rounds)
    low, high = np.quantile(drawn @ np.asarray(values) / units, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), units)


def looping(tokens: Sequence[int] | Sequence[str]) -> bool:
    """Whether an answer repeats itself: 8 tokens, or words, in a row occur three times.

    Occurrences may overlap, as those of a single token that never ends do.
    """
    spans = Counter(
        tuple(tokens[start : start + LOOP_LENGTH]) for start in range(len(tokens) - LOOP_LENGTH + 1)
    )
    return max(spans.values(), default=0) >= LOOP_COUNT


def equal_tokens(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens of two answers stand before their first difference."""
    pairs = zip(ours, theirs, strict=False)
    shorter = min(len(ours), len(theirs))
    return next((n for n, (a, b) in enumerate(pairs) if a != b), shorter)
