"""What a pass costs on this machine: a few measured points, and a model between them.

A pass over M rows costs what its weights cost at M rows, plus what each sequence's attention costs
at its context. Both are measured when a model is loaded, in a fraction of a second, and kept for
the same file, machine, threads and kernel.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROWS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 32)
WIDEST = 8
"""Rows at most of the passes that show what a row's attention costs."""
SHORT = 16
"""A context so short that its attention costs next to nothing."""
LONG = 2048
ROUNDS = 4
"""How often each pass is measured."""


@dataclass(frozen=True, slots=True)
class CostCurve:
    """The cost of a pass in milliseconds.

    Attributes:
        rows: numbers of rows that were measured, ascending.
        base_ms: a pass over these many rows at a short context.
        first_row_ms: what 1,000 tokens of context add for the first row of a sequence.
        other_row_ms: what they add for each further row, which reads the same cache.
        layer_share: how much of a pass one layer is; the rest is the output layer and overhead.
        sampling_ms: choosing one token.
    """

    rows: tuple[int, ...]
    base_ms: tuple[float, ...]
    first_row_ms: float
    other_row_ms: float
    layer_share: float
    layers: int
    sampling_ms: float

    def is_sound(self) -> bool:
        """Whether it has points and every number is finite and not negative."""
        each = (self.first_row_ms, self.other_row_ms, self.layer_share, self.sampling_ms)
        numbers = (*self.rows, *self.base_ms, *each, self.layers - 1)
        return len(self.rows) == len(self.base_ms) > 0 and all(
            0 <= number < math.inf for number in numbers
        )

    def base(self, rows: int) -> float:
        """A pass over this many rows at a short context: linear between measured points."""
        if rows <= 0:
            return 0.0
        last = len(self.rows) - 1
        if last == 0:
            return self.base_ms[0]
        right = min(max(bisect_right(self.rows, rows), 1), last)
        left = right - 1
        slope = (self.base_ms[right] - self.base_ms[left]) / (self.rows[right] - self.rows[left])
        return self.base_ms[left] + slope * (rows - self.rows[left])

    def ms(self, rows: Sequence[tuple[int, int]], layers: int | None = None) -> float:
        """Predicted milliseconds of a pass; see `Cost.ms`."""
        total = first = further = 0
        for context, count in rows:
            if count:
                total += count
                first += context
                further += context * (count - 1)
        depth = 1.0 if layers is None else layers / self.layers
        outside = 1.0 - self.layer_share * self.layers
        base = self.base(total) * (outside + (1.0 - outside) * depth)
        attention = (first * self.first_row_ms + further * self.other_row_ms) / 1000
        return base + attention * depth + self.sampling_ms * len(rows)


def measure(
    run: Callable[[int, int, int | None], object],
    *,
    layers: int,
    context: int,
    max_rows: int,
    sample: Callable[[], object],
) -> CostCurve:
    """Measure the curve.

    Args:
        run: makes a pass over (rows, context, layers or None for all).
        layers: the model's layers.
        context: the longest context there is room for.
        max_rows: rows in one pass at most.
        sample: chooses one token.
    """
    short = min(SHORT, context // 4)
    points = tuple(m for m in ROWS if m <= min(max_rows, context - short)) or (1,)
    run(1, short, None)
    *base, shallow = _least(
        [*(partial(run, m, short, None) for m in points), partial(run, 1, short, 1)], ROUNDS
    )
    # More rows never cost less; where they seem to, something else delayed the fewer ones.
    for i in reversed(range(len(base) - 1)):
        base[i] = min(base[i], base[i + 1])
    layer_share = max(base[0] - shallow, 0.0) / max(layers - 1, 1) / base[0]
    widest = max(m for m in points if m <= WIDEST)
    long = max(min(LONG, context - widest), short)
    run(1, long, None)
    span = max(long - short, 1) / 1000
    first, last = _least([partial(run, m, long, None) for m in (1, widest)], ROUNDS)
    one = max(first - base[0], 0.0) / span
    several = max(last - base[points.index(widest)], 0.0) / span
    return CostCurve(
        rows=points,
        base_ms=tuple(base),
        first_row_ms=one,
        other_row_ms=max(several - one, 0.0) / max(widest - 1, 1),
        layer_share=min(layer_share, 1.0 / layers),
        layers=layers,
        sampling_ms=_least([sample], ROUNDS)[0],
    )


def _least(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Milliseconds of each, the least of some rounds: what else the machine does only ever adds.

    All take turns in a round, so that what lasts for a while does not fall on one of them alone.
    """
    times = [math.inf] * len(works)
    for _ in range(rounds):
        for i, work in enumerate(works):
            start = time.perf_counter()
            work()
            times[i] = min(times[i], (time.perf_counter() - start) * 1000)
    return times


def load(path: Path) -> CostCurve | None:
    """The curve kept at `path`; None where there is none that can be read."""
    try:
        values: dict[str, Any] = {**json.loads(path.read_text())}
        values.update(rows=tuple(values["rows"]), base_ms=tuple(values["base_ms"]))
        curve = CostCurve(**values)
        return curve if curve.is_sound() else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def save(curve: CostCurve, path: Path) -> None:
    """Keep the curve; a folder that cannot be written means measuring again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(curve), file)
        Path(name).replace(path)
    except OSError:
        return
