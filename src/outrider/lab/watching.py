"""What stands behind a verdict: both distributions at every position that a draft has reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from outrider.engines.base import Pass
from outrider.lab.experiment import Arm, Bench, Cell
from outrider.prompts import Prompt
from outrider.sampling import Sampler
from outrider.tree import ROOT, Tree
from outrider.types import Verdict
from outrider.verify import Mask, Probabilities, Verifier

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reached:
    """A position for which something was drafted, and before which all that was drafted stood.

    Attributes:
        depth: of the position in the draft, from 1.
        p: the target's distribution.
        q: what the drafted token was drawn from; None where tokens were picked, not drawn.
        drafted: the tokens drafted for it.
        said: the token that stands there.
    """

    depth: int
    p: Probabilities
    q: Probabilities | None
    drafted: tuple[int, ...]
    said: int

    @property
    def accepted(self) -> bool:
        """Whether what was drafted stands."""
        return self.said in self.drafted

    @property
    def overlap(self) -> float:
        """Σ min(p, q) = 1 − TV(p, q): the probability of being accepted under rejection.

        Tokens that were picked are tried one after the other as point masses, so it is the
        probability that the target says one of them.
        """
        if self.q is None:
            return float(self.p[list(self.drafted)].sum())
        return float(np.minimum(self.p, self.q).sum())


Watcher = Callable[[Reached], object]


class Watched(Verifier):
    """Verifies as another verifier does, and tells of every position that it decides.

    Args:
        inner: what decides.
        tell: told, by the thread that decodes.
    """

    def __init__(self, inner: Verifier, tell: Watcher) -> None:
        self.lossy = inner.lossy
        self.weighs_draws = inner.weighs_draws
        self._inner = inner
        self._tell = tell

    def verify(
        self,
        outcome: Pass,
        root: int,
        position: int,
        tree: Tree,
        sampler: Sampler,
        *,
        mask: Mask | None = None,
    ) -> Verdict:
        """See `Verifier.verify`."""
        verdict = self._inner.verify(outcome, root, position, tree, sampler, mask=mask)
        path: list[int] = []
        for node in (ROOT, *verdict.accepted):
            said = verdict.token
            if len(path) < len(verdict.accepted):
                said = tree.tokens[verdict.accepted[len(path)]]
            drafted = tuple(tree.tokens[child] for child in tree.children(node))
            if drafted:
                (logits,) = outcome.numpy([root + 1 + node])
                p = sampler.probabilities(logits, path, None if mask is None else mask(node))
                q = tree.distributions.get(node)
                self._tell(Reached(len(path) + 1, p, q, drafted, said))
            path.append(said)
        return verdict


def watch(
    bench: Bench,
    arm: Arm,
    cell: Cell,
    prompts: Sequence[Prompt],
    read: Callable[[Reached], T],
) -> list[T]:
    """What is kept of the positions that the answers of a cell reach; see `Bench.ask`.

    The times of these answers say nothing, so only what is kept is returned.

    Args:
        bench: that asks.
        arm: as there.
        cell: as there.
        prompts: as there.
        read: what is to be kept of a position; the distributions themselves are large. Called by
            the thread that decodes.
    """
    kept: list[T] = []
    llm = bench.variants.llm(arm.variant)
    with llm.watched(lambda verifier: Watched(verifier, lambda r: kept.append(read(r)))):
        bench.ask(arm, cell, prompts)
    return kept
