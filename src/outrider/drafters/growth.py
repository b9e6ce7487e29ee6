"""A draft while it grows, one level a pass."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from outrider.drafters.base import DraftEntry
from outrider.tree import EMPTY, ROOT, Tree


class Guess(NamedTuple):
    """A token that may follow a node.

    Attributes:
        token: its id.
        score: the draft model's own confidence, from 0 to 1.
        probability: of being accepted after its parent.
    """

    token: int
    score: float
    probability: float


@dataclass(slots=True)
class Growth:
    """One entry's draft.

    Attributes:
        entry: whose draft it is.
        max_nodes: nodes at most in the end; more may be looked at on the way.
        max_depth: nodes on a path at most.
        width: nodes of a level that are followed up.
        start: tokens of the entry when the draft began; the root is the last of them.
        frontier: the nodes whose children the next pass shows.
        rows: of nodes, their rows in the last pass that computed this draft.
        passed: the number of that pass.
    """

    entry: DraftEntry
    max_nodes: int
    max_depth: int
    width: int
    start: int
    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    reached: list[float] = field(default_factory=list)
    distributions: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    frontier: list[int] = field(default_factory=lambda: [ROOT])
    depth: int = 0
    rows: dict[int, int] = field(default_factory=dict)
    passed: int = -1

    def path(self, node: int) -> list[int]:
        """The nodes from the root's child to this one; none for the root."""
        nodes = []
        while node != ROOT:
            nodes.append(node)
            node = self.parents[node]
        return nodes[::-1]

    def path_tokens(self, node: int) -> list[int]:
        """The tokens on the way to a node, its own included."""
        return [self.tokens[n] for n in self.path(node)]

    def needed(self) -> list[int]:
        """The nodes that the next pass has to compute: the frontier and its ancestors."""
        return sorted({n for node in self.frontier for n in self.path(node)})

    def grow(self, offers: Sequence[tuple[int, Sequence[Guess]]]) -> None:
        """Take the guesses that follow the frontier's nodes, and choose the next frontier."""
        first = len(self.tokens)
        for node, guesses in offers:
            before = 1.0 if node == ROOT else self.reached[node]
            for rank, guess in enumerate(guesses):
                reached = before * guess.probability
                if reached < self.entry.min_path_probability:
                    continue
                self.tokens.append(guess.token)
                self.parents.append(node)
                self.guesses.append(guess)
                self.ranks.append(rank)
                self.reached.append(reached)
        self.depth += 1
        fresh = range(first, len(self.tokens))
        best = heapq.nlargest(self.width, fresh, key=lambda node: self.reached[node])
        if self.depth >= self.max_depth:
            best = []
        if best and len(self.tokens) >= self.max_nodes:
            # What lies deeper is at most as likely, so it would not be among the nodes kept.
            least = heapq.nlargest(self.max_nodes, self.reached)[-1]
            best = [node for node in best if self.reached[node] > least]
        self.frontier = sorted(best)

    def stop(self) -> None:
        """Grow no further."""
        self.frontier = []

    def tree(self) -> Tree:
        """The likeliest nodes, `max_nodes` at most."""
        if not self.tokens:
            return EMPTY
        whole = Tree(
            tuple(self.tokens),
            tuple(self.parents),
            tuple(guess.probability for guess in self.guesses),
            self.distributions,
        )
        if len(whole) <= self.max_nodes:
            return whole
        # A node is never likelier than its parent, and stands behind it.
        ranked = sorted(range(len(whole)), key=lambda node: (-self.reached[node], node))
        return whole.pick(sorted(ranked[: self.max_nodes]))
