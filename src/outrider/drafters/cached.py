"""A draft model with a cache of its own beside the target's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from outrider.drafters.base import DraftEntry, Observation
from outrider.drafters.growth import Growth
from outrider.drafters.passes import Lead, PassDrafter
from outrider.engines.base import CachedSequence, Pass, TargetModel
from outrider.engines.machine import memory_bytes
from outrider.engines.native import NativeEngine
from outrider.errors import CapacityError, ModelFileError, UsageError
from outrider.models.gguf import GgufFile
from outrider.tree import ROOT

CATCH_UP: Final = 256
"""Rows of one entry that a step's first pass reads at most before anything is drafted for it."""


@dataclass(slots=True)
class Seat:
    """An entry's place in the draft model's cache.

    Attributes:
        sequence: where it is.
        capacity: positions that it has room for.
        computed: tokens of the entry that are history there.
    """

    sequence: CachedSequence
    capacity: int
    computed: int


def native_target(target: TargetModel, drafter: str) -> NativeEngine:
    """The target, where it was loaded from a model file.

    Raises:
        UsageError: it was not.
    """
    if not isinstance(target, NativeEngine):
        raise UsageError(
            f"The drafter {drafter!r} needs a target that was loaded from a model file, not a "
            f"{type(target).__name__}."
        )
    return target


def open_draft(
    target: NativeEngine,
    path: Path,
    *,
    threads: int | None = None,
    cache_budget: int | None = None,
    check: Callable[[GgufFile], None] = lambda _: None,
) -> NativeEngine:
    """Load a draft model beside its target.

    Args:
        target: gives threads and kernel, and the longest sequence that is of use.
        path: the draft model's file.
        threads: None takes the target's.
        cache_budget: bytes for the draft model's keys and values; None takes as many as the
            target has, but at most a quarter of the free memory.
        check: called with the opened file before its weights are read; raises to refuse it.

    Raises:
        ModelFileError: the file is damaged or not supported.
        CapacityError: there is not enough memory for it.
        UsageError: what `check` raises, or a budget that cannot be honoured.
    """
    try:
        file = GgufFile(path)
        check(file)
        needed, free = sum(tensor.bytes for tensor in file.tensors()), memory_bytes()
        if needed > free:
            raise CapacityError(
                f"The draft model {path.name} needs {needed / 1e6:.1f} MB and {free / 1e6:.1f} MB "
                "of memory are free; use a smaller one, or a drafter without a model.",
                never=True,
            )
        if cache_budget is None:
            cache_budget = min(target.cache_tokens * target.token_bytes, (free - needed) // 4)
        return NativeEngine(
            file,
            threads=threads or target.threads,
            kernel=target.kernel,
            context=min(target.context, _trained_context(file) or target.context),
            cache_bytes=cache_budget,
        )
    except ModelFileError as error:
        raise ModelFileError(f"The draft model {path}: {error}") from error


def _trained_context(file: GgufFile) -> int | None:
    value = file.metadata.get(f"{file.metadata.get('general.architecture')}.context_length")
    return value if isinstance(value, int) and value > 0 else None


class CachedDrafter(PassDrafter):
    """A drafter whose model has a cache of its own, which is caught up in each step's first pass.

    What was accepted of a draft stays in the cache where its last pass has computed it. What is
    missing then, the token after the draft and after full acceptance the draft's last one too,
    comes with the first pass of the next draft.

    Args:
        target: the model whose choices are guessed.
        engine: the draft model.
        draws: as in `PassDrafter`.
        branch: as in `PassDrafter`.
    """

    engine: NativeEngine

    def __init__(
        self, target: TargetModel, engine: NativeEngine, *, draws: bool = False, branch: int = 1
    ) -> None:
        super().__init__(target, engine, draws=draws, branch=branch)
        self._longest = min(engine.context, engine.cache_tokens)
        self._seats: dict[int, Seat] = {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """The draft model, for records: its file, weights and cache budget in bytes."""
        return {
            "draft_model": self.engine.file.name,
            "draft_fingerprint": self.engine.file.fingerprint(),
            "draft_weight_bytes": self.engine.weight_bytes,
            "draft_cache_bytes": self.engine.cache_tokens * self.engine.token_bytes,
            "draft_context": self.engine.context,
        }

    def begin(self, entry: DraftEntry) -> None:
        """See whether the prompt fits; it is read with the first drafts.

        Raises:
            CapacityError: it does not.
        """
        if len(entry.tokens) > self._longest:
            raise CapacityError(
                f"the prompt has {len(entry.tokens)} tokens and the draft model's cache holds "
                f"{self._longest}; a larger cache_budget or another draft model helps",
                never=True,
            )

    def observe(self, batch: Sequence[Observation], outcome: Pass) -> None:
        """Keep what was accepted, and learn; see `PassDrafter.observe`."""
        for observation in batch:
            growth = self._drafts.get(observation.entry.id)
            if growth is not None and growth.passed == self.passes:
                self._keep(growth)
        super().observe(batch, outcome)

    def end(self, entry: DraftEntry) -> None:
        """Forget the entry, and let its cache go."""
        super().end(entry)
        seat = self._seats.pop(entry.id, None)
        if seat is not None:
            self.engine.close(seat.sequence)

    def _keep(self, growth: Growth) -> None:
        """What the target has picked of the last pass's rows is history from now on."""
        seat, node, rows = self._seats[growth.entry.id], ROOT, list[int]()
        # The pending token stays out, even where a row has it: its logits are still wanted.
        for token in growth.entry.tokens[growth.start : -1]:
            followers = (n for n in growth.rows if growth.parents[n] == node)
            picked = next((n for n in followers if growth.tokens[n] == token), None)
            if picked is None:
                break
            rows.append(growth.rows[picked])
            node = picked
        self.engine.keep(seat.sequence, rows)
        seat.computed += len(rows)

    # ---- seats ----------------------------------------------------------------------------------

    def _lead(self, entry: DraftEntry, room: int) -> Lead | None:
        """The tokens that the draft model has not seen, the pending one last."""
        length = len(entry.tokens)
        if length > self._longest:
            return None
        wanted = min(length + entry.max_depth, self._longest)
        seat = self._seat(entry, entry.tokens, wanted, wanted)
        if seat is None:
            return None
        missing = entry.tokens[seat.computed :]
        commit = missing[: min(room, CATCH_UP)]
        # Tokens that only the target has are beyond it for good.
        if not commit or max(commit) >= self.engine.vocab_size:
            return None
        seat.computed += len(commit)
        return Lead(seat.sequence, commit, ready=len(commit) == len(missing))

    def _deepest(self, entry: DraftEntry) -> int:
        """As deep as asked for, or as the draft model's context reaches."""
        return min(entry.max_depth, self._longest - len(entry.tokens) + 1)

    def _logits(self, outcome: Pass, rows: Sequence[int]) -> NDArray[np.float32]:
        """Logits over the target's vocabulary, whose end may be unused tokens."""
        logits, size = outcome.numpy(rows), self.target.vocab_size
        if logits.shape[1] >= size:
            return logits[:, :size]
        lacking = ((0, 0), (0, size - logits.shape[1]))
        return np.pad(logits, lacking, constant_values=-np.inf)

    def _seat(
        self, entry: DraftEntry, tokens: Sequence[int], needed: int, wanted: int
    ) -> Seat | None:
        """The entry's seat with room for `needed` positions; None while others have the room.

        Args:
            entry: whose it is.
            tokens: what it is going to hold.
            needed: positions at least.
            wanted: positions that a new one gets.
        """
        seat = self._seats.get(entry.id)
        if seat is not None and seat.capacity >= needed:
            return seat
        if seat is not None:
            del self._seats[entry.id]
            self.engine.close(seat.sequence)
        try:
            sequence = self.engine.open(tokens, wanted)
        except CapacityError:
            return None
        seat = self._seats[entry.id] = Seat(sequence, wanted, sequence.cached)
        return seat
