"""The simplest controller: the same number of draft rows at every step."""

from __future__ import annotations

from collections.abc import Sequence

from outrider.control.base import Controller
from outrider.drafters.base import DraftEntry
from outrider.engines.base import Cost
from outrider.tree import Tree

DEFAULT_DRAFT_TOKENS = 4


class FixedController(Controller):
    """K draft tokens a sequence and step, fewer where the pass has no room for more."""

    def __init__(self, cost: Cost, num_draft_tokens: int | None = None) -> None:
        super().__init__(cost, num_draft_tokens)
        self._each = DEFAULT_DRAFT_TOKENS if num_draft_tokens is None else num_draft_tokens

    def limit(self, batch: Sequence[DraftEntry], budget: int) -> None:
        """An equal share of the budget, K at most, and no more than an entry's own limit."""
        share = min(self._each, budget // len(batch)) if batch else 0
        for entry in batch:
            entry.max_nodes = min(entry.max_nodes, share)
            entry.min_path_probability = 0.0

    def choose(self, batch: Sequence[DraftEntry], trees: Sequence[Tree], budget: int) -> list[Tree]:
        """The likeliest nodes of each tree, within the entry's limit."""
        return [likeliest(tree, entry.max_nodes) for entry, tree in zip(batch, trees, strict=True)]


def likeliest(tree: Tree, count: int) -> Tree:
    """The `count` nodes that are likeliest to be reached, with every parent among them."""
    if len(tree) <= count:
        return tree
    reach = tree.path_probabilities()
    # A child is never likelier than its parent; in a tie the parent stands first.
    best = sorted(range(len(tree)), key=lambda node: (-reach[node], node))[:count]
    return tree.pick(sorted(best))
