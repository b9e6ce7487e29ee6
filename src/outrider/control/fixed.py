"""The simplest controller: the same number of drafted tokens at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from outrider.control.base import Controller, Room
from outrider.drafters.base import DraftEntry
from outrider.engines.base import Cost
from outrider.tree import Tree

NUM_DRAFT_TOKENS: Final = 4


class FixedController(Controller):
    """At most K nodes an entry, the likeliest first; K = 0 never drafts.

    Args:
        cost: not looked at.
        num_draft_tokens: K; None takes 4.
    """

    # Drafts that keep to their `max_nodes` are taken as they are, and of a longer chain the first.
    looks_at_draws = False

    def __init__(self, cost: Cost, num_draft_tokens: int | None = None) -> None:
        super().__init__(cost, num_draft_tokens)
        self._k = NUM_DRAFT_TOKENS if num_draft_tokens is None else num_draft_tokens

    def limit(self, batch: Sequence[DraftEntry], room: Room) -> None:
        """K nodes each, while the budget lasts."""
        for entry in batch:
            entry.max_nodes = min(entry.max_nodes, self._k, room.budget)

    def choose(self, batch: Sequence[DraftEntry], trees: Sequence[Tree], room: Room) -> list[Tree]:
        """The nodes likeliest to be reached and accepted, over all entries, within the budget."""
        budget = room.budget
        limits = [entry.max_nodes for entry in batch]
        if sum(map(len, trees)) <= budget and all(
            len(tree) <= limit for tree, limit in zip(trees, limits, strict=True)
        ):
            return list(trees)
        # A node is never likelier than its parent and stands behind it, so a parent always comes
        # first in this order and stays with its children.
        ranked = sorted(
            (-probability, node, i)
            for i, tree in enumerate(trees)
            for node, probability in enumerate(tree.path_probabilities())
        )
        chosen: list[list[int]] = [[] for _ in trees]
        for _, node, i in ranked:
            if budget > 0 and len(chosen[i]) < limits[i]:
                chosen[i].append(node)
                budget -= 1
        return [tree.pick(sorted(nodes)) for tree, nodes in zip(trees, chosen, strict=True)]
