from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import trees

from outrider import theory
from outrider.errors import UsageError
from outrider.tree import EMPTY, ROOT, Tree, follow

WALKS = 20_000
ERRORS = 5.0
"""Standard errors that a simulation may be off; its seed is fixed."""

acceptances = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4).map(
    lambda weights: [w / max(1.0, sum(weights)) for w in weights]
)
curves = st.lists(st.floats(0.5, 4.0), min_size=8, max_size=8).map(theory.rows_cost)


# ------------------------------------------------------------------------- every ordered tree

Shape = tuple[object, ...]
"""The shapes of a node's children, in the order of their ranks."""


@cache
def shapes(nodes: int) -> tuple[Shape, ...]:
    """All ordered trees with so many nodes below the root: 1, 1, 2, 5, 14, 42, …"""
    if nodes == 0:
        return ((),)
    return tuple(
        (first, *rest)
        for size in range(nodes)
        for first in shapes(size)
        for rest in shapes(nodes - 1 - size)
    )


def depth_of(shape: Shape) -> int:
    return max((1 + depth_of(child) for child in shape), default=0)  # type: ignore[arg-type]


def tokens_of(shape: Shape, acceptance: list[float]) -> float:
    """Expected tokens from a node that was accepted: the next one, and what follows it."""
    return 1.0 + sum(
        a * tokens_of(child, acceptance)  # type: ignore[arg-type]
        for a, child in zip(acceptance, shape, strict=False)
    )


def widest(shape: Shape) -> int:
    return max([len(shape), *map(widest, shape)])  # type: ignore[arg-type]


def every_tree(nodes: int, depth: int, children: int) -> Iterator[tuple[int, int, Shape]]:
    for count in range(nodes + 1):
        for shape in shapes(count):
            if (levels := depth_of(shape)) <= depth and widest(shape) <= children:
                yield count, levels, shape


def test_there_are_as_many_ordered_trees_as_catalan_numbers() -> None:
    assert [len(shapes(nodes)) for nodes in range(7)] == [1, 1, 2, 5, 14, 42, 132]


@settings(max_examples=40)
@given(acceptance=acceptances, nodes=st.integers(0, 6), depth=st.integers(0, 6))
def test_no_tree_gains_more_than_the_best(acceptance: list[float], nodes: int, depth: int) -> None:
    best = theory.best_tree(acceptance, nodes=nodes, depth=depth)

    most = max(
        tokens_of(shape, acceptance) for _, _, shape in every_tree(nodes, depth, len(acceptance))
    )
    assert best.expected_tokens == pytest.approx(most)
    assert best.speedup == pytest.approx(most)


@settings(max_examples=40)
@given(
    acceptance=acceptances,
    nodes=st.integers(0, 6),
    depth=st.integers(0, 6),
    c=st.floats(0.0, 0.5),
    v=curves,
)
def test_no_tree_is_faster_than_the_best(
    acceptance: list[float], nodes: int, depth: int, c: float, v: theory.RowsCost
) -> None:
    best = theory.best_tree(acceptance, nodes=nodes, depth=depth, c=c, v=v)

    fastest = max(
        tokens_of(shape, acceptance) / (levels * c + v(count + 1))
        for count, levels, shape in every_tree(nodes, depth, len(acceptance))
    )
    assert best.speedup == pytest.approx(fastest)
    best.tree.check(vocab_size=len(acceptance))
    levels = max((len(best.tree.path(node)) for node in range(len(best.tree))), default=0)
    assert best.expected_tokens / (levels * c + v(len(best.tree) + 1)) == pytest.approx(
        best.speedup
    )


def test_a_node_has_no_later_child_without_the_earlier_ones() -> None:
    best = theory.best_tree([0.1, 0.7], nodes=3, depth=1)

    assert best.tree.tokens == (0, 1)
    assert best.expected_tokens == pytest.approx(1.8)


@given(alpha=st.floats(0.01, 0.99), c=st.floats(0.0, 0.5), v=curves)
def test_with_one_child_a_node_the_best_tree_is_the_best_chain(
    alpha: float, c: float, v: theory.RowsCost
) -> None:
    tree = theory.best_tree([alpha], nodes=7, c=c, v=v)
    chain = theory.best_length(alpha, c, v, longest=7)

    assert tree.speedup == pytest.approx(chain.speedup)
    assert len(tree.tree) == chain.length
    assert tree.expected_tokens == pytest.approx(theory.expected_tokens(alpha, chain.length))


def test_where_nothing_is_accepted_nothing_is_drafted() -> None:
    assert theory.best_tree([0.0, 0.0], nodes=5) == theory.BestTree(EMPTY, 1.0, 1.0)
    assert theory.best_tree([], nodes=5).tree == EMPTY
    assert theory.best_tree([0.5], nodes=5, c=0.6).tree == EMPTY


def test_growing_the_likeliest_node_first_gives_the_same_tokens() -> None:
    acceptance = [0.55, 0.2, 0.1]
    tokens, parents = list[int](), list[int]()
    level = [ROOT]
    for _ in range(5):
        below = []
        for parent in level:
            for rank in range(len(acceptance)):
                below.append(len(tokens))
                tokens.append(rank)
                parents.append(parent)
        level = below
    whole = Tree(tuple(tokens), tuple(parents), tuple(acceptance[rank] for rank in tokens))

    for nodes in (1, 2, 5, 9, 14):
        grown = theory.best_nodes(whole, nodes)
        planned = theory.best_tree(acceptance, nodes=nodes, depth=5)
        assert theory.expected_tree_tokens(grown) == pytest.approx(planned.expected_tokens)


@pytest.mark.parametrize(
    "tree",
    [
        theory.best_tree([0.6, 0.2, 0.08], nodes=12).tree,
        Tree.chain([0, 0, 0], [0.9, 0.5, 0.7]),
        EMPTY,
    ],
)
def test_a_trees_tokens_are_what_walks_down_it_gain(tree: Tree) -> None:
    random = np.random.default_rng(4)
    nobody = -1

    def choose(node: int, path: object) -> int:
        children = list(tree.children(node))
        weights = [tree.probabilities[child] for child in children]
        pick = int(np.searchsorted(np.cumsum(weights), random.random(), side="right"))
        return tree.tokens[children[pick]] if pick < len(children) else nobody

    gained = np.asarray([len(follow(tree, choose).accepted) + 1 for _ in range(WALKS)])

    error = gained.std() / math.sqrt(WALKS)
    assert abs(gained.mean() - theory.expected_tree_tokens(tree)) <= ERRORS * error + 1e-12


# -------------------------------------------------------------------------- after drafting


def subtrees(tree: Tree) -> Iterator[list[int]]:
    """All sets of nodes that hold every parent, for trees of a few nodes."""
    for bits in range(2 ** len(tree)):
        nodes = [node for node in range(len(tree)) if bits >> node & 1]
        if all(tree.parents[n] == ROOT or tree.parents[n] in nodes for n in nodes):
            yield nodes


@given(tree=trees(most=7), count=st.integers(-1, 8))
def test_no_other_nodes_expect_more_tokens(tree: Tree, count: int) -> None:
    best = theory.best_nodes(tree, count)

    assert len(best) == min(max(count, 0), len(tree))
    most = max(
        theory.expected_tree_tokens(tree.pick(nodes))
        for nodes in subtrees(tree)
        if len(nodes) <= max(count, 0)
    )
    assert theory.expected_tree_tokens(best) == pytest.approx(most)


@given(tree=trees(most=7), v=curves, drafting=st.floats(0.0, 2.0))
def test_no_other_nodes_are_faster(tree: Tree, v: theory.RowsCost, drafting: float) -> None:
    best = theory.best_subtree(tree, v, drafting)

    fastest = max(
        theory.expected_tree_tokens(tree.pick(nodes)) / (drafting + v(len(nodes) + 1))
        for nodes in subtrees(tree)
    )
    assert best.speedup == pytest.approx(fastest)
    assert best.expected_tokens == pytest.approx(theory.expected_tree_tokens(best.tree))
    assert best.speedup == pytest.approx(best.expected_tokens / (drafting + v(len(best.tree) + 1)))


# ------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    "options",
    [
        {"nodes": -1},
        {"nodes": 2, "depth": -1},
        {"nodes": 2, "c": -0.1},
        {"nodes": 2, "c": math.nan},
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="at least 0"):
        theory.best_tree([0.5], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("acceptance", [[-0.1], [0.6, 0.6], [math.nan]])
def test_an_acceptance_that_is_none_is_refused(acceptance: list[float]) -> None:
    with pytest.raises(UsageError, match="at most 1"):
        theory.best_tree(acceptance, nodes=3)


def test_drafting_cannot_take_less_than_no_time() -> None:
    with pytest.raises(UsageError, match="at least 0"):
        theory.best_subtree(EMPTY, drafting=-1.0)
