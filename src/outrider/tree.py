"""A draft as a tree of tokens; a chain is a tree without branches.

The root is the pending token, chosen but not yet cached, and is not part of the tree: node i's
parent is another node with a lower index, or ROOT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from outrider.types import Verdict

ROOT = -1


@dataclass(frozen=True, slots=True)
class Tree:
    """Drafted tokens with their parents and probabilities.

    Attributes:
        tokens: node i's token id.
        parents: node i's parent, a lower index or ROOT. Siblings carry different tokens.
        probabilities: node i's probability given that the target picked its parent.
        distributions: for a parent (ROOT included), the full distribution over the vocabulary,
            float64[vocab_size], that its child was drawn from; absent means that its children
            were not drawn but picked: each is a point mass.
        origins: for each node, the name of what proposed it, where a drafter has several sources.
    """

    tokens: tuple[int, ...] = ()
    parents: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    distributions: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    origins: tuple[str, ...] = ()

    @classmethod
    def chain(cls, tokens: Sequence[int], probabilities: Sequence[float]) -> Tree:
        """Each token the child of the one before."""
        return cls(tuple(tokens), tuple(range(-1, len(tokens) - 1)), tuple(probabilities))

    def __len__(self) -> int:
        return len(self.tokens)

    def check(self, vocab_size: int) -> None:
        """Raise ValueError where the tree breaks its own rules; for tests and third parties."""
        if not len(self.tokens) == len(self.parents) == len(self.probabilities):
            raise ValueError("tokens, parents and probabilities differ in length")
        if self.origins and len(self.origins) != len(self.tokens):
            raise ValueError("origins and tokens differ in length")
        siblings = set()
        for node, (token, parent) in enumerate(zip(self.tokens, self.parents, strict=True)):
            if not ROOT <= parent < node:
                raise ValueError(f"node {node} has parent {parent}, which is not before it")
            if not 0 <= token < vocab_size:
                raise ValueError(f"node {node} has token {token}, outside the vocabulary")
            if not 0.0 <= self.probabilities[node] <= 1.0:
                raise ValueError(f"node {node} has probability {self.probabilities[node]}")
            if (parent, token) in siblings:
                raise ValueError(f"node {node} repeats its sibling's token {token}")
            siblings.add((parent, token))
        for parent, q in self.distributions.items():
            self._check_distribution(parent, q, vocab_size)

    def _check_distribution(self, parent: int, q: NDArray[np.float64], vocab_size: int) -> None:
        if not ROOT <= parent < len(self):
            raise ValueError(f"a distribution belongs to node {parent}, which does not exist")
        if q.shape != (vocab_size,) or q.dtype != np.float64:
            raise ValueError(f"the distribution below node {parent} is not float64[{vocab_size}]")
        if not (q.min() >= 0.0 and abs(q.sum() - 1.0) <= 1e-6):
            raise ValueError(f"the distribution below node {parent} is none")
        for child in self.children(parent):
            if q[self.tokens[child]] == 0.0:
                raise ValueError(f"node {child} has probability 0 in what it was drawn from")

    def children(self, parent: int) -> Iterator[int]:
        """The nodes below `parent` (ROOT for the first level), in order."""
        return (node for node, p in enumerate(self.parents) if p == parent)

    def path(self, node: int) -> tuple[int, ...]:
        """The nodes from the root's child down to `node`; empty for ROOT."""
        path = []
        while node != ROOT:
            path.append(node)
            node = self.parents[node]
        return tuple(reversed(path))

    def path_probabilities(self) -> tuple[float, ...]:
        """Each node's probability of being reached and accepted: the product along its path."""
        products: list[float] = []
        for parent, probability in zip(self.parents, self.probabilities, strict=True):
            products.append(probability * (1.0 if parent == ROOT else products[parent]))
        return tuple(products)

    def pick(self, nodes: Sequence[int]) -> Tree:
        """The tree of these nodes, ascending and with every parent among them."""
        count = len(nodes)
        if nodes and nodes[-1] == count - 1 and not self.distributions:
            return Tree(
                self.tokens[:count],
                self.parents[:count],
                self.probabilities[:count],
                origins=self.origins[:count],
            )
        place = {node: i for i, node in enumerate(nodes)}
        place[ROOT] = ROOT
        return Tree(
            tuple(self.tokens[n] for n in nodes),
            tuple(place[self.parents[n]] for n in nodes),
            tuple(self.probabilities[n] for n in nodes),
            {place[p]: q for p, q in self.distributions.items() if p in place},
            tuple(self.origins[n] for n in nodes) if self.origins else (),
        )


EMPTY = Tree()


def follow(tree: Tree, choose: Callable[[int, Sequence[int]], int]) -> Verdict:
    """Go down the tree as long as a child carries the token chosen at its parent.

    Args:
        tree: the draft.
        choose: the target's choice after a node, given the tokens on the path to it.
    """
    node, accepted, path = ROOT, list[int](), list[int]()
    while True:
        token = choose(node, path)
        child = next((c for c in tree.children(node) if tree.tokens[c] == token), None)
        if child is None:
            return Verdict(tuple(accepted), token)
        accepted.append(child)
        path.append(token)
        node = child
