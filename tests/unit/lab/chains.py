"""Chains of drafted tokens that are each accepted with a known probability, without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from outrider.lab.prediction import Ride


class Curve:
    """A pass over M rows takes `base(M)`, and some more behind a long history."""

    def __init__(self, base: Callable[[int], float], attention: float = 0.0) -> None:
        self.base = base
        self.attention = attention

    def ms(self, rows, layers=None):
        return sum(self.base(m) + self.attention * context / 1000 * m for context, m in rows)


def chain(
    random: np.random.Generator,
    alpha: float,
    length: int,
    tokens: int,
    *,
    draft_ms: float = 0.0,
    step_ms: float = 0.0,
) -> Ride:
    """An answer of so many tokens; each drafted one costs `draft_ms`, each step `step_ms`."""
    steps, said, positions = 0, 0, [0] * length
    while said < tokens:
        steps += 1
        refused = np.flatnonzero(random.random(length) >= alpha)
        right = int(refused[0]) if len(refused) else length
        for i in range(right):
            positions[i] += 1
        said += right + 1
    return Ride(
        tokens=said,
        passes=Counter({length + 1: steps}),
        context=100.0,
        draft_ms=draft_ms * length * steps,
        sampling_ms=0.0,
        rest_ms=step_ms * steps,
        drafted=length * steps,
        accepted=sum(positions),
        by_position=tuple(positions),
    )
