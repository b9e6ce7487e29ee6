"""Which of all drafted nodes to verify: the prefix of the likeliest that gains most a millisecond.

A pass gains a token for every sequence in it, and one for every drafted node that is accepted. A
node is accepted with the product of the probabilities along its path, whatever else is verified.
So with the nodes of all drafts in the order of that product, no other m nodes gain more than the
first m, and which m is best is a matter of trying them all:

    argmax over m of (tokens + p₁ + … + p_m) / (pass_ms[m] + row_ms of each of the m)

Chen et al. 2024 (arXiv:2402.12374) choose the size of a tree like this, Li et al. 2024
(arXiv:2406.16858) the nodes. Where rows of one sequence take longer than those of another, the
order does not look at that; rows differ by far less than probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from outrider import _native
from outrider.tree import EMPTY, Tree


def best_prefix(
    trees: Sequence[Tree],
    most: Sequence[int],
    row_ms: Sequence[float],
    pass_ms: NDArray[np.float64],
    tokens: float,
    gain: float = 1.0,
) -> list[Tree]:
    """The trees trimmed to the nodes that are worth their row; all empty where none is.

    Args:
        trees: one draft a sequence.
        most: nodes of each draft at most.
        row_ms: what each drafted row of a sequence takes beyond what any row takes.
        pass_ms: float64[M + 1], all the time of a step with 0, 1, … M drafted rows.
        tokens: gained without any draft.
        gain: a draft has to beat the rate without one by this factor.

    Raises:
        UsageError: a tree whose parents or probabilities are none.
    """
    chosen = _native.best_prefix(
        [tree.parents for tree in trees],
        [tree.probabilities for tree in trees],
        most,
        row_ms,
        pass_ms,
        tokens,
        gain,
    )
    return [picked(tree, nodes) for tree, nodes in zip(trees, chosen, strict=True)]


def reference_best_prefix(
    trees: Sequence[Tree],
    most: Sequence[int],
    row_ms: Sequence[float],
    pass_ms: NDArray[np.float64],
    tokens: float,
    gain: float = 1.0,
) -> list[Tree]:
    """`best_prefix` in Python, which the extension is tested against."""
    chosen = likeliest(trees, most, len(pass_ms) - 1)
    times = pass_ms[: len(chosen) + 1].copy()
    times[1:] += np.cumsum([row_ms[i] for _, _, i in chosen])
    rates = (tokens + np.cumsum([0.0, *(p for p, _, _ in chosen)])) / times
    rates[0] *= gain
    best = chosen[: int(np.argmax(rates))]
    return [
        picked(tree, sorted(node for _, node, owner in best if owner == i))
        for i, tree in enumerate(trees)
    ]


def likeliest(
    trees: Sequence[Tree], most: Sequence[int], budget: int
) -> list[tuple[float, int, int]]:
    """The nodes likeliest to be reached and accepted, best first, as (probability, node, tree).

    A node is never likelier than its parent and stands behind it, so a parent always comes first
    and stays with its children.

    Args:
        trees: one draft a sequence.
        most: nodes of each draft at most.
        budget: nodes of all drafts at most.
    """
    ranked = sorted(
        (-probability, node, i)
        for i, tree in enumerate(trees)
        for node, probability in enumerate(tree.path_probabilities())
    )
    left = list(most)
    chosen: list[tuple[float, int, int]] = []
    for negative, node, i in ranked:
        if len(chosen) < budget and left[i] > 0:
            left[i] -= 1
            chosen.append((-negative, node, i))
    return chosen


def trimmed(trees: Sequence[Tree], most: Sequence[int], budget: int) -> list[Tree]:
    """The trees with only their `likeliest` nodes; those that fit are left as they are."""
    if sum(map(len, trees)) <= budget and all(
        len(tree) <= limit for tree, limit in zip(trees, most, strict=True)
    ):
        return list(trees)
    nodes: list[list[int]] = [[] for _ in trees]
    for _, node, i in likeliest(trees, most, budget):
        nodes[i].append(node)
    return [picked(tree, sorted(kept)) for tree, kept in zip(trees, nodes, strict=True)]


def picked(tree: Tree, nodes: Sequence[int]) -> Tree:
    """`tree.pick(nodes)`, and the tree itself where that is all of it."""
    if len(nodes) == len(tree):
        return tree
    return tree.pick(nodes) if nodes else EMPTY
