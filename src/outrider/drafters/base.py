"""The contract of a drafter: something cheap that proposes what the target will say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from outrider.engines.base import CachedSequence, Pass, TargetModel
from outrider.sampling import Sampler
from outrider.tree import EMPTY, Tree
from outrider.types import Verdict


@dataclass(slots=True)
class DraftEntry:
    """One running completion, as drafters and controllers see it.

    Attributes:
        id: unique among running completions.
        tokens: prompt and output so far; the last one is the pending token. Grows in place.
        prompt_length: how many of them are the prompt's.
        sampler: the completion's sampler; a coupled drafter runs the same chain and noise.
        max_nodes: nodes this step at most.
        max_depth: nodes on a path at most: the completion ends there.
        min_path_probability: nodes less likely than this are not worth their row.
        sequence: where the target's cache has all but the pending token; None outside the loop.
    """

    id: int
    tokens: list[int]
    prompt_length: int
    sampler: Sampler
    max_nodes: int = 0
    max_depth: int = 0
    min_path_probability: float = 0.0
    sequence: CachedSequence | None = None


@dataclass(slots=True)
class Observation:
    """What came of one entry's draft in a pass.

    Attributes:
        entry: its tokens already include all of the verdict's.
        tree: the tree that was verified, after the controller trimmed it.
        verdict: what was accepted.
        root: the pending token's row in the pass; node i is row root + 1 + i.
        asked: False where the controller asked for no draft, because none would have paid. What
            such a step teaches may be left out, for learning takes time too.
    """

    entry: DraftEntry
    tree: Tree
    verdict: Verdict
    root: int = field(default=0)
    asked: bool = True


class Drafter(ABC):
    """Proposes a tree for each entry of a batch; never sees controller or verifier.

    Whatever it raises costs only speed: all entries of the call that failed are decoded plainly
    from there on, and their record says why.

    Attributes:
        draws: its trees may hold distributions, because it draws tokens at random, with the noise
            of `StreamId.DRAFT`. A token drawn has to be proposed whatever it turned out to be;
            whether to draw one more may depend on those drawn before.
    """

    draws: bool = False

    def __init__(self, target: TargetModel) -> None:
        self.target = target

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it drafts with, for records: a draft model's name, its memory."""
        return {}

    def begin(self, entry: DraftEntry) -> None:  # noqa: B027  (an optional part of the contract)
        """A completion starts; its prompt is known, and no call for it came before."""

    @abstractmethod
    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        """One tree an entry, at most `entry.max_nodes` nodes each; empty trees are welcome."""

    def observe(self, batch: Sequence[Observation], outcome: Pass) -> None:  # noqa: B027
        """What the target made of the drafts, for drafters that learn."""

    def end(self, entry: DraftEntry) -> None:  # noqa: B027
        """A completion has ended or was cancelled."""

    def reset(self) -> None:  # noqa: B027
        """Forget everything learnt, as if made anew; running completions may be kept."""


class NoDrafter(Drafter):
    """Never drafts: plain decoding."""

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        """An empty tree an entry."""
        return [EMPTY] * len(batch)
