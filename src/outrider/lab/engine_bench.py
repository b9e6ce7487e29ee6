"""How fast the engine is here: passes over 1 to 32 rows, prefill, decoding, share of bandwidth.

Every round measures everything once, so that whatever else the machine does meanwhile touches all
figures alike; medians over the rounds are reported. Ratios are taken within a round.

The floor under a decoded token is the time to read the file's weights and the token's history at
the memory's bandwidth. On many machines that changes from second to second, so it is measured
beside what it is held against: slices of `SLICE_BYTES`, from memory too large for any cache, are
read before and after every few decoded tokens, and the fastest of those slices sets the floor of
those tokens. `bandwidth_share` is the median over the rounds of floor over time;
`bandwidth_share_of_best` holds the median time against the fastest slice of all rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from outrider import _native
from outrider.engines.native import BANDWIDTH_BYTES, BLOCK_TOKENS, NativeEngine
from outrider.errors import UsageError
from outrider.lab.workload import Decoding, TimedPass, draft_pass, history, prefill_ms

ROWS = (1, 2, 4, 5, 8, 16, 32)
KERNEL_ROWS = (1, 4, 8, 16)
STREAMS = (1, 2, 4, 8, 16)
STREAM_PASSES = 4
PREFILL_TOKENS = 512
DECODE_TOKENS = 32
STRETCH_TOKENS = 8
"""Tokens that are decoded between two measurements of the bandwidth."""

SLICE_BYTES = 64 << 20
SLICES = 3
"""Slices of a measurement of the bandwidth; a disturbed one does not lower the floor."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some measurements, the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Curve:
    """What passes over several numbers of rows cost.

    Attributes:
        rows_ms: milliseconds of a pass by its number of rows, logits included.
        ratios: the cost in passes over one row, the median of the rounds' own ratios.
        phases_ms: median milliseconds by number of rows and phase; see `NativePass.phases`.
    """

    rows_ms: dict[int, Spread]
    ratios: dict[int, float]
    phases_ms: dict[int, dict[str, float]]

    @classmethod
    def of(cls, rounds: Sequence[Mapping[int, TimedPass]]) -> Curve:
        """Of at least one round that measured the same numbers of rows, one row among them."""
        counts = list(rounds[0])
        return cls(
            rows_ms={n: Spread.of([r[n].ms for r in rounds]) for n in counts},
            ratios={n: statistics.median(r[n].ms / r[1].ms for r in rounds) for n in counts},
            phases_ms={
                n: {
                    phase: statistics.median(r[n].phases[phase] for r in rounds)
                    for phase in rounds[0][n].phases
                }
                for n in counts
            },
        )


@dataclass(frozen=True, slots=True)
class ContextBench:
    """What was measured behind one length of history.

    Attributes:
        asked: tokens of history that were asked for.
        context: those that there were: fewer where the rows would have had no room.
        curve: passes over drafted rows.
        decode_ms: milliseconds a decoded token, its choice included.
        bytes_per_token: the file's weights and the cache that decoding one token reads.
        share: of the bandwidth measured beside it, what decoding reached, by round.
        bandwidth: the fastest slice beside decoding, by round, in bytes a second.
        streams: tokens a second in all by the number of sequences decoded together; those numbers
            whose histories the cache budget holds.
    """

    asked: int
    context: int
    curve: Curve
    decode_ms: Spread
    bytes_per_token: float
    share: Spread
    bandwidth: Spread
    streams: dict[int, float]

    @property
    def decode_rate(self) -> float:
        """Decoded tokens a second."""
        return 1000 / self.decode_ms.median


@dataclass(frozen=True, slots=True)
class KernelBench:
    """What was measured of one set of kernels: passes over drafted rows, and a prompt."""

    curve: Curve
    prefill_ms: Spread


@dataclass(frozen=True, slots=True)
class EngineBench:
    """What was measured.

    Attributes:
        repeats: rounds, the one to warm up not counted.
        contexts: by length of history, in the order asked for.
        prefill_tokens: tokens of a prompt that was computed from nothing.
        prefill_ms: milliseconds it took.
        kernels: sets of kernels beside one another, behind the first length of history.
    """

    repeats: int
    contexts: tuple[ContextBench, ...]
    prefill_tokens: int
    prefill_ms: Spread
    kernels: dict[str, KernelBench]

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second."""
        return self.rate_of_prefill(self.prefill_ms)

    def rate_of_prefill(self, ms: Spread) -> float:
        """Prompt tokens a second, where the prompt took so many milliseconds."""
        return self.prefill_tokens / ms.median * 1000

    @property
    def bandwidth(self) -> float:
        """Bytes a second of the fastest slice of all."""
        return max(context.bandwidth.high for context in self.contexts)

    def share_of_best(self, context: ContextBench) -> float:
        """The bytes a token has to read over those that could be read in its time at best."""
        return context.bytes_per_token * context.decode_rate / self.bandwidth


@dataclass(frozen=True, slots=True)
class _DecodeRound:
    """Decoding in one round: its time and floor a token, and the fastest slice beside it."""

    ms: float
    floor_ms: float
    bandwidth: float


@dataclass(frozen=True, slots=True)
class _ContextRound:
    rows: dict[int, TimedPass]
    decode: _DecodeRound
    streams: dict[int, float]


def measure(
    engine: NativeEngine,
    *,
    contexts: Sequence[int] = (256,),
    repeats: int = 7,
    kernels: Sequence[NativeEngine] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> EngineBench:
    """Measure an engine that does nothing else meanwhile.

    Args:
        engine: any native engine.
        contexts: tokens of history behind the measured rows, at least one number. One that leaves
            no room for the rows is lowered until it does.
        repeats: rounds, after one to warm up.
        kernels: engines of the same model whose kernels are measured beside one another, behind
            the first number of tokens; `engine` may be one of them.
        progress: told after each round how many are done, the warm-up included.

    Raises:
        UsageError: a context is negative or more than the model's, or there are no repeats.
    """
    lengths = [_with_room(engine, context) for context in contexts]
    if repeats < 1:
        raise UsageError(f"The number of repeats has to be at least 1, not {repeats}.")
    memory = _native.MemoryReader(engine.threads, BANDWIDTH_BYTES)
    prompt = min(PREFILL_TOKENS, engine.context, engine.cache_tokens)
    rounds: list[list[_ContextRound]] = []
    prefills: list[float] = []
    kernel_rows: dict[str, list[dict[int, TimedPass]]] = {e.kernel: [] for e in kernels}
    kernel_prefills: dict[str, list[float]] = {e.kernel: [] for e in kernels}
    for done in range(repeats + 1):
        rounds.append([_measure_context(engine, context, memory) for context in lengths])
        prefills.append(prefill_ms(engine, prompt))
        for name, rows in _measure_kernels(kernels, lengths[0]).items():
            kernel_rows[name].append(rows)
        for other in kernels:
            kernel_prefills[other.kernel].append(prefill_ms(other, prompt))
        progress(done + 1)
    return EngineBench(
        repeats=repeats,
        contexts=tuple(
            _context_bench(engine, asked, context, list(measured))
            for asked, context, measured in zip(
                contexts, lengths, zip(*rounds[1:], strict=True), strict=True
            )
        ),
        prefill_tokens=prompt,
        prefill_ms=Spread.of(prefills[1:]),
        kernels={
            name: KernelBench(Curve.of(rows[1:]), Spread.of(kernel_prefills[name][1:]))
            for name, rows in kernel_rows.items()
        },
    )


def _with_room(engine: NativeEngine, context: int) -> int:
    """The context, or the longest that leaves room for the rows that are measured behind it."""
    limit = min(engine.context, engine.cache_tokens)
    room = limit - max(*ROWS, DECODE_TOKENS)
    if room < 0 or not 0 <= context <= limit:
        raise UsageError(
            f"The context has to lie between 0 and {limit} tokens here, not {context}, and the "
            f"limit at {limit - room} or more; the model's context and the cache budget set it."
        )
    return min(context, room)


def _measure_context(
    engine: NativeEngine, context: int, memory: _native.MemoryReader
) -> _ContextRound:
    with history(engine, context, max(ROWS)) as sequence:
        rows = {count: draft_pass(engine, sequence, count) for count in ROWS}
    return _ContextRound(
        rows=rows,
        decode=_measure_decoding(engine, context, memory),
        streams={
            count: _stream_rate(engine, context, count)
            for count in STREAMS
            if _streams_fit(engine, context, count)
        },
    )


def _measure_decoding(
    engine: NativeEngine, context: int, memory: _native.MemoryReader
) -> _DecodeRound:
    """Stretches of tokens, each with its own floor, set by the fastest slice beside it."""
    ms = floor_ms = best = 0.0
    with Decoding.begin(engine, context, DECODE_TOKENS) as decoding:
        before = _bandwidth(memory)
        for first in range(context, context + DECODE_TOKENS, STRETCH_TOKENS):
            ms += decoding.ms(STRETCH_TOKENS)
            after = _bandwidth(memory)
            beside = max(before, after)
            size = STRETCH_TOKENS * bytes_per_token(engine, first, STRETCH_TOKENS)
            floor_ms += size / beside * 1000
            best = max(best, beside)
            before = after
    return _DecodeRound(ms / DECODE_TOKENS, floor_ms / DECODE_TOKENS, best)


def _bandwidth(memory: _native.MemoryReader) -> float:
    return max(memory.read(SLICE_BYTES) for _ in range(SLICES))


def bytes_per_token(engine: NativeEngine, context: int, tokens: int) -> float:
    """Bytes of the file and of the cache that a token reads, the mean of some from `context` on."""
    read = [engine.history_bytes(length) for length in range(context, context + tokens)]
    return engine.file_bytes + statistics.fmean(read)


def _streams_fit(engine: NativeEngine, context: int, count: int) -> bool:
    blocks = -(-(context + STREAM_PASSES) // BLOCK_TOKENS)
    return count * blocks * BLOCK_TOKENS <= engine.cache_tokens


def _stream_rate(engine: NativeEngine, context: int, count: int) -> float:
    with Decoding.begin(engine, context, STREAM_PASSES, count) as decoding:
        return 1000 * STREAM_PASSES * count / decoding.ms(STREAM_PASSES)


def _measure_kernels(
    kernels: Sequence[NativeEngine], context: int
) -> dict[str, dict[int, TimedPass]]:
    """A pass of every engine before the number of rows changes."""
    rows: dict[str, dict[int, TimedPass]] = {engine.kernel: {} for engine in kernels}
    for count in KERNEL_ROWS:
        for engine in kernels:
            with history(engine, context, count) as sequence:
                rows[engine.kernel][count] = draft_pass(engine, sequence, count)
    return rows


def _context_bench(
    engine: NativeEngine, asked: int, context: int, rounds: Sequence[_ContextRound]
) -> ContextBench:
    return ContextBench(
        asked=asked,
        context=context,
        curve=Curve.of([r.rows for r in rounds]),
        decode_ms=Spread.of([r.decode.ms for r in rounds]),
        bytes_per_token=bytes_per_token(engine, context, DECODE_TOKENS),
        share=Spread.of([r.decode.floor_ms / r.decode.ms for r in rounds]),
        bandwidth=Spread.of([r.decode.bandwidth for r in rounds]),
        streams={n: statistics.median(r.streams[n] for r in rounds) for n in rounds[0].streams},
    )
