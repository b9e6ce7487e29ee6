"""The simplest controller: the same number of drafted tokens at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from outrider.control.base import Controller, Room
from outrider.control.prefix import trimmed
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
        return trimmed(trees, [entry.max_nodes for entry in batch], room.budget)
