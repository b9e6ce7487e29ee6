from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from outrider.engines.base import HISTORY, Rows, RowsBuilder
from outrider.engines.toy import ToyEngine
from outrider.testing import committed, joined
from outrider.tree import ROOT, Tree


def same(found: Rows, expected: Rows) -> None:
    for column in fields(Rows):
        ours, theirs = getattr(found, column.name), getattr(expected, column.name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tokens = draw(st.lists(st.integers(0, 47), max_size=8, unique=True))
    parents = [draw(st.integers(ROOT, node - 1)) for node in range(len(tokens))]
    return Tree(tuple(tokens), tuple(parents), (0.5,) * len(tokens))


@given(st.lists(st.tuples(st.lists(st.integers(0, 47), min_size=1), trees()), min_size=1))
def test_chains_with_trees_below_them(parts: list[tuple[list[int], Tree]]) -> None:
    engine, builder, expected = ToyEngine(), RowsBuilder(), []
    for tokens, tree in parts:
        sequence = engine.open([], 1)
        root = builder.chain(sequence.id, tokens, commit=True, want_logits=True)
        builder.tree(sequence.id, tree, root)
        expected.append(committed(sequence, tokens, tree))
        engine.close(sequence)
    assert len(builder) == sum(map(len, expected))
    same(builder.rows(), joined(*expected))


def test_rows_one_by_one() -> None:
    builder = RowsBuilder()
    assert builder.chain(1, [], 9) == 9
    first = builder.row(1, 5, HISTORY, commit=True)
    second = builder.chain(1, [6, 7], first)
    assert (first, second) == (0, 2)
    builder.want_logits[second] = True
    rows = builder.rows()
    assert rows.parent.tolist() == [HISTORY, 0, 1]
    assert rows.commit.tolist() == [True, False, False]
    assert rows.want_logits.tolist() == [False, False, True]
