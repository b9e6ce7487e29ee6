"""A model in memory for tests: the seam's rules in plain Python, and every breach of them an error.

Its language is small and repeats itself, so that drafts are sometimes right: logits are a table
of what likes to follow the last token, plus a little noise that depends on every token before it.
What stands in the cache for a position is a hash of the history up to it, so a row computed from
a wrong or mixed-up history shows in its logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outrider.engines.base import HISTORY, CachedSequence, Capabilities, Pass, Rows, TargetModel
from outrider.errors import CapacityError, UsageError

LAYERS: Final = 4
WIDTH: Final = 8

_WORD: Final = 2**64 - 1


def _mix(state: int, value: int) -> int:
    """One step of a 64-bit hash chain (the finaliser of splitmix64)."""
    z = (state * 31 + value + 0x9E3779B97F4A7C15) & _WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _WORD
    return z ^ (z >> 31)


def _noise(state: int, size: int) -> NDArray[np.float32]:
    """Numbers in [−1, 1) that depend on `state` alone, float32[size]."""
    z = np.arange(size, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(state)
    z = (z ^ (z >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    return ((z >> np.uint64(40)).astype(np.float32) / np.float32(2**23)) - np.float32(1)


@dataclass(slots=True, eq=False)
class ToySequence:
    """A sequence in the toy's cache."""

    id: int
    cached: int
    capacity: int
    length: int
    blocks: list[int]
    share: bool
    parent: int = 0
    tail: list[int] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Block:
    states: list[int]
    users: int = 0
    serial: int = 0
    key: tuple[int, tuple[int, ...]] | None = None


class ToyCost:
    """A made-up cost: a pass takes one millisecond, and a tenth of one more for each row."""

    def ms(self, rows: Sequence[tuple[int, int]], layers: int | None = None) -> float:
        """Milliseconds of a pass; see `outrider.engines.base.Cost`."""
        share = 1.0 if layers is None else layers / LAYERS
        return share * (1.0 + 0.1 * sum(count for _, count in rows))


class ToyPass(Pass):
    """The outcome of the toy's last pass."""

    def __init__(
        self,
        engine: ToyEngine,
        logits: dict[int, NDArray[np.float32]],
        hidden: dict[int, NDArray[np.float32]],
    ) -> None:
        self._engine = engine
        self._logits = logits
        self._hidden = hidden
        self._number = engine.passes

    def _pick(
        self, values: dict[int, NDArray[np.float32]], rows: Sequence[int]
    ) -> list[NDArray[np.float32]]:
        if self._number != self._engine.passes:
            raise UsageError("This pass is over: it was valid until the next call of forward.")
        for row in rows:
            if row not in values:
                raise UsageError(f"Row {row} of this pass has no logits: it did not want them.")
        return [values[row] for row in rows]

    def numpy(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """Raw logits, float32[len(rows), vocab_size]."""
        picked = self._pick(self._logits, rows)
        return np.array(picked, np.float32).reshape(len(rows), self._engine.vocab_size)

    def hidden(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """Hidden states asked for in `forward`, float32[len(hidden), len(rows), WIDTH]."""
        return np.stack(self._pick(self._hidden, rows), axis=1)


class ToyEngine(TargetModel):
    """The toy model; a subclass may override `logits` to make it misbehave.

    Args:
        vocab_size: tokens in the vocabulary.
        context: the longest sequence.
        cache_tokens: what the cache holds in all, rounded down to whole blocks.
        block_size: positions in a block of the cache.
        max_rows: rows in one pass at most.
        trees: False refuses drafts that branch.
        seed: of the language.
    """

    def __init__(
        self,
        *,
        vocab_size: int = 48,
        context: int = 128,
        cache_tokens: int = 1024,
        block_size: int = 4,
        max_rows: int = 64,
        trees: bool = True,
        seed: int = 0,
    ) -> None:
        self.vocab_size = vocab_size
        self.context = context
        self.layers = LAYERS
        self.capabilities = Capabilities(
            trees=trees, max_rows=max_rows, hidden=True, layers=True, bitwise=True
        )
        self.cost = ToyCost()
        self.block_size = block_size
        self.passes = 0
        self.sequences: dict[int, ToySequence] = {}
        self._start = _mix(0, seed)
        table = np.random.default_rng(seed).standard_normal((vocab_size, vocab_size))
        self._follows = (2.0 * table).astype(np.float32)
        self._blocks = [_Block([0] * block_size) for _ in range(cache_tokens // block_size)]
        self._shared: dict[tuple[int, tuple[int, ...]], int] = {}
        self._unused: dict[int, None] = dict.fromkeys(range(len(self._blocks)))
        self._last_id = 0
        self._last_serial = 0
        self._drafted: dict[int, _Row] = {}

    # ------------------------------------------------------------------------ the language

    def logits(self, state: int, token: int, layers: int) -> NDArray[np.float32]:
        """What follows `token`, behind a history with this hash, float32[vocab_size]."""
        doubt = np.float32(0.7 + (LAYERS - layers))
        return np.asarray(self._follows[token] + doubt * _noise(state, self.vocab_size))

    # ------------------------------------------------------------------------ the cache

    @property
    def free_tokens(self) -> int:
        """Positions of the cache that no open sequence has set aside."""
        return len(self._unused) * self.block_size

    def open(self, tokens: Sequence[int], capacity: int, *, share: bool = True) -> CachedSequence:
        """See `TargetModel.open`."""
        self._check_tokens(tokens)
        found: list[int] = []
        parent = 0
        for start in range(0, len(tokens), self.block_size):
            end = start + self.block_size
            block = self._shared.get((parent, tuple(tokens[start:end])))
            if not share or block is None or end >= len(tokens):
                break
            found.append(block)
            parent = self._blocks[block].serial
        return self._add(found, len(found) * self.block_size, capacity, share, parent)

    def fork(self, sequence: CachedSequence, capacity: int) -> CachedSequence:
        """See `TargetModel.fork`."""
        old = self._find(sequence.id)
        full = old.length // self.block_size
        new = self._add(old.blocks[:full], old.length, capacity, old.share, old.parent)
        if old.tail:
            states = self._blocks[old.blocks[full]].states
            self._blocks[new.blocks[full]].states = list(states)
        new.tail = list(old.tail)
        return new

    def close(self, sequence: CachedSequence) -> None:
        """See `TargetModel.close`."""
        for block in reversed(self.sequences.pop(self._find(sequence.id).id).blocks):
            self._blocks[block].users -= 1
            if not self._blocks[block].users:
                self._unused[block] = None

    def clear_cache(self) -> None:
        """See `TargetModel.clear_cache`."""
        for index in self._unused:
            block = self._blocks[index]
            if block.key is not None:
                del self._shared[block.key]
                block.key = None

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            if not 0 <= token < self.vocab_size:
                raise UsageError(f"Token {token} is outside the vocabulary of {self.vocab_size}.")

    def _find(self, sequence: int) -> ToySequence:
        if sequence not in self.sequences:
            raise UsageError(f"There is no open sequence with the number {sequence}.")
        return self.sequences[sequence]

    def _add(
        self, common: Sequence[int], length: int, capacity: int, share: bool, parent: int
    ) -> ToySequence:
        """A sequence that begins with the blocks `common`, all blocks it may need set aside."""
        if capacity < max(length, 1):
            raise UsageError(
                f"A capacity of {capacity} holds less than {length} tokens of history."
            )
        if capacity > self.context:
            raise CapacityError(
                f"A sequence of {capacity} tokens does not fit the context of {self.context}.",
                never=True,
            )
        needed = -(-capacity // self.block_size)
        if needed > len(self._blocks):
            raise CapacityError(
                f"A sequence of {capacity} tokens is more than the cache of "
                f"{len(self._blocks) * self.block_size} holds; lower max_tokens.",
                never=True,
            )
        revived = sum(1 for block in common if not self._blocks[block].users)
        if needed - len(common) + revived > len(self._unused):
            raise CapacityError(
                f"A sequence of {capacity} tokens does not fit now; wait until others end."
            )
        for block in common:
            self._blocks[block].users += 1
            self._unused.pop(block, None)
        fresh = [self._take() for _ in range(needed - len(common))]
        self._last_id += 1
        new = ToySequence(self._last_id, length, capacity, length, [*common, *fresh], share, parent)
        self.sequences[new.id] = new
        return new

    def _take(self) -> int:
        index = next(iter(self._unused))
        del self._unused[index]
        block = self._blocks[index]
        if block.key is not None:
            del self._shared[block.key]
        self._blocks[index] = _Block([0] * self.block_size, users=1)
        return index

    def _append(self, sequence: ToySequence, token: int, state: int) -> None:
        block = self._blocks[sequence.blocks[sequence.length // self.block_size]]
        block.states[sequence.length % self.block_size] = state
        sequence.length += 1
        sequence.tail.append(token)
        if len(sequence.tail) < self.block_size:
            return
        if sequence.share:
            key = (sequence.parent, tuple(sequence.tail))
            if key not in self._shared:
                self._last_serial += 1
                block.serial, block.key = self._last_serial, key
                self._shared[key] = sequence.blocks[sequence.length // self.block_size - 1]
            sequence.parent = self._blocks[self._shared[key]].serial
        sequence.tail.clear()

    def _state_at(self, sequence: ToySequence, length: int) -> int:
        """The hash of the first `length` tokens of history, as the cache has it."""
        if length == 0:
            return self._start
        block = self._blocks[sequence.blocks[(length - 1) // self.block_size]]
        return block.states[(length - 1) % self.block_size]

    # ------------------------------------------------------------------------ a pass

    def forward(self, rows: Rows, layers: int | None = None, hidden: tuple[int, ...] = ()) -> Pass:
        """See `TargetModel.forward`."""
        if not all(0 <= layer <= LAYERS for layer in hidden):
            raise UsageError(f"hidden={hidden} names a layer that this model of {LAYERS} lacks.")
        if layers is not None and not 1 <= layers <= LAYERS:
            raise UsageError(f"layers={layers} does not lie between 1 and {LAYERS}.")
        depth = LAYERS if layers is None else layers
        if depth < LAYERS and bool(rows.commit.any()):
            raise UsageError("A row cannot become history in a pass over only some layers.")
        placed = list(self._place(rows))  # checks every row before anything changes

        self.passes += 1
        self._drafted = {}
        states: list[int] = []
        logits: dict[int, NDArray[np.float32]] = {}
        kept: dict[int, NDArray[np.float32]] = {}
        for i, row in enumerate(placed):
            before = (
                states[row.parent]
                if row.parent != HISTORY
                else self._state_at(row.sequence, row.position)
            )
            states.append(_mix(before, row.token))
            if rows.commit[i]:
                self._append(row.sequence, row.token, states[i])
            else:
                row.state = states[i]
                self._drafted[i] = row
            if rows.want_logits[i]:
                logits[i] = self.logits(states[i], row.token, depth)
                kept[i] = np.array(
                    [_noise(_mix(states[i] if n else row.token, n), WIDTH) for n in hidden],
                    np.float32,
                ).reshape(len(hidden), WIDTH)
        return ToyPass(self, logits, kept)

    def _place(self, rows: Rows) -> Iterator[_Row]:
        """Every row with its sequence and position.

        Raises:
            UsageError: a row breaks the rules of `Rows`.
        """
        arrays = (rows.sequence, rows.token, rows.parent, rows.commit, rows.want_logits)
        types = (np.int32, np.int32, np.int32, np.bool_, np.bool_)
        for array, dtype in zip(arrays, types, strict=True):
            if array.shape != (len(rows),) or array.dtype != dtype:
                raise UsageError(f"Rows are arrays of one length and of type {dtype.__name__}.")
        if not 1 <= len(rows) <= self.capabilities.max_rows:
            raise UsageError(
                f"A pass takes 1 to {self.capabilities.max_rows} rows, not {len(rows)}."
            )
        self._check_tokens(rows.token.tolist())
        placed: list[_Row] = []
        last: dict[int, int] = {}  # of each sequence, the last committed row
        parents: set[tuple[int, int]] = set()
        drafted: set[int] = set()
        sequences, tokens, all_parents = (a.tolist() for a in arrays[:3])
        for i, (number, token, parent) in enumerate(
            zip(sequences, tokens, all_parents, strict=True)
        ):
            sequence = self._find(number)
            if not HISTORY <= parent < i or (parent >= 0 and sequences[parent] != number):
                raise UsageError(f"Row {i} has no row {parent} of its sequence before it.")
            if rows.commit[i]:
                if number in drafted or parent != last.get(number, HISTORY):
                    raise UsageError(
                        f"Row {i} is committed, so it follows the committed row before it and "
                        "stands before the drafts."
                    )
                last[number] = i
            else:
                drafted.add(number)
                if (parent == HISTORY or bool(rows.commit[parent])) and parent != last.get(
                    number, HISTORY
                ):
                    raise UsageError(f"Row {i} does not follow the end of its history.")
                if not self.capabilities.trees and (number, parent) in parents:
                    raise UsageError(f"Row {i} branches, and this model takes only chains.")
            parents.add((number, parent))
            position = sequence.length if parent == HISTORY else placed[parent].position + 1
            if position >= sequence.capacity:
                raise UsageError(
                    f"Row {i} would stand at position {position} of a sequence opened for "
                    f"{sequence.capacity} tokens."
                )
            placed.append(_Row(sequence, token, parent, position, bool(rows.commit[i])))
            yield placed[-1]

    def keep(self, sequence: CachedSequence, rows: Sequence[int]) -> None:
        """See `TargetModel.keep`."""
        found = self._find(sequence.id)
        for before, i in zip((None, *rows), rows, strict=False):
            row = self._drafted.get(i)
            if row is None or row.sequence is not found:
                raise UsageError(f"Row {i} is not a drafted row of this sequence.")
            follows = (
                row.parent == before if before is not None else row.parent not in self._drafted
            )
            if not follows or row.position != found.length + rows.index(i):
                raise UsageError(f"Row {i} does not follow the row kept before it.")
        for i in rows:
            row = self._drafted.pop(i)
            self._append(found, row.token, row.state)


@dataclass(slots=True, eq=False)
class _Row:
    sequence: ToySequence
    token: int
    parent: int
    position: int
    commit: bool
    state: int = 0
