"""What passes really take: the curve measured at load, corrected by the passes that are made.

A machine does not keep to a measurement of a fraction of a second: others use it too, it grows
warm, and between the measured numbers of rows the curve was only drawn. What matters is how passes
of different sizes compare, for that decides how much to draft.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outrider.control.base import PassReport
from outrider.drafters.base import Observation
from outrider.engines.base import Cost

LARGEST: Final = 128
"""Rows up to which passes are learned from, each number of rows by itself."""

SIZES: Final = np.arange(LARGEST + 1)

CLIP: Final = 0.2
"""The most that one pass may say, as a logarithm: a machine that hesitates for ten passes' time
says no more than one that is a fifth slower."""

PERSISTENT: Final = 4
"""Passes in a row that would say more, all in the same direction, after which they are believed:
memory is at times several times as fast as at others."""

COMMON_WEIGHT: Final = 4.0
"""Passes that the measured curve is worth, against what all passes say."""

COMMON_MEMORY: Final = 16.0
"""Passes after which what all passes say is forgotten by 1 / e."""

SIZE_WEIGHT: Final = 16.0
"""Passes of one size that the measured curve's proportions are worth."""

SIZE_MEMORY: Final = 64.0
"""Passes of one size after which what they say is forgotten by 1 / e."""

REFIT: Final = 16
"""Passes after which sizes that were not seen follow those that were."""

SLOPE_WEIGHT: Final = 0.05
"""What the measured slope is worth when a line is laid through the passes that were seen: as much
as passes whose costs have this sum of squared deviations, in plain passes."""


class PassTimes:
    """Times of passes: measured × a factor for all passes × a factor for their number of rows.

    The factors are clipped exponential averages of logarithms. The common one is faster, so that a
    machine that slows down while only passes of one size are made slows the others too. Factors of
    sizes lie on a line through all passes, which is found after a few dozen of them, be they of
    ever so many sizes: where rows cost half of what was measured, they do so for numbers of rows
    that were not seen. What one size says by itself is added as it is seen more often.

    Args:
        cost: what was measured.
    """

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._measured = np.array([0.0, *(cost.ms([(0, m)]) for m in range(1, LARGEST + 1))])
        self._seen = np.zeros(LARGEST + 1)
        self._recent = np.zeros(LARGEST + 1)
        self._factor = np.zeros(LARGEST + 1)  # a logarithm, like the common one
        self._average = np.zeros(LARGEST + 1)  # what it would be by the passes of its size alone
        self._common = 0.0
        self._passes = 0
        self._beyond: list[float] = []  # errors in a row that were clipped
        self._times = self._measured.copy()
        # Behind a context, further rows of a sequence take longer; the first is in every pass.
        self._row_slope = (self._further_row(1000) - self._further_row(0)) / 1000

    def _further_row(self, context: int) -> float:
        return self._cost.ms([(context, 2)]) - self._cost.ms([(context, 1)])

    def ms(self, rows: Sequence[tuple[int, int]], further: int = 0) -> NDArray[np.float64]:
        """Milliseconds of a pass over `rows` and 0, 1, … `further` more, float64[further + 1].

        Args:
            rows: (context, rows) of every sequence.
            further: rows of any of these sequences, without what `row_ms` says of them.
        """
        total = sum(count for _, count in rows)
        self._extend(total + further)
        attention = self._cost.ms(rows) - float(self._measured[total])
        scale = math.exp(self._common)
        times: NDArray[np.float64] = self._times[total : total + further + 1] * scale
        times += attention * scale
        return times

    def pass_ms(self, rows: Sequence[tuple[int, int]]) -> float:
        """Milliseconds of a pass over `rows`."""
        total = sum(count for _, count in rows)
        self._extend(total)
        attention = self._cost.ms(rows) - float(self._measured[total])
        return (float(self._times[total]) + attention) * math.exp(self._common)

    def row_ms(self, context: int) -> float:
        """What a drafted row takes beyond what any row takes, for its sequence is this long."""
        return self._row_slope * context * math.exp(self._common)

    def observe(self, rows: Sequence[tuple[int, int]], ms: float) -> None:
        """Learn from a pass that has been made; of one beyond `LARGEST` rows nothing is learned."""
        total = sum(count for _, count in rows)
        if not 0 < total <= LARGEST or ms <= 0.0:
            return
        error = math.log(ms / self.pass_ms(rows))
        if self._persists(error):
            self._common += min(self._beyond, key=abs)
            self._beyond = []
            return
        error = min(max(error, -CLIP), CLIP)
        self._common += error / min(self._passes + COMMON_WEIGHT, COMMON_MEMORY)
        own = float(self._factor[total] + error - self._average[total])
        self._average[total] += own / min(self._seen[total] + 1.0, SIZE_MEMORY)
        self._factor[total] += error / min(self._seen[total] + SIZE_WEIGHT, SIZE_MEMORY)
        self._times[total] = self._measured[total] * math.exp(float(self._factor[total]))
        self._passes += 1
        self._seen[total] += 1
        self._recent[total] += 1
        if self._passes % REFIT == 0:
            self._refit()

    def _persists(self, error: float) -> bool:
        """Whether errors beyond what one pass may say are no exception."""
        if abs(error) < CLIP:
            self._beyond = []
            return False
        if self._beyond and (error > 0.0) != (self._beyond[0] > 0.0):
            self._beyond = []
        self._beyond.append(error)
        return len(self._beyond) == PERSISTENT

    def _refit(self) -> None:
        """Let the factors by size be 1 on average over recent passes, and give one to every size.

        The first changes no time: what is wrong of all passes is found in the common factor.
        """
        average = float(self._recent @ self._factor / self._recent.sum())
        self._factor -= average
        self._average -= average
        self._common += average
        measured = self._measured[: LARGEST + 1]
        seen = np.flatnonzero(self._seen)
        times = measured[seen] * np.exp(self._average[seen])
        line = slope_factors(measured, seen, times, self._recent[seen])
        own = (self._average[seen] - line[seen]) * (self._seen / (self._seen + SIZE_WEIGHT))[seen]
        self._factor = line + np.interp(SIZES, seen, own)
        self._times[: LARGEST + 1] = measured * np.exp(self._factor)
        self._times[LARGEST + 1 :] = self._measured[LARGEST + 1 :] * math.exp(self._factor[-1])
        self._recent *= 1.0 - REFIT / SIZE_MEMORY

    def _extend(self, rows: int) -> None:
        """Have the measured curve up to this many rows."""
        known = len(self._measured)
        if rows < known:
            return
        more = [self._cost.ms([(0, m)]) for m in range(known, max(rows + 1, 2 * known))]
        self._measured = np.append(self._measured, more)
        self._times = np.append(self._times, np.array(more) * math.exp(self._factor[-1]))


def slope_factors(
    measured: NDArray[np.float64],
    seen: NDArray[np.intp],
    times: NDArray[np.float64],
    passes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """By what the line through the times of some sizes differs from a measured curve.

    The line is one over the measured cost, not over rows: the curve keeps its steps, and only what
    it rises by is scaled.

    Args:
        measured: float64[M + 1], milliseconds of 0, 1, … M rows.
        seen: the sizes whose times are known.
        times: their times in milliseconds.
        passes: of each of them.

    Returns:
        float64[M + 1], logarithms.
    """
    plain = measured[1]
    cost = measured / plain
    here = cost[seen]
    shares = passes / passes.sum()
    middle, level = shares @ here, shares @ times
    apart = here - middle
    # The times are not quite the measured ones: the slope that these would have.
    expected = level / middle
    known = passes * apart
    slope = (known @ times + SLOPE_WEIGHT * expected) / (known @ apart + SLOPE_WEIGHT)
    # Neither rows nor a pass of one come for nothing.
    slope = min(max(slope, 0.0), 0.95 * level / max(middle - 1.0, 1e-9))
    line = level + slope * (cost - middle)
    ratio: NDArray[np.float64] = np.maximum(line, 0.05 * level) / np.maximum(measured, 1e-9)
    return np.log(ratio)


def only_decoding(batch: Sequence[Observation], report: PassReport) -> bool:
    """Whether the pass had one row and their drafts for the batch, and one row for any other.

    A prompt's rows cost less than as many drafted ones: nothing is said after most of them.
    """
    rows = sum(count for _, count in report.rows)
    drafted = sum(len(observation.tree) for observation in batch)
    return rows == len(report.rows) + drafted and len(report.rows) >= len(batch)
