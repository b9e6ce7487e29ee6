from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider import registry
from outrider.drafters.base import DraftEntry, Drafter, Observation
from outrider.drafters.merge import merge
from outrider.drafters.mixed import MixedDrafter
from outrider.engines.base import Pass
from outrider.engines.toy import ToyEngine
from outrider.errors import UsageError
from outrider.sampling import Sampler
from outrider.testing import GivenPass
from outrider.tree import EMPTY, ROOT, Tree
from outrider.types import Sampling, Verdict

VOCAB = 48


def entry_of(tokens: list[int], nodes: int = 8, depth: int = 4) -> DraftEntry:
    sampler = Sampler(Sampling(), vocab_size=VOCAB, seed=0)
    return DraftEntry(0, tokens, len(tokens), sampler, max_nodes=nodes, max_depth=depth)


class Given(Drafter):
    """Always proposes the same, and keeps what it was told."""

    tree = Tree.chain([30, 31], [0.9, 0.8])
    calls: list[str]

    def __init__(self, target: ToyEngine) -> None:
        super().__init__(target)
        Given.calls = []

    def begin(self, entry: DraftEntry) -> None:
        self.calls.append("begin")

    def draft(self, batch: list[DraftEntry]) -> list[Tree]:  # type: ignore[override]
        return [self.tree] * len(batch)

    def observe(self, batch: list[Observation], outcome: Pass) -> None:  # type: ignore[override]
        self.calls.append("observe")

    def end(self, entry: DraftEntry) -> None:
        self.calls.append("end")

    def reset(self) -> None:
        self.calls.append("reset")


@pytest.fixture
def given_drafter(monkeypatch: pytest.MonkeyPatch) -> None:
    load = registry.load
    monkeypatch.setattr(
        registry, "load", lambda group, name: Given if name == "given" else load(group, name)
    )


def test_each_node_says_where_it_comes_from() -> None:
    drafter = MixedDrafter(ToyEngine(), sources="ngram+recycle", k=2)
    entry = entry_of([1, 2, 3, 1])
    drafter.begin(entry)
    logits = np.zeros((1, VOCAB), np.float32)
    logits[0, [40, 41]] = 9.0, 8.0
    entry.tokens.append(2)
    drafter.observe([Observation(entry, EMPTY, Verdict((), 2))], GivenPass(logits))
    entry.tokens.append(1)
    drafter.observe([Observation(entry, EMPTY, Verdict((), 1))], GivenPass(logits))
    (tree,) = drafter.draft([entry])
    origins = dict(zip(tree.tokens, tree.origins, strict=True))
    assert origins[2] == "ngram"
    assert origins[40] == "recycle"


@pytest.mark.usefixtures("given_drafter")
def test_other_drafters_are_merged_in() -> None:
    drafter = MixedDrafter(ToyEngine(), sources="ngram+given")
    entry = entry_of([1, 2, 3, 1])
    drafter.begin(entry)
    (tree,) = drafter.draft([entry])
    assert tree.tokens[:2] == (30, 31)
    assert tree.origins[:2] == ("given", "given")
    assert (2, "ngram") in zip(tree.tokens, tree.origins, strict=True)
    entry.tokens.append(2)
    drafter.observe(
        [Observation(entry, EMPTY, Verdict((), 2))], GivenPass(np.zeros((1, VOCAB), np.float32))
    )
    drafter.reset()
    drafter.end(entry)
    assert Given.calls == ["begin", "observe", "reset", "end"]


@pytest.mark.usefixtures("given_drafter")
def test_a_mixture_of_one_that_is_not_free() -> None:
    drafter = MixedDrafter(ToyEngine(), sources="given")
    (tree,) = drafter.draft([entry_of([1])])
    assert (tree.tokens, tree.origins) == ((30, 31), ("given", "given"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sources": "ngram+ngram"}, "'ngram' of 'mixed' is named twice"),
        ({"sources": "ngram+mixed"}, "'mixed' cannot be a source"),
        ({"sources": "none"}, "'none' cannot be a source"),
        ({"sources": "ngram+sufix"}, "did you mean 'suffix'"),
        ({"sources": ""}, "Unknown drafter ''"),
        ({"sources": "ngram", "past": True}, "needs the source 'suffix'"),
        ({"sources": "ngram", "k": 4}, "needs the source 'recycle'"),
    ],
)
def test_impossible_mixtures(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        MixedDrafter(ToyEngine(), **options)  # type: ignore[arg-type]


# ---- merging ------------------------------------------------------------------------------------


def test_what_two_propose_is_one_node() -> None:
    one = Tree.chain([5, 6], [0.5, 0.4])
    other = Tree((5, 7), (ROOT, ROOT), (0.6, 0.1))
    tree = merge([("a", one), ("b", other)], 8, branches=True)
    assert tree.tokens == (5, 6, 7)
    assert tree.parents == (ROOT, 0, ROOT)
    assert tree.origins == ("b", "a", "b")
    assert tree.probabilities == pytest.approx((0.8, 0.4, 0.1))


def test_merged_chains_are_chains_for_those_that_take_no_trees() -> None:
    one, other = Tree.chain([5, 6], [0.5, 0.4]), Tree.chain([7, 8], [0.6, 0.9])
    tree = merge([("a", one), ("b", other)], 8, branches=False)
    assert tree.tokens == (7, 8)
    assert tree.parents == (ROOT, 0)


def test_nothing_merged_is_nothing() -> None:
    assert merge([("a", EMPTY), ("b", EMPTY)], 8, branches=True) == EMPTY


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tokens, parents, probabilities = [], [], []
    for node in range(draw(st.integers(0, 8))):
        parent = draw(st.integers(ROOT, node - 1))
        taken = {t for t, p in zip(tokens, parents, strict=True) if p == parent}
        token = draw(st.integers(0, 9).filter(lambda t, taken=taken: t not in taken))
        tokens.append(token)
        parents.append(parent)
        probabilities.append(draw(st.floats(0.0, 1.0)))
    return Tree(tuple(tokens), tuple(parents), tuple(probabilities))


@given(trees(), trees(), st.integers(0, 12), st.booleans())
def test_merged_trees_keep_the_rules(one: Tree, other: Tree, nodes: int, branches: bool) -> None:
    tree = merge([("a", one), ("b", other)], nodes, branches=branches)
    tree.check(10)
    assert len(tree) <= nodes
    for parent in range(ROOT, len(tree)):
        assert sum(tree.probabilities[n] for n in tree.children(parent)) <= 1.0 + 1e-9
    if not branches:
        assert tree.parents == tuple(range(-1, len(tree) - 1))
