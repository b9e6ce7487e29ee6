"""The native engine: a GGUF model on this machine's processor, one call a pass."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from outrider import _native
from outrider.engines import cost as costs
from outrider.engines.base import HISTORY, CachedSequence, Capabilities, Pass, Rows, TargetModel
from outrider.engines.machine import choose_threads, memory_bytes, processor, total_memory_bytes
from outrider.errors import UsageError, unknown_name
from outrider.models.download import Listener, Progress
from outrider.models.gguf import GgufFile
from outrider.models.store import cache_directory
from outrider.sampling import Sampler
from outrider.tree import Tree
from outrider.types import Sampling, Verdict

MAX_ROWS = 512
BLOCK_TOKENS = _native.BLOCK_TOKENS
BANDWIDTH_BYTES = 1 << 30
BANDWIDTH_ROUNDS = 4


def choose_kernel(kernel: str | None) -> str:
    """The instruction set: the argument, else OUTRIDER_KERNEL, else the best one here.

    Raises:
        UsageError: this machine or this build does not have it.
    """
    known = _native.kernels()
    name = kernel or os.environ.get("OUTRIDER_KERNEL") or known[0]
    if name not in known:
        raise unknown_name("kernel", name, known)
    return name


def fast_kernels() -> list[str]:
    """The instruction sets of this machine, the best first, but for the scalar reference."""
    return [name for name in _native.kernels() if name != "scalar"]


class NativePass(Pass):
    """The outcome of the engine's last pass; the work is done in the extension."""

    def __init__(self, native: _native.Pass) -> None:
        self._native = native

    def numpy(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """Raw logits, float32[len(rows), vocab_size]: a copy."""
        return self._native.logits(rows)

    def hidden(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """Hidden states asked for in `forward`, float32[len(hidden), len(rows), width]."""
        return self._native.hidden(rows)

    @property
    def phases(self) -> dict[str, float]:
        """Milliseconds that went to the layers' weights, attention, the output layer, the rest."""
        return self._native.phases()

    def choose(
        self,
        rows: Sequence[int],
        samplers: Sequence[Sampler],
        positions: Sequence[int],
        paths: Sequence[Sequence[int]] | None = None,
        masks: Sequence[NDArray[np.uint32] | None] | None = None,
    ) -> list[int]:
        """The target's own choice at each row; see `Pass.choose`."""
        return [
            self._native.choose(
                row,
                samplers[i],
                positions[i],
                paths[i] if paths is not None else (),
                masks[i] if masks is not None else None,
            )
            for i, row in enumerate(rows)
        ]

    def walk(self, root: int, position: int, tree: Tree, sampler: Sampler) -> Verdict:
        """Coupled verification in one call; see `Pass.walk`."""
        accepted, token = self._native.walk(root, position, tree.tokens, tree.parents, sampler)
        return Verdict(tuple(accepted), token)

    def logprobs(self, rows: Sequence[int], ids: Sequence[int]) -> NDArray[np.float64]:
        """Raw log-probability of one token a row, float64[len(rows)]."""
        return np.array([self._native.logprob(r, t) for r, t in zip(rows, ids, strict=True)])

    def top(self, rows: Sequence[int], k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The k likeliest tokens of each row and their raw log-probabilities, best first."""
        found = [self._native.top(row, k) for row in rows]
        ids = np.array([ids for ids, _ in found], np.int32).reshape(len(rows), k)
        return ids, np.array([values for _, values in found], np.float64).reshape(len(rows), k)

    def best(self, rows: Sequence[int], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The k likeliest tokens of each row and their raw logits, in one call."""
        return self._native.best(rows, k)


class NativeEngine(TargetModel):
    """A GGUF file's model, computed here.

    Args:
        model: the file, or its path.
        threads: None takes OUTRIDER_THREADS, else the physical cores this process may use.
        context: the longest sequence, in tokens; None takes what the model was trained for.
        cache_bytes: the budget of the key-value cache; None takes one full context or 1 GiB,
            whichever is more, but at most half of the free memory.
        kernel: the instruction set; None takes OUTRIDER_KERNEL, else the best one here.
        float32: compute with the file's exact weights in 32-bit floats: slow, for comparisons.
        max_rows: rows in one pass at most.
        progress: told how far the loading is, some 20 times a second, by the calling thread. What
            it raises ends the loading, as an interrupt does.

    Raises:
        ModelFileError: the file is damaged or not supported; the message names key or tensor.
        UsageError: an argument cannot be honoured.
        CapacityError: the cache budget holds nothing.
    """

    def __init__(
        self,
        model: GgufFile | Path | str,
        *,
        threads: int | None = None,
        context: int | None = None,
        cache_bytes: int | None = None,
        kernel: str | None = None,
        float32: bool = False,
        max_rows: int = MAX_ROWS,
        progress: Listener | None = None,
    ) -> None:
        self.file = model if isinstance(model, GgufFile) else GgufFile(Path(model))
        self.threads = choose_threads(threads)
        self.float32 = float32
        if context is not None and context < 1:
            raise UsageError(f"The context has to be at least 1 token, not {context}.")
        if not 1 <= max_rows <= 1 << 16:
            raise UsageError(f"max_rows has to lie between 1 and 65536, not {max_rows}.")
        if cache_bytes is not None and not 0 <= cache_bytes <= total_memory_bytes():
            raise UsageError(
                f"The cache budget has to lie between 0 and the {total_memory_bytes()} bytes of "
                f"this machine's memory, not {cache_bytes}."
            )
        self._native = _native.Engine(
            self.file.native,
            float32,
            self.threads,
            choose_kernel(kernel),
            context or 0,
            cache_bytes if cache_bytes is not None else self._default_cache_bytes(context),
            max_rows,
            progress and self._reporter(progress),
        )
        self.kernel = self._native.kernel
        self.context = self._native.context
        self.vocab_size = self._native.vocab_size
        self.layers = self._native.layers
        self.repacked: dict[str, int] = self._native.repacked
        self.weight_bytes = self._native.weight_bytes
        self.layer_bytes = self._native.layer_bytes
        self.output_bytes = self._native.output_bytes
        self.file_bytes = self._native.file_bytes
        self.token_bytes = self._native.token_bytes
        self.capabilities = Capabilities(
            trees=True, max_rows=max_rows, hidden=True, layers=True, bitwise=True
        )

    def _reporter(self, listener: Listener) -> Callable[[int, int], None]:
        name, path = self.file.name, str(self.file.path)
        return lambda done, total: listener(Progress(name, path, done, total, "load"))

    def _default_cache_bytes(self, context: int | None) -> int:
        architecture = self.file.metadata.get("general.architecture")

        def number(key: str, otherwise: int) -> int:
            value = self.file.metadata.get(f"{architecture}.{key}")
            return value if isinstance(value, int) and value > 0 else otherwise

        heads = number("attention.head_count", 1)
        head_dim = number("attention.key_length", number("embedding_length", 1) // heads)
        token = 4 * number("block_count", 1) * number("attention.head_count_kv", heads) * head_dim
        tokens = context or number("context_length", 1)
        return min(max(token * (tokens + BLOCK_TOKENS), 1 << 30), memory_bytes() // 2)

    def open(self, tokens: Sequence[int], capacity: int, *, share: bool = True) -> CachedSequence:
        """A sequence that may grow to `capacity` tokens; see `TargetModel.open`."""
        return self._native.open(tokens, capacity, share)

    def fork(self, sequence: CachedSequence, capacity: int) -> CachedSequence:
        """A second sequence with the same history; its last, partly filled block is copied."""
        return self._native.fork(sequence.id, capacity)

    def forward(
        self, rows: Rows, layers: int | None = None, hidden: tuple[int, ...] = ()
    ) -> NativePass:
        """One pass over all rows; the interpreter lock is released meanwhile."""
        if layers is not None and layers < 1:
            raise UsageError(f"layers has to lie between 1 and {self.layers}, not {layers}.")
        return NativePass(
            self._native.forward(
                rows.sequence,
                rows.token,
                rows.parent,
                rows.commit,
                rows.want_logits,
                -1 if layers is None else layers,
                hidden,
            )
        )

    def keep(self, sequence: CachedSequence, rows: Sequence[int]) -> None:
        """These drafted rows become history; see `TargetModel.keep`."""
        self._native.keep(sequence.id, rows)

    def close(self, sequence: CachedSequence) -> None:
        """Forget the sequence; its full blocks stay shareable while there is room."""
        self._native.close(sequence.id)

    def pretend(self, sequence: CachedSequence, length: int) -> None:
        """Give an empty sequence a history of made-up contents, to measure what contexts cost.

        Raises:
            UsageError: the sequence is not empty, or has no capacity for so many tokens.
        """
        self._native.pretend(sequence.id, length)

    def history_bytes(self, length: int) -> int:
        """Bytes of the cache that a row behind so many tokens of history reads."""
        return self._native.history_bytes(length)

    def clear_cache(self) -> None:
        """Forget every prefix that no open sequence uses."""
        self._native.clear_cache()

    @property
    def cache_tokens(self) -> int:
        """Tokens that the cache budget holds."""
        return self._native.cache_blocks * BLOCK_TOKENS

    @property
    def free_tokens(self) -> int:
        """Tokens of it that are neither in use nor reserved."""
        return self._native.free_blocks * BLOCK_TOKENS

    @cached_property
    def cost(self) -> costs.CostCurve:  # type: ignore[override]
        """The cost curve, measured at first use on this machine and kept."""
        return costs.load(self._cost_path()) or self.measure_cost()

    def measure_cost(self) -> costs.CostCurve:
        """Measure the cost curve anew; from here on it is this engine's `cost`, and kept."""
        curve = self._measured_cost()
        costs.save(curve, self._cost_path())
        self.__dict__["cost"] = curve
        return curve

    def _cost_path(self) -> Path:
        return cache_directory() / "cost" / f"{self._identity()}.json"

    @cached_property
    def bandwidth(self) -> float:
        """Bytes a second this machine streams with these threads: the best of several GB."""
        return _native.read_bandwidth(self.threads, BANDWIDTH_BYTES, BANDWIDTH_ROUNDS)

    def _identity(self) -> str:
        parts = (
            self.file.fingerprint(),
            processor(),
            str(self.threads),
            self.kernel,
            str(self.float32),
            # What limits the points that can be measured.
            str(min(self.context, self.cache_tokens, costs.LONG)),
            str([rows for rows in costs.ROWS if rows <= self.capabilities.max_rows]),
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]

    def _measured_cost(self) -> costs.CostCurve:
        with Probe(self) as probe:
            logits = probe.run(1, 0).numpy([0])[0]
            sampler = Sampler(Sampling(), vocab_size=self.vocab_size, seed=0)
            return costs.measure(
                probe.run,
                layers=self.layers,
                context=min(self.context, self.cache_tokens),
                max_rows=self.capabilities.max_rows,
                sample=lambda: sampler.choose(logits, 0),
            )


class Probe:
    """Passes over sequences of made-up contents, to measure what they cost."""

    def __init__(self, engine: NativeEngine) -> None:
        self._engine = engine
        self._open: dict[int, CachedSequence] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        for sequence in self._open.values():
            self._engine.close(sequence)
        self._open.clear()

    def _sequence(self, context: int) -> CachedSequence:
        if context not in self._open:
            self._close()
            capacity = min(context + self._engine.capabilities.max_rows, self._engine.context)
            capacity = min(capacity, self._engine.cache_tokens)
            sequence = self._engine.open([], capacity, share=False)
            self._engine.pretend(sequence, context)
            self._open[context] = sequence
        return self._open[context]

    def run(self, rows: int, context: int, layers: int | None = None, logits: bool = True) -> Pass:
        """A pass over `rows` drafted rows, each the next one's parent, behind `context` tokens."""
        sequence = self._sequence(context)
        return self._engine.forward(
            Rows(
                sequence=np.full(rows, sequence.id, np.int32),
                token=(np.arange(rows, dtype=np.int32) * 7919 + 11) % self._engine.vocab_size,
                parent=np.arange(HISTORY, rows + HISTORY, dtype=np.int32),
                commit=np.zeros(rows, np.bool_),
                want_logits=np.full(rows, logits, np.bool_),
            ),
            layers,
        )
