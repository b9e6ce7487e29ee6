"""Short ways of asking an engine for passes, and an oracle that shares nothing between rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outrider.engines.base import HISTORY, CachedSequence, Pass, Rows
from outrider.engines.native import NativeEngine

Logits = NDArray[np.float32]
Engines = Callable[..., NativeEngine]
"""Makes an engine over a small model, given arguments of NativeEngine."""


class Batch:
    """Rows of a pass, added one by one."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int, bool, bool]] = []

    def add(
        self,
        sequence: CachedSequence | int,
        token: int,
        parent: int = HISTORY,
        *,
        commit: bool = False,
        want: bool = True,
    ) -> int:
        """Add a row and return its index."""
        number = sequence if isinstance(sequence, int) else sequence.id
        self._rows.append((number, token, parent, commit, want))
        return len(self._rows) - 1

    def commit(
        self, sequence: CachedSequence | int, tokens: Sequence[int], parent: int = HISTORY
    ) -> list[int]:
        """Add tokens that become history, each the parent of the next."""
        rows = []
        for token in tokens:
            parent = self.add(sequence, token, parent, commit=True)
            rows.append(parent)
        return rows

    def chain(
        self, sequence: CachedSequence | int, tokens: Sequence[int], parent: int = HISTORY
    ) -> list[int]:
        """Add drafted tokens, each the parent of the next."""
        rows = []
        for token in tokens:
            parent = self.add(sequence, token, parent)
            rows.append(parent)
        return rows

    def rows(self) -> Rows:
        """The struct of arrays."""
        columns: list[Any] = list(zip(*self._rows, strict=True)) or [()] * 5
        return Rows(
            sequence=np.array(columns[0], np.int32),
            token=np.array(columns[1], np.int32),
            parent=np.array(columns[2], np.int32),
            commit=np.array(columns[3], np.bool_),
            want_logits=np.array(columns[4], np.bool_),
        )

    def __len__(self) -> int:
        return len(self._rows)

    def run(
        self, engine: NativeEngine, layers: int | None = None, hidden: tuple[int, ...] = ()
    ) -> Pass:
        """Make the pass."""
        return engine.forward(self.rows(), layers, hidden)


def feed(
    engine: NativeEngine, sequence: CachedSequence, tokens: Sequence[int], chunk: int | None = None
) -> Logits:
    """Commit tokens in chunks; the logits of each, float32[len(tokens), vocab_size]."""
    step = chunk or max(len(tokens), 1)
    parts = []
    for start in range(0, len(tokens), step):
        batch = Batch()
        rows = batch.commit(sequence, tokens[start : start + step])
        parts.append(batch.run(engine).numpy(rows))
    return np.concatenate(parts)


class Oracle:
    """Logits after a text, computed alone: one row a pass, on a sequence that shares nothing."""

    def __init__(self, engine: NativeEngine) -> None:
        self.engine = engine
        self._known: dict[tuple[int, ...], Logits] = {}

    def every(self, tokens: Sequence[int]) -> Logits:
        """The logits of every position, float32[len(tokens), vocab_size]."""
        tokens = tuple(tokens)
        prefixes = [tokens[: i + 1] for i in range(len(tokens))]
        if any(prefix not in self._known for prefix in prefixes):
            sequence = self.engine.open([], len(tokens), share=False)
            found = feed(self.engine, sequence, tokens, chunk=1)
            self.engine.close(sequence)
            self._known.update(zip(prefixes, found, strict=True))
        return np.stack([self._known[prefix] for prefix in prefixes])

    def after(self, tokens: Sequence[int]) -> Logits:
        """The logits of the last position, float32[vocab_size]."""
        key = tuple(tokens)
        if key not in self._known:
            self.every(key)
        return self._known[key]


def same_bytes(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Equality of bytes, so that signs of zero and not-a-numbers count."""
    left, right = np.ascontiguousarray(a), np.ascontiguousarray(b)
    return left.shape == right.shape and bool(
        np.array_equal(left.view(np.uint32), right.view(np.uint32))
    )
