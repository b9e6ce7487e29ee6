"""When a chain of drafted tokens pays: tokens a pass, speed-up, best length, break-even.

Leviathan et al. 2023 is "Fast Inference from Transformers via Speculative Decoding",
arXiv:2211.17192. They take a pass over K + 1 rows to cost what a pass over one costs, v = 1; here
v is whatever was measured.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

import numpy as np
from numpy.typing import NDArray

from outrider.errors import UsageError

RowsCost = Callable[[int], float]
"""v: the time of a pass over M rows, in passes over one row."""

Alpha = float | Sequence[float] | NDArray[np.float64]
"""The same acceptance at every position, or one for each position of the draft."""

LONGEST = 64
"""Drafted tokens up to which a best length is looked for."""


def flat(rows: int) -> float:
    """Further rows cost nothing, v = 1, as where reading the weights is all that takes time."""
    return 1.0


def rows_cost(
    costs: RowsCost | Mapping[int, float] | Sequence[float] | NDArray[np.float64],
) -> RowsCost:
    """The curve v of what is known about passes, in any unit of time.

    Args:
        costs: the cost of M rows as a function of M, as a mapping from some M, or as a sequence
            that begins with one row. Between known numbers of rows the curve is linear, and
            beyond the last it rises as between the last two, or stays if it fell there.

    Raises:
        UsageError: one row is missing, there are fewer than two points, or a cost is not a
            positive number.
    """
    if callable(costs):
        function, one_row = costs, costs(1)
        return lambda rows: function(rows) / one_row
    if not isinstance(costs, Mapping):
        costs = dict(enumerate(costs, start=1))
    points = sorted(costs.items())
    if len(points) < 2 or points[0][0] != 1:
        raise UsageError("A cost curve needs the cost of 1 row and of at least one more number.")
    for rows, cost in points:
        if not 0.0 < cost < math.inf:
            raise UsageError(f"The cost of {rows} rows has to be a positive number, not {cost!r}.")
    known, cost_of = zip(*points, strict=True)

    def curve(rows: int) -> float:
        right = min(bisect_right(known, rows), len(known) - 1)
        left = right - 1
        slope = (cost_of[right] - cost_of[left]) / (known[right] - known[left])
        if rows > known[right]:
            return float((cost_of[right] + max(slope, 0.0) * (rows - known[right])) / cost_of[0])
        return float((cost_of[left] + slope * (rows - known[left])) / cost_of[0])

    return curve


# ------------------------------------------------------------------------------ tokens a pass


def expected_tokens(alpha: Alpha, length: int) -> float:
    """Expected tokens of a pass over `length` drafted ones, the bonus token included.

    E = 1 + α₁ + α₁α₂ + … + α₁⋯α_K; with one α for all positions (1 − α^(K+1)) / (1 − α)
    (Leviathan et al. 2023, equation 1).

    Args:
        alpha: in [0, 1]; given for each position, that of the tokens whose predecessors were
            accepted.
        length: K.

    Raises:
        UsageError: α is no probability, or K is negative or beyond the positions given.
    """
    return 1.0 + math.fsum(accumulate(_positions(alpha, length), mul))


def acceptance_rate(alpha: Alpha, length: int) -> float:
    """Accepted over drafted tokens, (E − 1) / K: what counters show, and less than α for K > 1.

    Raises:
        UsageError: as `expected_tokens`, or K is 0.
    """
    if length < 1:
        raise UsageError("An acceptance rate needs at least one drafted token.")
    return (expected_tokens(alpha, length) - 1.0) / length


def alpha_of_rate(rate: float, length: int) -> float:
    """The α at which `acceptance_rate(α, length)` is `rate`.

    Raises:
        UsageError: the rate is no probability, or K is 0.
    """
    _check_probability("rate", rate)
    return _solve(lambda alpha: acceptance_rate(alpha, length), rate)


# ----------------------------------------------------------------------------------- speed-up


def speedup(alpha: Alpha, c: float, length: int, v: RowsCost = flat) -> float:
    """Tokens a unit of time against plain decoding: S = E / (K·c + v(K + 1)).

    Leviathan et al. 2023, theorem 3.8, where v = 1.

    Args:
        alpha: the acceptance, in [0, 1].
        c: what drafting a token costs, at least 0.
        length: K; 0 is plain decoding.
        v: the curve of rows.

    Raises:
        UsageError: a value out of range.
    """
    return expected_tokens(alpha, length) / _time(c, length, v)


@dataclass(frozen=True, slots=True)
class BestLength:
    """The draft length of the greatest speed-up; 0 and 1.0 where drafting does not pay."""

    length: int
    speedup: float


def best_length(alpha: Alpha, c: float, v: RowsCost = flat, longest: int = LONGEST) -> BestLength:
    """The K of the greatest speed-up, the least of them where several are alike.

    Every K is tried: where v has steps (a kernel takes rows in blocks), the speed-up falls and
    rises again, and a search that stops at the first loss ends too early.

    Args:
        alpha: the acceptance; where it is given for each position, they bound K too.
        c: what drafting a token costs, at least 0.
        v: the curve of rows.
        longest: the largest K to try.

    Raises:
        UsageError: a value out of range.
    """
    if not isinstance(alpha, float | int):
        longest = min(longest, len(alpha))
    _check_length(longest)
    # max keeps the first of equals.
    length, best = max(
        ((k, speedup(alpha, c, k, v)) for k in range(longest + 1)), key=lambda pair: pair[1]
    )
    return BestLength(length, best)


# --------------------------------------------------------------------------------- break-even


@dataclass(frozen=True, slots=True)
class BreakEven:
    """An acceptance at which `length` drafted tokens gain what they cost."""

    alpha: float
    length: int


def break_even(c: float, length: int, v: RowsCost = flat) -> float | None:
    """The α at which S = 1, above which K drafted tokens pay; None where even α = 1 does not.

    E grows with α, so it is where E(α, K) = K·c + v(K + 1), and 0 where that is at most 1.

    Raises:
        UsageError: c is negative, or K is not positive.
    """
    if length < 1:
        raise UsageError("Break-even needs at least one drafted token.")
    time = _time(c, length, v)
    if time > length + 1:
        return None
    return _solve(lambda alpha: expected_tokens(alpha, length), time)


def lowest_break_even(c: float, v: RowsCost = flat, longest: int = LONGEST) -> BreakEven | None:
    """The least α above which some K pays, and that K; None where none ever does.

    With v = 1 it is α = c at K = 1 (Leviathan et al. 2023, corollary 3.9); with steps in v it may
    lie at another K.

    Raises:
        UsageError: as `break_even`.
    """
    found = ((break_even(c, k, v), k) for k in range(1, longest + 1))
    pays = [BreakEven(alpha, k) for alpha, k in found if alpha is not None]
    return min(pays, key=lambda point: point.alpha, default=None)


def break_even_cost(alpha: Alpha, length: int, v: RowsCost = flat) -> float:
    """The c at which S = 1: a drafter has to be cheaper; negative where none is cheap enough.

    c = (E − v(K + 1)) / K.

    Raises:
        UsageError: a value out of range.
    """
    if length < 1:
        raise UsageError("Break-even needs at least one drafted token.")
    return (expected_tokens(alpha, length) - v(length + 1)) / length


# ------------------------------------------------------------------------------------ helpers


def _time(c: float, length: int, v: RowsCost) -> float:
    """Of drafting K tokens one after another and the pass over them: K·c + v(K + 1)."""
    _check_length(length)
    if not 0.0 <= c < math.inf:
        raise UsageError(f"c has to be a number of at least 0, not {c!r}.")
    return length * c + v(length + 1)


def _positions(alpha: Alpha, length: int) -> Sequence[float]:
    """The acceptance at each of the first `length` positions."""
    _check_length(length)
    rates = [alpha] * length if isinstance(alpha, float | int) else [float(a) for a in alpha]
    if length > len(rates):
        raise UsageError(
            f"Acceptance is given for {len(rates)} positions, so {length} tokens are too many."
        )
    for rate in [alpha] if isinstance(alpha, float | int) else rates:
        _check_probability("alpha", rate)
    return rates[:length]


def _solve(growing: Callable[[float], float], goal: float) -> float:
    """Where in [0, 1] a growing function reaches the goal, by bisection to the last bit or so."""
    low, high = 0.0, 1.0
    if growing(low) >= goal:
        return low
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if growing(middle) >= goal else (middle, high)
    return high


def _check_probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{name} has to lie in [0, 1], not {value!r}.")


def _check_length(length: int) -> None:
    if length < 0:
        raise UsageError(f"A draft length has to be at least 0, not {length!r}.")
