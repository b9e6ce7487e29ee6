"""The seam that speaks tokens: what the loop needs of a model, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from outrider.sampling import Sampler
from outrider.tree import ROOT, Tree, follow
from outrider.types import Verdict

HISTORY = -1
"""The parent of a row that follows directly on what its sequence already has."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do.

    Attributes:
        trees: rows of a draft may branch; otherwise only chains.
        max_rows: rows in one pass at most.
        hidden: `forward(hidden=…)` is honoured.
        layers: `forward(layers=…)` is honoured.
        bitwise: a row's logits are the same bytes whatever shares its pass.
    """

    trees: bool
    max_rows: int
    hidden: bool
    layers: bool
    bitwise: bool


@dataclass(slots=True)
class Rows:
    """What one pass computes, as a struct of arrays of equal length.

    A row's position is its parent's plus one, and below the capacity of its sequence. Rows of a
    sequence follow their parents; committed rows of a sequence are a chain from its history and
    come before its drafted rows, which follow the last of them (or the history, where there are
    none) and one another.

    Attributes:
        sequence: int32, the id of the row's sequence.
        token: int32, the token to process.
        parent: int32, index of the parent row within this pass, or HISTORY.
        commit: bool, becomes history directly (prefill and the pending token); other rows are
            drafts, forgotten unless `keep` names them.
        want_logits: bool.
    """

    sequence: NDArray[np.int32]
    token: NDArray[np.int32]
    parent: NDArray[np.int32]
    commit: NDArray[np.bool_]
    want_logits: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.token)


@dataclass(slots=True)
class RowsBuilder:
    """The rows of a pass as they are collected, column by column; see `Rows`."""

    sequence: list[int] = field(default_factory=list)
    token: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    commit: list[bool] = field(default_factory=list)
    want_logits: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.token)

    def row(
        self,
        sequence: int,
        token: int,
        parent: int = HISTORY,
        *,
        commit: bool = False,
        want_logits: bool = False,
    ) -> int:
        """One more row; its number."""
        self.sequence.append(sequence)
        self.token.append(token)
        self.parent.append(parent)
        self.commit.append(commit)
        self.want_logits.append(want_logits)
        return len(self.token) - 1

    def chain(
        self,
        sequence: int,
        tokens: Sequence[int],
        parent: int = HISTORY,
        *,
        commit: bool = False,
        want_logits: bool = False,
    ) -> int:
        """A row a token, each the child of the one before; the last one's number, or `parent`."""
        for token in tokens:
            parent = self.row(sequence, token, parent, commit=commit, want_logits=want_logits)
        return parent

    def tree(self, sequence: int, tree: Tree, root: int) -> None:
        """Drafted rows with logits below row `root`: node i of the tree is the i-th of them."""
        first, count = len(self), len(tree)
        self.sequence += [sequence] * count
        self.token += tree.tokens
        self.parent += [root if parent == ROOT else first + parent for parent in tree.parents]
        self.commit += [False] * count
        self.want_logits += [True] * count

    def rows(self) -> Rows:
        """What was collected."""
        # numpy converts one list of numbers in a third of the time that several take.
        numbers = np.array(self.sequence + self.token + self.parent, np.int32)
        flags = np.array(self.commit + self.want_logits, np.bool_)
        return Rows(*numbers.reshape(3, -1), *flags.reshape(2, -1))


class CachedSequence(Protocol):
    """A sequence in the engine's cache, made by `open` or `fork`."""

    @property
    def id(self) -> int:
        """The number that rows name it by."""
        ...

    @property
    def cached(self) -> int:
        """Tokens of history that it had from the start; whoever drives it counts on from there."""
        ...


class Pass(ABC):
    """The outcome of one pass. Logits stay where they are; these verbs ask about them.

    This class is the reference in numpy; an engine overrides what it can do faster. `rows` below
    are row indices of the pass that had `want_logits`.
    """

    @abstractmethod
    def numpy(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """Raw logits, float32[len(rows), vocab_size]."""

    def hidden(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """Hidden states asked for in `forward`, float32[len(hidden), len(rows), width]."""
        raise NotImplementedError(f"{type(self).__name__} gives no hidden states")

    def choose(
        self,
        rows: Sequence[int],
        samplers: Sequence[Sampler],
        positions: Sequence[int],
        paths: Sequence[Sequence[int]] | None = None,
        masks: Sequence[NDArray[np.uint32] | None] | None = None,
    ) -> list[int]:
        """The target's own choice at each row.

        Args:
            rows: rows with logits.
            samplers: one a row.
            positions: absolute index of the token to be chosen, one a row.
            paths: drafted tokens between the sampler's history and the choice, one a row.
            masks: packed bits of allowed tokens, or None, one a row.

        Raises:
            SamplingError: no token is left, or the logits are not numbers.
        """
        logits = self.numpy(rows)
        return [
            sampler.choose(
                logits[i],
                positions[i],
                paths[i] if paths is not None else (),
                masks[i] if masks is not None else None,
            )
            for i, sampler in enumerate(samplers)
        ]

    def walk(self, root: int, position: int, tree: Tree, sampler: Sampler) -> Verdict:
        """Coupled verification: follow the target's own choices down the tree.

        Args:
            root: the row of the pending token; node i of the tree is row root + 1 + i.
            position: absolute index of the token that follows the root.
            tree: the draft.
            sampler: the sequence's sampler, its history ending with the pending token.

        Returns:
            The accepted nodes and the token chosen after the last of them.
        """

        def choose(node: int, path: Sequence[int]) -> int:
            (token,) = self.choose([root + 1 + node], [sampler], [position + len(path)], [path])
            return token

        return follow(tree, choose)

    def logprobs(self, rows: Sequence[int], ids: Sequence[int]) -> NDArray[np.float64]:
        """Log-probability under the raw model of one token a row, float64[len(rows)]."""
        logits = self.numpy(rows).astype(np.float64)
        peak = logits.max(axis=1)
        total = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1))
        return np.asarray(logits[np.arange(len(rows)), np.asarray(ids)] - total)

    def top(self, rows: Sequence[int], k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The k likeliest tokens of each row and their raw log-probabilities, best first.

        Returns:
            int32[len(rows), k] and float64[len(rows), k]; ties go to the lower id.
        """
        logits = self.numpy(rows).astype(np.float64)
        peak = logits.max(axis=1)
        total = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1))
        order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
        return order.astype(np.int32), np.take_along_axis(logits, order, 1) - total[:, None]

    def best(self, rows: Sequence[int], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The k likeliest tokens of each row and their raw logits, best first.

        Spares the sum over the vocabulary that log-probabilities need, and never fails for what
        the logits are.

        Returns:
            int32[len(rows), k] and float32[len(rows), k]; ties go to the lower id. All ids of a
            row whose logits are not numbers are −1.
        """
        logits = self.numpy(rows)
        order = np.argsort(-logits, axis=1, kind="stable")[:, :k].astype(np.int32)
        values = np.take_along_axis(logits, order, 1)
        broken = np.isnan(logits).any(axis=1) | ~np.isfinite(logits.max(axis=1, initial=-np.inf))
        order[broken], values[broken] = -1, -np.inf
        return order, values


class Cost(Protocol):
    """What a pass costs on this machine, measured when the model was loaded."""

    def ms(self, rows: Sequence[tuple[int, int]], layers: int | None = None) -> float:
        """Predicted milliseconds of a pass.

        Args:
            rows: one (context length, number of rows) for each sequence.
            layers: the first layers only.
        """
        ...


class TargetModel(ABC):
    """A model as the loop drives it. One thread calls it at a time."""

    capabilities: Capabilities
    cost: Cost
    vocab_size: int
    context: int
    layers: int

    def measure_cost(self) -> Cost:
        """Measure `cost` anew, for engines that measure it; what is known already for others."""
        return self.cost

    @abstractmethod
    def open(self, tokens: Sequence[int], capacity: int, *, share: bool = True) -> CachedSequence:
        """A sequence that may grow to `capacity` tokens; room for all of them is set aside now.

        Its first `.cached` tokens are those of `tokens` found in the prefix cache: only full
        blocks are shared, and at least one token is always left to compute. Drafted rows stand
        at positions below `capacity` too, and take no room of the sequence until they are kept.

        Args:
            tokens: what will be computed first; only looked up, the rows say what is computed.
            capacity: tokens of history at most.
            share: False takes nothing from the prefix cache and leaves nothing in it.

        Raises:
            CapacityError: the cache has no room now, or never will (`error.never`).
        """

    @abstractmethod
    def fork(self, sequence: CachedSequence, capacity: int) -> CachedSequence:
        """A second sequence with the same history, all of it `.cached`.

        It may be forked between a pass and `keep`; the pass stays valid.

        Raises:
            CapacityError: as in `open`.
        """

    @abstractmethod
    def forward(self, rows: Rows, layers: int | None = None, hidden: tuple[int, ...] = ()) -> Pass:
        """One pass over all rows. The pass is valid until the next call of `forward`.

        Args:
            rows: what to compute; drafted rows of earlier passes are forgotten.
            layers: run only the first layers, then the output layer; drafted rows only.
            hidden: layers after which the hidden state is kept (0 is the embedding).

        Raises:
            UsageError: rows that break the rules of `Rows`, or a capability that is missing.
        """

    @abstractmethod
    def keep(self, sequence: CachedSequence, rows: Sequence[int]) -> None:
        """These drafted rows of the last pass were right: a path from history, in order.

        Raises:
            UsageError: a row is not a drafted row of this sequence in the last pass, or does not
                follow the one before it.
        """

    @abstractmethod
    def close(self, sequence: CachedSequence) -> None:
        """Forget the sequence; its full blocks stay shareable while there is room."""

    @abstractmethod
    def clear_cache(self) -> None:
        """Forget every prefix that no open sequence uses."""
