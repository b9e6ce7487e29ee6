"""Several drafters at once, merged into one tree by probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from outrider import registry
from outrider.drafters.base import DraftEntry, Drafter, Observation
from outrider.drafters.free import SOURCES, FreeDrafter
from outrider.drafters.merge import merge
from outrider.engines.base import Pass, TargetModel
from outrider.errors import UsageError
from outrider.tree import Tree

DEFAULT: Final = "+".join(SOURCES)
EXCLUDED: Final = ("none", "mixed")


class MixedDrafter(Drafter):
    """Takes the likeliest guesses of several drafters.

    The free ones share one calibration, which counts how often they are right together; trees of
    other drafters are merged in by the probabilities that they give.

    Args:
        target: the model drafted for.
        sources: names of registered drafters with a plus sign between them, options behind a
            colon: `ngram+suffix+recycle`.
        past: the suffix index looks in the outputs of finished requests too.
        k: continuations that are recycled of a row.

    Raises:
        UsageError: a source is not registered or cannot be mixed, is named twice, or an option is
            out of its range.
    """

    def __init__(
        self, target: TargetModel, *, sources: str = DEFAULT, past: bool = False, k: int = 8
    ) -> None:
        super().__init__(target)
        names = sources.split("+")
        for name in names:
            if name.partition(":")[0] in EXCLUDED:
                raise UsageError(f"The drafter {name!r} cannot be a source of 'mixed'.")
            if names.count(name) > 1:
                raise UsageError(f"The source {name!r} of 'mixed' is named twice.")
        free = [name for name in names if name in SOURCES]
        for option, given, needs in (("past", past, "suffix"), ("k", k != 8, "recycle")):
            if given and needs not in free:
                raise UsageError(f"The option {option} of 'mixed' needs the source {needs!r}.")
        self._parts: list[tuple[str, Drafter]] = []
        if free:
            self._parts.append((free[0], FreeDrafter(target, free, past=past, k=k)))
        self._parts += [
            (name.partition(":")[0], registry.load("drafters", name)(target))
            for name in names
            if name not in SOURCES
        ]

    def begin(self, entry: DraftEntry) -> None:
        """Every source begins."""
        for _, drafter in self._parts:
            drafter.begin(entry)

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        """The likeliest nodes of all sources' trees."""
        offers = [(name, drafter.draft(batch)) for name, drafter in self._parts]
        trees = [
            merge(
                [(name, trees[i]) for name, trees in offers],
                entry.max_nodes,
                branches=self.target.capabilities.trees,
            )
            if len(offers) > 1
            else _labelled(offers[0][0], offers[0][1][i])
            for i, entry in enumerate(batch)
        ]
        return trees

    def observe(self, batch: Sequence[Observation], outcome: Pass) -> None:
        """Every source learns, whoever proposed what was verified."""
        for _, drafter in self._parts:
            drafter.observe(batch, outcome)

    def end(self, entry: DraftEntry) -> None:
        """Every source forgets the entry."""
        for _, drafter in self._parts:
            drafter.end(entry)

    def reset(self) -> None:
        """Every source forgets what it learnt."""
        for _, drafter in self._parts:
            drafter.reset()


def _labelled(name: str, tree: Tree) -> Tree:
    """The tree with its origins, of `name` where it says nothing itself."""
    if tree.origins or not len(tree):
        return tree
    return Tree(tree.tokens, tree.parents, tree.probabilities, origins=(name,) * len(tree))
