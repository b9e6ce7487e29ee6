"""Which tree to draft: by the measured acceptance of siblings, or by the nodes' own probabilities.

Two kinds of choice. Before drafting, only the acceptance of the first, second, … child of any node
is known, and the best *shape* is computed once (Chen et al. 2024, "Sequoia", arXiv:2402.12374).
After drafting, every node has a probability of its own, and the best *nodes* are picked anew at
each step (Li et al. 2024, "EAGLE-2", arXiv:2406.16858).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outrider.errors import UsageError
from outrider.theory.speedup import RowsCost, flat
from outrider.tree import EMPTY, ROOT, Tree


def expected_tree_tokens(tree: Tree) -> float:
    """Expected tokens of a pass over the tree, the bonus token included: 1 + Σ path probabilities.

    A node gains a token exactly where it and all its ancestors are accepted.
    """
    return 1.0 + math.fsum(tree.path_probabilities())


@dataclass(frozen=True, slots=True)
class BestTree:
    """The tree of the greatest speed-up; empty where no node is worth its row.

    Attributes:
        tree: its nodes. Where it is a shape, a node's token is its rank among its siblings, from
            0, and its probability that rank's acceptance.
        expected_tokens: of a pass over it, the bonus token included.
        speedup: against plain decoding.
    """

    tree: Tree = EMPTY
    expected_tokens: float = 1.0
    speedup: float = 1.0


# ------------------------------------------------------------------------- before drafting


def best_tree(
    acceptance: Sequence[float],
    *,
    nodes: int,
    depth: int | None = None,
    c: float = 0.0,
    v: RowsCost = flat,
) -> BestTree:
    """The shape that gives most tokens a unit of time, by dynamic programming.

    Let f(d, b, m) be the most tokens that the children from the b-th on can gain with m nodes in d
    levels. The b-th child takes s of the nodes, itself included, and its siblings the rest:

        f(d, b, m) = max over s of a_b · (1 + f(d − 1, 0, s − 1)) + f(d, b + 1, m − s)

    A node has a b-th child only if it has those before. Of all d and m, the one with the greatest
    (1 + f(d, 0, m)) / (d·c + v(m + 1)) is taken: one pass of the draft model makes a level. Both
    are Chen et al. 2024: the tree construction and the hardware-aware tree optimizer.

    Args:
        acceptance: a_b, the probability that the target's token is a node's b-th child, given that
            the node was accepted; they sum to at most 1.
        nodes: drafted tokens, at most.
        depth: levels, at most; None for as many as nodes.
        c: what drafting a level costs, at least 0.
        v: the curve of rows.

    Raises:
        UsageError: a value out of range.
    """
    depth = nodes if depth is None else min(depth, nodes)
    if nodes < 0 or depth < 0:
        raise UsageError("A tree's nodes and depth have to be at least 0.")
    if not 0.0 <= c < math.inf:
        raise UsageError(f"c has to be a number of at least 0, not {c!r}.")
    if not all(a >= 0.0 for a in acceptance) or math.fsum(acceptance) > 1.0 + 1e-9:
        raise UsageError(
            "The acceptance of a node's children has to be at least 0 and to sum to at most 1, "
            f"not {list(acceptance)}."
        )

    gain = _gains(acceptance, nodes, depth)
    best, shape = 1.0, (0, 0)
    for m in range(1, nodes + 1):
        for d in range(1, min(depth, m) + 1):
            found = (1.0 + gain[d, 0, m]) / (d * c + v(m + 1))
            # Where m nodes gain what m - 1 do, no more have room in d levels.
            if found > best and gain[d, 0, m] > gain[d, 0, m - 1]:
                best, shape = found, (d, m)
    tree = _tree_of(gain, acceptance, *shape)
    return BestTree(tree, expected_tree_tokens(tree), float(best))


def _gains(acceptance: Sequence[float], nodes: int, depth: int) -> NDArray[np.float64]:
    """The f of `best_tree`, float64[depth + 1, children + 1, nodes + 1], with at most m nodes."""
    gain = np.zeros((depth + 1, len(acceptance) + 1, nodes + 1))
    for d in range(1, depth + 1):
        for b in reversed(range(len(acceptance))):
            for m in range(1, nodes + 1):
                gain[d, b, m] = _splits(gain, acceptance[b], d, b, m).max()
    return gain


def _splits(
    gain: NDArray[np.float64], accepted: float, d: int, b: int, m: int
) -> NDArray[np.float64]:
    """The gain where the b-th child takes 1, 2, … m of the nodes, float64[m]."""
    return accepted * (1.0 + gain[d - 1, 0, :m]) + gain[d, b + 1, m - 1 :: -1]


def _tree_of(gain: NDArray[np.float64], acceptance: Sequence[float], d: int, m: int) -> Tree:
    """The tree behind f(d, 0, m), its nodes depth first."""
    ranks, parents = list[int](), list[int]()
    waiting = [(ROOT, d, 0, m)]
    while waiting:
        parent, d, b, m = waiting.pop()
        if gain[d, b, m] == 0.0:  # no level, node or acceptance is left
            continue
        size = 1 + int(_splits(gain, acceptance[b], d, b, m).argmax())
        node = len(parents)
        ranks.append(b)
        parents.append(parent)
        # The child's own children come before its siblings.
        waiting += [(parent, d, b + 1, m - size), (node, d - 1, 0, size - 1)]
    return Tree(tuple(ranks), tuple(parents), tuple(acceptance[b] for b in ranks))


# -------------------------------------------------------------------------- after drafting


def best_nodes(tree: Tree, count: int) -> Tree:
    """The `count` nodes that are likeliest to be accepted; no other choice expects more tokens.

    A node is never likelier than its parent, so the likeliest nodes form a tree. Li et al. 2024,
    reranking.

    Args:
        tree: a draft.
        count: nodes to keep; all where there are no more.
    """
    return tree.pick(sorted(_likeliest(tree)[: max(count, 0)]))


def best_subtree(tree: Tree, v: RowsCost = flat, drafting: float = 0.0) -> BestTree:
    """The nodes of a draft that give most tokens a unit of time: (1 + Σ path) / (t + v(m + 1)).

    For each number of nodes m the likeliest are the best, so it is enough to try every m; v need
    not be convex.

    Args:
        tree: a draft.
        v: the curve of rows.
        drafting: t, the time the draft has taken, in passes over one row; it is spent whatever is
            chosen.

    Raises:
        UsageError: `drafting` is negative.
    """
    if not 0.0 <= drafting < math.inf:
        raise UsageError(f"The time of drafting has to be at least 0, not {drafting!r}.")
    path = tree.path_probabilities()
    tokens = np.cumsum([1.0, *(path[node] for node in _likeliest(tree))])
    time = np.asarray([drafting + v(rows) for rows in range(1, len(tree) + 2)])
    count = int((tokens / time).argmax())
    return BestTree(
        best_nodes(tree, count), float(tokens[count]), float(tokens[count] / time[count])
    )


def _likeliest(tree: Tree) -> list[int]:
    """All nodes by falling path probability, parents before their children."""
    path = tree.path_probabilities()
    return sorted(range(len(tree)), key=lambda node: (-path[node], node))
