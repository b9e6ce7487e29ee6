"""What passes really take: the curve measured at load, corrected by the passes that are made.

A machine does not keep to a measurement of a fraction of a second: others use it too, it grows
warm, and between the measured numbers of rows the curve was only drawn. What matters is how passes
of different sizes compare, for that decides how much to draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from outrider import _native
from outrider.control.base import PassReport
from outrider.drafters.base import Observation
from outrider.engines.base import Cost

LARGEST: Final = _native.LARGEST
"""Rows up to which passes are learned from, each number of rows by itself."""

CONTEXT: Final = 1000
"""Tokens of context at which the attention's part of a cost is read."""


class PassTimes(_native.PassTimes):
    """Times of passes: measured × a factor for all passes × a factor for their number of rows.

    The factors are clipped exponential averages of logarithms. The common one is faster, so that a
    machine that slows down while only passes of one size are made slows the others too. Factors of
    sizes lie on a line through all passes, which is found after a few dozen of them, be they of
    ever so many sizes: where rows cost half of what was measured, they do so for numbers of rows
    that were not seen. What one size says by itself is added as it is seen more often.

    Attention is taken to grow in a straight line with the context, and all the rest with the rows
    beyond `LARGEST`.

    `ms(rows, further)` are the milliseconds of a pass over `rows`, (context, rows) of every
    sequence, and 0, 1, … `further` more rows of any of these; `row_ms(context)` is what a row takes
    beyond what any row takes; `observe(rows, ms)` learns from a pass that has been made.

    Args:
        cost: what was measured.
    """

    def __init__(self, cost: Cost) -> None:
        def ms(*rows: tuple[int, int]) -> float:
            return cost.ms(rows)

        def by_context(first: float, last: float) -> float:
            return (last - first) / CONTEXT

        further = [ms((context, 2)) - ms((context, 1)) for context in (0, CONTEXT)]
        super().__init__(
            [0.0, *(ms((0, m)) for m in range(1, LARGEST + 1))],
            by_context(ms((0, 1)), ms((CONTEXT, 1))),
            by_context(*further),
            ms((0, 1), (0, 1)) - ms((0, 2)),
        )


def only_decoding(batch: Sequence[Observation], report: PassReport) -> bool:
    """Whether the pass had one row and their drafts for the batch, and one row for any other.

    A prompt's rows cost less than as many drafted ones: nothing is said after most of them.
    """
    rows = sum(count for _, count in report.rows)
    drafted = sum(len(observation.tree) for observation in batch)
    return rows == len(report.rows) + drafted and len(report.rows) >= len(batch)
