"""What stands behind a verdict: both distributions at every position that a draft has reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from outrider import registry
from outrider.engines.base import Pass
from outrider.lab.experiment import Arm, Bench, Cell
from outrider.llm import LLM
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


class Watch:
    """A bench that measures nothing but what drafts reach: it is watched, so its times say nothing.

    Args:
        bench: whose model and setup it has.
    """

    def __init__(self, bench: Bench) -> None:
        self._tell: Watcher = _nobody
        llm = LLM(bench.llm.model, max_streams=bench.llm.max_streams, load_part=self._load)
        self._bench = Bench(llm, bench.setup)

    def ask(
        self, arm: Arm, cell: Cell, prompts: Sequence[Prompt], read: Callable[[Reached], T]
    ) -> Sequence[T]:
        """What is kept of the positions that the answers of a cell reach; see `Bench.ask`.

        Args:
            arm: as there.
            cell: as there.
            prompts: as there.
            read: what is to be kept of a position; the distributions themselves are large.
        """
        kept: list[T] = []
        self._tell = lambda reached: kept.append(read(reached))
        self._bench.ask(arm, cell, prompts)
        self._tell = _nobody
        return kept

    def _load(self, group: registry.Group, name: str) -> Any:
        factory = registry.load(group, name)
        return factory if group != "verifiers" else lambda: Watched(factory(), self._pass_on)

    def _pass_on(self, reached: Reached) -> None:
        self._tell(reached)


def _nobody(reached: Reached) -> None:
    """Tell nobody."""
