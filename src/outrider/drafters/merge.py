"""Draft trees of several drafters as one."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from outrider.tree import EMPTY, ROOT, Tree


@dataclass(slots=True)
class _Node:
    """A token behind a path, whoever proposed it."""

    token: int
    probability: float = 0.0
    origin: str = ""
    largest: float = -1.0
    children: dict[int, _Node] = field(default_factory=dict)

    def add(self, probability: float, origin: str) -> None:
        """One more drafter proposes it: it is wrong only where all of them are."""
        self.probability = 1.0 - (1.0 - self.probability) * (1.0 - probability)
        if probability > self.largest:
            self.origin, self.largest = origin, probability


def merge(offers: Sequence[tuple[str, Tree]], max_nodes: int, *, branches: bool) -> Tree:
    """The likeliest nodes of several trees behind the same text.

    What several propose at the same place becomes one node. Their guesses are taken as
    independent, and siblings scaled down where their probabilities add up to more than one.
    Distributions that tokens were drawn from are left out: a token drawn without a look at the
    target's noise may be judged as a point mass too.

    Args:
        offers: trees with the name of what proposed them.
        max_nodes: nodes of the outcome at most.
        branches: False takes only the likeliest child of each node.

    Returns:
        The merged tree, best first, with the origin of every node.
    """
    top = _Node(ROOT)
    for name, tree in offers:
        places = {ROOT: top}
        for node, (token, parent) in enumerate(zip(tree.tokens, tree.parents, strict=True)):
            places[node] = places[parent].children.setdefault(token, _Node(token))
            origin = tree.origins[node] if tree.origins else name
            places[node].add(tree.probabilities[node], origin)
    tokens: list[int] = []
    parents: list[int] = []
    probabilities: list[float] = []
    origins: list[str] = []
    # (−path probability, order, parent, probability, node)
    heap: list[tuple[float, int, int, float, _Node]] = []
    order = 0

    def offer(node: _Node, place: int, reached: float) -> None:
        nonlocal order
        children = sorted(node.children.values(), key=lambda child: -child.probability)
        total = max(sum(child.probability for child in children), 1.0)
        for child in children if branches else children[:1]:
            probability = child.probability / total
            heapq.heappush(heap, (-reached * probability, order, place, probability, child))
            order += 1

    offer(top, ROOT, 1.0)
    while heap and len(tokens) < max_nodes:
        negative, _, parent, probability, best = heapq.heappop(heap)
        tokens.append(best.token)
        parents.append(parent)
        probabilities.append(probability)
        origins.append(best.origin)
        offer(best, len(tokens) - 1, -negative)
    if not tokens:
        return EMPTY
    return Tree(tuple(tokens), tuple(parents), tuple(probabilities), origins=tuple(origins))
