"""What controllers share that choose the number of tokens K before anything is drafted.

What they keep of a draft does not depend on the probabilities of its tokens, as long as the drafter
keeps to its limits: rejection may judge drafts that were drawn at random.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from outrider.control.base import Controller, Room
from outrider.control.prefix import trimmed
from outrider.drafters.base import DraftEntry
from outrider.errors import UsageError
from outrider.tree import ROOT, Tree
from outrider.types import Verdict


class LengthController(Controller):
    """K nodes an entry, while the budget lasts; where a draft has more, the likeliest.

    `num_draft_tokens` is the greatest K, if it is given.
    """

    looks_at_draws = False

    @abstractmethod
    def lengths(self, batch: Sequence[DraftEntry]) -> list[int]:
        """K of each entry; before `num_draft_tokens` limits it."""

    def limit(self, batch: Sequence[DraftEntry], room: Room) -> None:
        """K nodes each."""
        most = room.budget if self.num_draft_tokens is None else self.num_draft_tokens
        for entry, length in zip(batch, self.lengths(batch), strict=True):
            entry.max_nodes = min(entry.max_nodes, length, most, room.budget)

    def choose(self, batch: Sequence[DraftEntry], trees: Sequence[Tree], room: Room) -> list[Tree]:
        """The nodes likeliest to be reached and accepted, over all entries, within the budget."""
        return trimmed(trees, [entry.max_nodes for entry in batch], room.budget)


def depth(tree: Tree) -> int:
    """Nodes on the longest path."""
    depths: list[int] = []
    for parent in tree.parents:
        depths.append(1 if parent == ROOT else depths[parent] + 1)
    return max(depths, default=0)


def all_accepted(tree: Tree, verdict: Verdict) -> bool:
    """Whether nothing longer could have been accepted."""
    return len(verdict.accepted) == depth(tree)


def check_at_least(what: str, value: int, least: int) -> None:
    """Raise UsageError for an option that is too small."""
    if value < least:
        raise UsageError(f"{what} has to be at least {least}, not {value}.")


def check_share(what: str, value: float) -> None:
    """Raise UsageError for an option that is no number from 0 to 1."""
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{what} has to lie between 0 and 1, not {value}.")
