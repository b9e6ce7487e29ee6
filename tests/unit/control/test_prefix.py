from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import trees

from outrider import _native
from outrider.control.prefix import best_prefix, reference_best_prefix
from outrider.errors import UsageError
from outrider.theory import expected_tree_tokens
from outrider.tree import EMPTY, ROOT, Tree

CURVES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=24).map(
    lambda steps: 1.0 + np.concatenate([[0.0], np.cumsum(steps)])
)


def rate(chosen: list[Tree], row_ms: list[float], pass_ms: np.ndarray, tokens: float) -> float:
    gained = sum(expected_tree_tokens(tree) - 1.0 for tree in chosen)
    rows = sum(len(tree) * ms for tree, ms in zip(chosen, row_ms, strict=True))
    return (tokens + gained) / (pass_ms[sum(map(len, chosen))] + rows)


def closed_sets(tree: Tree, most: int) -> list[Tree]:
    """Every tree of its nodes that keeps parents with their children."""
    return [
        tree.pick(nodes)
        for size in range(min(len(tree), most) + 1)
        for nodes in combinations(range(len(tree)), size)
        if all(tree.parents[n] == ROOT or tree.parents[n] in nodes for n in nodes)
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(trees(most=4), min_size=1, max_size=3), CURVES, st.integers(0, 5))
def test_no_choice_of_nodes_is_faster(drafts: list[Tree], pass_ms: np.ndarray, cap: int) -> None:
    most, row_ms = [cap] * len(drafts), [0.0] * len(drafts)
    tokens = float(len(drafts))
    best = rate(best_prefix(drafts, most, row_ms, pass_ms, tokens), row_ms, pass_ms, tokens)
    for chosen in product(*(closed_sets(tree, cap) for tree in drafts)):
        if sum(map(len, chosen)) < len(pass_ms):
            assert rate(list(chosen), row_ms, pass_ms, tokens) <= best * (1 + 1e-12)


@given(
    st.lists(st.tuples(trees(), st.integers(0, 10), st.floats(0.0, 0.5)), min_size=1, max_size=5),
    CURVES,
    st.floats(1.0, 1.2),
)
def test_the_extension_chooses_as_the_reference(
    drafts: list[tuple[Tree, int, float]], pass_ms: np.ndarray, gain: float
) -> None:
    proposed, most, row_ms = (list(column) for column in zip(*drafts, strict=True))
    tokens = float(len(drafts))
    found = best_prefix(proposed, most, row_ms, pass_ms, tokens, gain)
    expected = reference_best_prefix(proposed, most, row_ms, pass_ms, tokens, gain)
    for tree, reference in zip(found, expected, strict=True):
        tree.check(8)
        # Sums in another order may break a tie otherwise, and no other way.
        if tree != reference:
            assert rate(found, row_ms, pass_ms, tokens) == pytest.approx(
                rate(expected, row_ms, pass_ms, tokens), rel=1e-9
            )
    for tree, cap in zip(found, most, strict=True):
        assert len(tree) <= cap


def test_a_loss_may_be_followed_by_a_greater_gain() -> None:
    chain = Tree.chain([1, 2, 3, 4], [0.55] * 4)
    pass_ms = np.array([1.0, 1.6, 1.6, 1.6, 1.6])
    assert best_prefix([chain], [1], [0.0], pass_ms, 1.0) == [EMPTY]
    assert best_prefix([chain], [4], [0.0], pass_ms, 1.0) == [chain]


def test_rows_of_a_long_context_are_worth_less() -> None:
    chain = Tree.chain([1], [0.5])
    pass_ms = np.array([1.0, 1.1, 1.2])
    assert best_prefix([chain, chain], [1, 1], [0.0, 0.9], pass_ms, 2.0) == [chain, EMPTY]


def test_a_gain_below_the_margin_is_none() -> None:
    chain = Tree.chain([1], [0.5])
    pass_ms = np.array([1.0, 1.49])
    assert best_prefix([chain], [1], [0.0], pass_ms, 1.0) == [chain]
    assert best_prefix([chain], [1], [0.0], pass_ms, 1.0, gain=1.02) == [EMPTY]


@pytest.mark.parametrize(
    ("parents", "probabilities", "most", "message"),
    [
        ([[0]], [[0.5]], [1], "Node 0 of a draft has parent 0, which is not before it."),
        ([[-2]], [[0.5]], [1], "Node 0 of a draft has parent -2, which is not before it."),
        ([[-1]], [[float("nan")]], [1], "Node 0 of a draft has no probability."),
        ([[-1, 0]], [[0.5]], [1], "A draft has 2 parents and 1 probabilities."),
        ([[-1]], [[0.5]], [1, 1], "The drafts differ in number from what is said of them."),
    ],
)
def test_what_is_no_tree_is_refused(parents, probabilities, most, message) -> None:
    with pytest.raises(UsageError, match=message):
        _native.best_prefix(parents, probabilities, most, [0.0], np.ones(3), 1.0, 1.0)
