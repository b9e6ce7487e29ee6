"""The work by which an engine is measured: passes over drafted rows, prefill, decoding.

Histories have made-up contents, so that a long one costs no prefill; tokens are made up too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outrider.engines.base import HISTORY, CachedSequence, Rows
from outrider.engines.native import NativeEngine
from outrider.sampling import Sampler
from outrider.types import Sampling


@dataclass(frozen=True, slots=True)
class TimedPass:
    """A pass's milliseconds, and what they went to: `NativePass.phases`."""

    ms: float
    phases: dict[str, float]


@contextmanager
def history(engine: NativeEngine, context: int, room: int) -> Iterator[CachedSequence]:
    """A sequence behind so many tokens, with room for more."""
    sequence = engine.open([], context + room, share=False)
    try:
        engine.pretend(sequence, context)
        yield sequence
    finally:
        engine.close(sequence)


def draft_pass(engine: NativeEngine, sequence: CachedSequence, rows: int) -> TimedPass:
    """A pass over a chain of drafted rows, all with logits; the history stays as it is."""
    chain = Rows(
        sequence=np.full(rows, sequence.id, np.int32),
        token=_tokens(engine, rows),
        parent=np.arange(HISTORY, rows + HISTORY, dtype=np.int32),
        commit=np.zeros(rows, np.bool_),
        want_logits=np.ones(rows, np.bool_),
    )
    start = time.perf_counter()
    outcome = engine.forward(chain)
    return TimedPass(_ms_since(start), outcome.phases)


def prefill_ms(engine: NativeEngine, count: int) -> float:
    """A prompt of so many tokens computed from nothing, with the logits of the last."""
    most = engine.capabilities.max_rows
    tokens = _tokens(engine, count)
    with history(engine, 0, count) as sequence:
        chunks = [
            Rows(
                sequence=np.full(len(chunk), sequence.id, np.int32),
                token=chunk,
                parent=np.arange(HISTORY, len(chunk) + HISTORY, dtype=np.int32),
                commit=np.ones(len(chunk), np.bool_),
                want_logits=np.arange(first, first + len(chunk)) == count - 1,
            )
            for first in range(0, count, most)
            for chunk in [tokens[first : first + most]]
        ]
        start = time.perf_counter()
        for chunk in chunks:
            engine.forward(chunk)
        return _ms_since(start)


class Decoding:
    """Sequences of one length that are decoded greedily side by side, a token of each a pass."""

    def __init__(self, engine: NativeEngine, sequences: list[CachedSequence], context: int) -> None:
        count = len(sequences)
        self._engine = engine
        self._position = context
        self._tokens = _tokens(engine, count)
        self._ids = np.array([sequence.id for sequence in sequences], np.int32)
        self._all = np.ones(count, np.bool_)
        self._parents = np.full(count, HISTORY, np.int32)
        sampler = Sampler(Sampling(), vocab_size=engine.vocab_size, seed=0)
        self._samplers = [sampler] * count

    @classmethod
    @contextmanager
    def begin(
        cls, engine: NativeEngine, context: int, passes: int, count: int = 1
    ) -> Iterator[Decoding]:
        """Open `count` sequences behind `context` tokens, with room for so many passes."""
        with ExitStack() as stack:
            opened = [stack.enter_context(history(engine, context, passes)) for _ in range(count)]
            yield cls(engine, opened, context)

    def ms(self, passes: int) -> float:
        """Milliseconds of so many passes in all, the choices of their tokens included."""
        rows = range(len(self._ids))
        start = time.perf_counter()
        for _ in range(passes):
            outcome = self._engine.forward(
                Rows(self._ids, self._tokens, self._parents, self._all, self._all)
            )
            self._position += 1
            chosen = outcome.choose(rows, self._samplers, [self._position] * len(rows))
            self._tokens = np.array(chosen, np.int32)
        return _ms_since(start)


def _tokens(engine: NativeEngine, count: int) -> NDArray[np.int32]:
    """Made-up tokens, spread over the vocabulary, always the same."""
    return (np.arange(count, dtype=np.int32) * 7919 + 11) % np.int32(engine.vocab_size)


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
