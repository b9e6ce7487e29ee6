"""From what a plan did on some prompts to how fast it will be on others.

Counters say how many passes over how many rows a plan needs for its tokens; the cost curve says
what such passes take. A time that the machine spoilt in one answer is so replaced by what passes of
its size take in all answers, and plans that did not run can be predicted too (`lab.lengths`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outrider.engines.base import Cost
from outrider.lab.statistics import LEVEL, ROUNDS, Interval, Times, speedup

SIZE_WEIGHT: Final = 8.0
"""Passes of one number of rows that the measured curve's proportions are worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ride:
    """What a plan did, or would do, on a prompt: from the first token of the answer to its last.

    Attributes:
        tokens: after the first.
        passes: how many had so many rows.
        context: tokens of history in the middle of the answer.
        draft_ms: milliseconds of drafting and controlling.
        sampling_ms: of choosing tokens.
        rest_ms: of everything else.
        drafted: tokens.
        accepted: of them.
        by_position: accepted ones at the first position of a draft, the second, …
    """

    tokens: float
    passes: Mapping[int, float]
    context: float
    draft_ms: float
    sampling_ms: float
    rest_ms: float
    drafted: float = 0.0
    accepted: float = 0.0
    by_position: tuple[float, ...] = ()

    @property
    def steps(self) -> float:
        """All passes."""
        return sum(self.passes.values())


# ----------------------------------------------------------------------------- what passes take


@dataclass(frozen=True, slots=True)
class PassCosts:
    """A measured curve, corrected by the passes that were made.

    Attributes:
        curve: as measured.
        sizes: numbers of rows that were seen, ascending; at least one.
        factors: by what the curve is multiplied at each of them; linear between them, and beyond
            as at the last.
    """

    curve: Cost
    sizes: tuple[int, ...]
    factors: tuple[float, ...]

    def ms(self, rows: int, context: float) -> float:
        """A pass over the rows of one sequence behind so much history."""
        factor = float(np.interp(rows, self.sizes, self.factors))
        return factor * self.curve.ms([(round(context), rows)])

    def pass_ms(self, ride: Ride) -> float:
        """All passes of a ride."""
        return sum(count * self.ms(rows, ride.context) for rows, count in ride.passes.items())


def fit_passes(curve: Cost, passes: Iterable[tuple[int, float, float]]) -> PassCosts:
    """Correct a curve by the passes that were made.

    A size's factor is the mean of what its passes took over what the curve says, without those
    that took longest, drawn to the common factor where there are few. More rows never cost less;
    what says so is noise, and neighbours that do are given a common factor of the curve between
    them (pooled adjacent violators: Ayer et al. 1955).

    Args:
        curve: as measured.
        passes: rows, tokens of history, and milliseconds of each.
    """
    ratios: dict[int, list[float]] = {}
    for rows, context, ms in passes:
        ratios.setdefault(rows, []).append(ms / curve.ms([(round(context), rows)]))
    if not ratios:
        return PassCosts(curve, (1,), (1.0,))
    common = _usual([ratio for each in ratios.values() for ratio in each])
    sizes = sorted(ratios)
    weights = [len(ratios[size]) + SIZE_WEIGHT for size in sizes]
    measured = [curve.ms([(0, size)]) for size in sizes]
    costs = [
        ms * (_usual(ratios[size]) * len(ratios[size]) + common * SIZE_WEIGHT) / weight
        for size, ms, weight in zip(sizes, measured, weights, strict=True)
    ]
    rising = _rising(costs, weights)
    return PassCosts(
        curve, tuple(sizes), tuple(cost / ms for cost, ms in zip(rising, measured, strict=True))
    )


def _usual(ratios: Sequence[float]) -> float:
    """The mean without the largest tenth: what else the machine does only adds."""
    kept = sorted(ratios)[: len(ratios) - len(ratios) // 10]
    return sum(kept) / len(kept)


def _rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest sequence that never falls, by weighted squares."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            before = pools.pop()
            together = before[1] + pool[1]
            mean = (before[0] * before[1] + pool[0] * pool[1]) / together
            pool = (mean, together, before[2] + pool[2])
        pools.append(pool)
    return [value for value, _, count in pools for _ in range(count)]


# ---------------------------------------------------------------------------------- speed-ups


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a plan is expected to do on prompts like those that were seen.

    Attributes:
        speedup: over plain decoding, with the interval in which it is expected to be measured.
        tokens_per_pass: gained, the bonus token included.
        acceptance_rate: accepted over drafted tokens; 0 where nothing is drafted.
        break_even: the acceptance rate at which these drafts gain what they cost; None where even
            accepting all of them does not, 0 where nothing is drafted or drafts cost nothing.
        step: what a step takes, in plain tokens: so many tokens have to come of it.
        draft_ms: of a step.
        drafting: the share of a step that goes to drafting.
    """

    speedup: Interval
    tokens_per_pass: float
    acceptance_rate: float
    break_even: float | None
    step: float
    draft_ms: float
    drafting: float


def predict(
    plain: Sequence[Ride], rides: Sequence[Ride], costs: PassCosts, *, others: int
) -> Prediction | None:
    """How fast a plan will be on other prompts of the same kind.

    Args:
        plain: plain decoding of some prompts.
        rides: the plan on the same prompts in the same order.
        costs: what passes take.
        others: how many prompts will be measured.

    Returns:
        None where no prompt has an answer of more than one token on both sides.
    """
    slow, fast = _times(plain, costs), _times(rides, costs)
    found = foreseen(slow, fast, others=others)
    if found is None:
        return None
    steps = sum(ride.steps for ride in rides)
    drafted = sum(ride.drafted for ride in rides)
    accepted = sum(ride.accepted for ride in rides)
    step_ms = float(fast.ms.sum()) / steps
    draft_ms = sum(ride.draft_ms for ride in rides) / steps
    step = step_ms * slow.per_second / 1000
    return Prediction(
        speedup=found,
        tokens_per_pass=float(fast.tokens.sum()) / steps,
        acceptance_rate=accepted / drafted if drafted else 0.0,
        break_even=break_even(step, drafted / steps),
        step=step,
        draft_ms=draft_ms,
        drafting=draft_ms / step_ms,
    )


def break_even(step: float, drafted: float) -> float | None:
    """The acceptance rate at which drafts gain what they cost.

    A step that takes as long as s plain tokens has to bring s tokens, and one comes in any case:
    (s − 1) / drafted.

    Args:
        step: what a step takes, in plain tokens.
        drafted: tokens a step, on average.

    Returns:
        None where accepting all of them does not do.
    """
    if step <= 1.0 or not drafted:
        return 0.0
    rate = (step - 1.0) / drafted
    return rate if rate <= 1.0 else None


def foreseen(plain: Times, plan: Times, *, others: int, seed: int = 0) -> Interval | None:
    """The speed-up on some prompts, and the interval in which that on others will be measured.

    Both the prompts seen and those to come are a sample of the same kind. So two resamples are
    drawn in each round, one as large as either, and the spread of their ratio is what the two
    figures will differ by (a bootstrap prediction interval: Davison and Hinkley, Bootstrap Methods
    and their Application, 1997, section 6.3.3, here on logarithms).

    Args:
        plain: of the prompts seen.
        plan: of the same.
        others: how many prompts are to come.
        seed: of the resampling.

    Returns:
        None where no prompt has a token on both sides; no interval where only one has.
    """
    both = (plain.tokens > 0) & (plan.tokens > 0)
    plain, plan = plain.pick(both), plan.pick(both)
    point = speedup(plain, plan, rounds=1, seed=seed)
    if point is None or point.low is None:
        return point
    random = np.random.default_rng(seed)
    apart = _drawn(plain, plan, max(others, 1), random) / _drawn(plain, plan, len(plain.ms), random)
    low, high = np.quantile(apart, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = point.value
    return Interval(value, value * float(low), value * float(high), point.units)


def _drawn(
    plain: Times, plan: Times, size: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """The speed-ups of resamples of so many prompts: float64[ROUNDS]."""
    units = len(plain.ms)
    drawn = random.multinomial(size, np.full(units, 1 / units), size=ROUNDS)
    slow = (drawn @ plain.ms) / (drawn @ plain.tokens)
    fast = (drawn @ plan.ms) / (drawn @ plan.tokens)
    ratio: NDArray[np.float64] = slow / fast
    return ratio


def _times(rides: Sequence[Ride], costs: PassCosts) -> Times:
    """How long the rides take with passes as they usually are."""
    ms = [costs.pass_ms(r) + r.draft_ms + r.sampling_ms + r.rest_ms for r in rides]
    return Times(np.array(ms, np.float64), np.array([r.tokens for r in rides], np.float64))
