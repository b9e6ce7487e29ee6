"""How fast the engine is here: passes over 1 to 32 rows, prefill, decoding, share of bandwidth.

Every repeat measures everything once, so that whatever else the machine does meanwhile touches all
figures alike; medians are reported, with the smallest and the largest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outrider import _native
from outrider.engines.base import HISTORY, CachedSequence, Pass, Rows
from outrider.engines.native import BANDWIDTH_BYTES, NativeEngine
from outrider.errors import UsageError
from outrider.lab.environment import machine, versions
from outrider.sampling import Sampler
from outrider.types import Sampling

ROWS = (1, 2, 4, 5, 8, 16, 32)
PREFILL_TOKENS = 512
DECODE_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some measurements, the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class EngineBench:
    """What was measured.

    Attributes:
        context: tokens of history behind the measured rows.
        repeats: how often everything was measured.
        rows_ms: milliseconds of a pass by its number of rows, logits included.
        prefill_tokens: tokens of a prompt that was computed from nothing.
        prefill_ms: milliseconds it took.
        decode_tokens: tokens that were decoded greedily, one a pass, from `context` on.
        decode_ms: milliseconds a decoded token, its choice included.
        bandwidth: bytes a second that the same threads stream at best.
        bytes_per_token: the file's weights and the cache that decoding one token reads.
    """

    context: int
    repeats: int
    rows_ms: dict[int, Spread]
    prefill_tokens: int
    prefill_ms: Spread
    decode_tokens: int
    decode_ms: Spread
    bandwidth: float
    bytes_per_token: float

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second."""
        return self.prefill_tokens / self.prefill_ms.median * 1000

    @property
    def decode_rate(self) -> float:
        """Decoded tokens a second."""
        return 1000 / self.decode_ms.median

    @property
    def bandwidth_share(self) -> float:
        """The bytes that a token has to read over those that could be read in its time."""
        return self.bytes_per_token * self.decode_rate / self.bandwidth


def measure(
    engine: NativeEngine,
    *,
    context: int = 256,
    repeats: int = 7,
    progress: Callable[[int], None] = lambda done: None,
) -> EngineBench:
    """Measure an engine that does nothing else meanwhile.

    Args:
        engine: any native engine.
        context: tokens of history behind the measured rows.
        repeats: how often everything is measured, after once to warm up.
        progress: told after each round how many are done, the warm-up included.

    Raises:
        UsageError: the context is negative or leaves no room to decode, or there are no repeats.
    """
    room = min(engine.context, engine.cache_tokens) - max(*ROWS, DECODE_TOKENS)
    if not 0 <= context <= room:
        raise UsageError(
            f"The context has to lie between 0 and {room} tokens here, not {context}; the model's "
            "context and the cache budget set the limit."
        )
    if repeats < 1:
        raise UsageError(f"The number of repeats has to be at least 1, not {repeats}.")
    bandwidth: list[float] = []
    rows: dict[int, list[float]] = {count: [] for count in ROWS}
    prefill: list[float] = []
    decode: list[float] = []
    prompt = min(PREFILL_TOKENS, room)
    for done in range(repeats + 1):
        with _history(engine, context, max(ROWS)) as sequence:
            for count in ROWS:
                rows[count].append(_draft_ms(engine, sequence, context, count))
        with _history(engine, 0, prompt) as sequence:
            prefill.append(_ms(lambda s=sequence: _commit(engine, s, _tokens(engine, 0, prompt))))  # type: ignore[misc]
        with _history(engine, context, DECODE_TOKENS) as sequence:
            decode.append(_decode_ms(engine, sequence, context))
        bandwidth.append(_native.read_bandwidth(engine.threads, BANDWIDTH_BYTES, 1))
        progress(done + 1)
    return EngineBench(
        context=context,
        repeats=repeats,
        rows_ms={count: Spread.of(times[1:]) for count, times in rows.items()},
        prefill_tokens=prompt,
        prefill_ms=Spread.of(prefill[1:]),
        decode_tokens=DECODE_TOKENS,
        decode_ms=Spread.of(decode[1:]),
        bandwidth=max(bandwidth),
        bytes_per_token=engine.file_bytes + engine.token_bytes * (context + DECODE_TOKENS / 2),
    )


def record(engine: NativeEngine, bench: EngineBench, model: str) -> dict[str, Any]:
    """The measurement with everything it depends on, ready for JSON."""
    return {
        "model": model,
        "fingerprint": engine.file.fingerprint(),
        "kernel": engine.kernel,
        "threads": engine.threads,
        "context": bench.context,
        "repeats": bench.repeats,
        "rows_ms": {str(count): spread.median for count, spread in bench.rows_ms.items()},
        "rows_ms_range": {
            str(count): [spread.low, spread.high] for count, spread in bench.rows_ms.items()
        },
        "prefill_tokens": bench.prefill_tokens,
        "prefill_tokens_per_second": bench.prefill_rate,
        "prefill_ms_range": [bench.prefill_ms.low, bench.prefill_ms.high],
        "decode_tokens": bench.decode_tokens,
        "decode_tokens_per_second": bench.decode_rate,
        "decode_ms": bench.decode_ms.median,
        "decode_ms_range": [bench.decode_ms.low, bench.decode_ms.high],
        "memory_bandwidth_gb_s": bench.bandwidth / 1e9,
        "bandwidth_share": bench.bandwidth_share,
        "file_bytes": engine.file_bytes,
        "bytes_per_token": bench.bytes_per_token,
        "repacked": engine.repacked,
        "machine": machine(),
        "versions": versions(),
    }


@contextmanager
def _history(engine: NativeEngine, context: int, room: int) -> Iterator[CachedSequence]:
    """A sequence of so many made-up tokens, with room for more; computed once, then shared."""
    tokens = _tokens(engine, 0, context)
    sequence = engine.open(tokens, context + room, share=context > 0)
    try:
        if sequence.cached < context:
            _commit(engine, sequence, tokens[sequence.cached :])
        yield sequence
    finally:
        engine.close(sequence)


def _draft_ms(engine: NativeEngine, sequence: CachedSequence, context: int, rows: int) -> float:
    """A pass over a chain of drafted rows, all with logits; the history stays as it is."""
    tokens = _tokens(engine, context, rows)
    draft = _rows(sequence, tokens, commit=False, want_logits=np.ones(rows, np.bool_))
    return _ms(lambda: engine.forward(draft))


def _decode_ms(engine: NativeEngine, sequence: CachedSequence, context: int) -> float:
    """A token of greedy decoding, the mean of some."""
    sampler = Sampler(Sampling(), vocab_size=engine.vocab_size, seed=0)
    (token,) = _tokens(engine, context, 1)
    start = time.perf_counter()
    for position in range(context + 1, context + 1 + DECODE_TOKENS):
        outcome = _commit(engine, sequence, [token])
        (token,) = outcome.choose([0], [sampler], [position])
    return (time.perf_counter() - start) * 1000 / DECODE_TOKENS


def _commit(engine: NativeEngine, sequence: CachedSequence, tokens: list[int]) -> Pass:
    """Make tokens history, as many a pass as the engine takes; the last one has logits."""
    most = engine.capabilities.max_rows
    *before, last = (tokens[i : i + most] for i in range(0, len(tokens), most))
    for chunk in before:
        none = np.zeros(len(chunk), np.bool_)
        engine.forward(_rows(sequence, chunk, commit=True, want_logits=none))
    want_logits = np.arange(len(last)) == len(last) - 1
    return engine.forward(_rows(sequence, last, commit=True, want_logits=want_logits))


def _rows(
    sequence: CachedSequence, tokens: list[int], *, commit: bool, want_logits: NDArray[np.bool_]
) -> Rows:
    """A chain from the sequence's history."""
    count = len(tokens)
    return Rows(
        sequence=np.full(count, sequence.id, np.int32),
        token=np.array(tokens, np.int32),
        parent=np.arange(HISTORY, count + HISTORY, dtype=np.int32),
        commit=np.full(count, commit, np.bool_),
        want_logits=want_logits,
    )


def _tokens(engine: NativeEngine, first: int, count: int) -> list[int]:
    """Made-up tokens, spread over the vocabulary, always the same at a position."""
    return [(position * 7919 + 11) % engine.vocab_size for position in range(first, first + count)]


def _ms(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000
