from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from trees import trees

from outrider.tree import EMPTY, ROOT, Tree

FORKED = Tree((5, 6, 7, 8), (ROOT, ROOT, 0, 2), (0.5, 0.4, 0.5, 0.2))


def test_a_chain_is_a_tree_without_branches() -> None:
    chain = Tree.chain([4, 4, 2], [0.5, 0.25, 0.5])
    assert chain.parents == (ROOT, 0, 1)
    assert chain.path(2) == (0, 1, 2)
    assert chain.path_probabilities() == (0.5, 0.125, 0.0625)
    chain.check(5)


def test_children_and_paths() -> None:
    assert list(FORKED.children(ROOT)) == [0, 1]
    assert list(FORKED.children(0)) == [2]
    assert list(FORKED.children(1)) == []
    assert FORKED.path(3) == (0, 2, 3)
    assert FORKED.path(ROOT) == ()
    assert len(EMPTY) == 0


def test_picked_nodes_keep_their_places() -> None:
    picked = FORKED.pick([1])
    assert (picked.tokens, picked.parents) == ((6,), (ROOT,))
    picked = FORKED.pick([0, 2])
    assert (picked.tokens, picked.parents, picked.probabilities) == ((5, 7), (ROOT, 0), (0.5, 0.5))


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        (Tree((1,), (), (0.5,)), "length"),
        (Tree((1,), (0,), (0.5,)), "parent"),
        (Tree((1,), (-2,), (0.5,)), "parent"),
        (Tree((9,), (ROOT,), (0.5,)), "vocabulary"),
        (Tree((1,), (ROOT,), (1.5,)), "probability"),
        (Tree((1, 1), (ROOT, ROOT), (0.5, 0.5)), "sibling"),
    ],
)
def test_a_broken_tree_is_found_out(tree: Tree, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        tree.check(9)


@pytest.mark.parametrize(
    ("parent", "q", "what"),
    [
        (1, np.full(4, 0.25), "node 1, which does not exist"),
        (ROOT, np.full(5, 0.2), r"not float64\[4\]"),
        (ROOT, np.full(4, 0.25, np.float32), r"not float64\[4\]"),
        (ROOT, np.full(4, 0.3), "below node -1 is none"),
        (ROOT, np.full(4, np.nan), "below node -1 is none"),
        (ROOT, np.array([1.5, 0.0, 0.0, -0.5]), "below node -1 is none"),
        (ROOT, np.array([0.5, 0.5, 0.0, 0.0]), "node 0 has probability 0"),
    ],
)
def test_a_broken_distribution_is_found_out(parent: int, q: np.ndarray, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Tree((2,), (ROOT,), (0.5,), {parent: q}).check(4)


def test_distributions_stay_with_their_parents() -> None:
    q = np.full(9, 1 / 9)
    tree = Tree((5, 6, 7), (ROOT, 0, 1), (0.5,) * 3, {ROOT: q, 0: q, 1: q})
    tree.check(9)
    assert set(tree.pick([0, 1]).distributions) == {ROOT, 0, 1}
    assert set(tree.pick([0]).distributions) == {ROOT, 0}


@given(trees())
def test_random_trees(tree: Tree) -> None:
    tree.check(8)
    products = tree.path_probabilities()
    for node, parent in enumerate(tree.parents):
        assert tree.path(node) == (*tree.path(parent), node)
        assert products[node] <= (1.0 if parent == ROOT else products[parent])
    for count in range(len(tree) + 1):
        first = tree.pick(range(count))
        assert (first.tokens, first.parents) == (tree.tokens[:count], tree.parents[:count])
        assert first.probabilities == tree.probabilities[:count]
    assert first == tree
