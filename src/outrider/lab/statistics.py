"""What repeated answers say: ratios of speeds with their intervals, and answers that loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from statistics import fmean, median
from typing import Final

import numpy as np
from numpy.typing import NDArray

ROUNDS: Final = 10_000
"""Resamples of a bootstrap."""

LEVEL: Final = 0.95
"""Of an interval."""

FALSE_ALARMS: Final = 0.05
"""The chance of being told of any difference where there is none, whatever many are looked for."""

FLIPS: Final = 20_000
"""Sign flips that are drawn; for up to `ALL_FLIPS` values all are tried instead."""

ALL_FLIPS: Final = 14

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
                tokens[unit] = fmean(count for _, count in each)
                ms[unit] = median(paces) * tokens[unit]
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


@lru_cache(maxsize=4)
def resamples(units: int, rounds: int, seed: int) -> NDArray[np.float64]:
    """How often each unit is drawn in each resample of a bootstrap, with replacement.

    Sums over a resample are products with these counts. They are kept: a report asks for the same
    ones hundreds of times.

    Args:
        units: that are drawn from, and drawn in each.
        rounds: resamples.
        seed: of the draw.

    Returns:
        Counts, float64[rounds, units], not to be written to.
    """
    chance = np.random.default_rng(seed)
    drawn = chance.multinomial(units, np.full(units, 1 / units), size=rounds).astype(np.float64)
    drawn.flags.writeable = False
    return drawn


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
    drawn = resamples(units, rounds, seed)
    ratios = (drawn @ plain.ms) / (drawn @ plain.tokens)
    ratios /= (drawn @ plan.ms) / (drawn @ plan.tokens)
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), units)


def chosen_on_others(plans: Sequence[Times]) -> Times:
    """What choosing the fastest of several plans brings, without its luck.

    The best of several is the best partly by chance, and its own figure flatters. So each unit
    takes its time from the plan that is fastest over all *other* units (leave-one-out; Stone,
    Cross-Validatory Choice and Assessment of Statistical Predictions, 1974): what is measured on a
    unit has no part in what is chosen for it.

    Args:
        plans: at least one, over the same units in the same order; every unit has tokens in each.

    Returns:
        The chosen plans' times. Of a single unit, which no other speaks for, the first plan's.
    """
    ms, tokens = (np.array([getattr(p, name) for p in plans]) for name in ("ms", "tokens"))
    units = np.arange(ms.shape[1])
    if len(units) < 2:
        return plans[0]
    paces = (ms.sum(axis=1, keepdims=True) - ms) / (tokens.sum(axis=1, keepdims=True) - tokens)
    best = paces.argmin(axis=0)
    return Times(ms[best, units], tokens[best, units])


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
    drawn = resamples(units, rounds, seed)
    low, high = np.quantile(drawn @ np.asarray(values) / units, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), units)


def ratio_of_totals(
    over: Sequence[float], under: Sequence[float], *, rounds: int = ROUNDS, seed: int = 0
) -> Interval:
    """Σ over / Σ under, with a percentile bootstrap interval; the two are drawn together.

    So long texts count as much more than short ones as they are longer.

    Args:
        over: one a unit, at least one.
        under: the same units, above 0.
        rounds: resamples.
        seed: of the resampling.
    """
    units, value = len(over), float(np.sum(over) / np.sum(under))
    if units == 1:
        return Interval(value)
    drawn = resamples(units, rounds, seed)
    ratios = (drawn @ np.asarray(over)) / (drawn @ np.asarray(under))
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), units)


def sign_flip(values: NDArray[np.float64], *, seed: int = 0) -> float:
    """How often the mean of values with signs drawn at random is as far from 0 as theirs.

    A permutation test: were there no difference, each pair's would be as likely to have the other
    sign (Fisher, The Design of Experiments, 1935, chapter 3).

    Args:
        values: differences of pairs, float64[pairs].
        seed: of the draw, where not all signs are tried.
    """
    count = len(values)
    if count <= ALL_FLIPS:
        codes = np.arange(2**count)
        signs = 1.0 - 2.0 * ((codes[:, None] >> np.arange(count)) & 1)
    else:
        drawn = np.random.default_rng(seed).integers(0, 2, size=(FLIPS, count))
        # As measured is one of the draws, so that no p is 0.
        signs = np.vstack([1.0 - 2.0 * drawn, np.ones(count)])
    means = np.abs(signs @ values)
    # What differs by rounding alone is alike.
    return float(np.mean(means >= np.abs(values.sum()) * (1.0 - 1e-12)))


def holm(ps: Sequence[float]) -> list[bool]:
    """Which of several tests find something.

    The level is shared out (Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979):
    the chance that any finds what is not there is `FALSE_ALARMS` for all together.

    Args:
        ps: of each test, how often chance alone would differ as much.
    """
    found = [False] * len(ps)
    for place, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        if ps[i] * (len(ps) - place) > FALSE_ALARMS:
            break
        found[i] = True
    return found


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
