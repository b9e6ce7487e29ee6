"""A strategy for draft trees."""

from __future__ import annotations

from hypothesis import strategies as st

from outrider.tree import ROOT, Tree


@st.composite
def trees(draw: st.DrawFn, vocab_size: int = 8, most: int = 10) -> Tree:
    size = draw(st.integers(0, most))
    tokens: list[int] = []
    parents: list[int] = []
    for node in range(size):
        parent = draw(st.integers(ROOT, node - 1))
        taken = {t for t, p in zip(tokens, parents, strict=True) if p == parent}
        token = draw(st.integers(0, vocab_size - 1))
        if token not in taken:
            tokens.append(token)
            parents.append(parent)
        else:
            break
    probabilities = draw(
        st.lists(st.floats(0, 1), min_size=len(tokens), max_size=len(tokens)).map(tuple)
    )
    return Tree(tuple(tokens), tuple(parents), probabilities)
