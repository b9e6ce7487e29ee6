"""Salted drafts: trees that keep the rules, half of them the drafter's own."""

from __future__ import annotations

import numpy as np
import pytest
from loop_tools import RandomDrafter, SelfDrafter

from outrider.certify import Guide, SaltedDrafter
from outrider.certify.salt import SALT
from outrider.drafters.base import DraftEntry, Drafter, Observation
from outrider.drafters.ngram import NgramDrafter
from outrider.engines.toy import ToyEngine
from outrider.sampling import Sampler
from outrider.testing import DrafterContract
from outrider.tree import EMPTY
from outrider.types import Sampling, Verdict

PROMPT = [3, 1, 4, 1, 5]


def guide() -> Guide:
    known = Guide()
    known.add(PROMPT, range(10, 30))
    return known


def entry(nodes: int = 8, depth: int = 8, seed: int = 0) -> DraftEntry:
    sampler = Sampler(Sampling(), vocab_size=48, seed=seed)
    return DraftEntry(1, [*PROMPT, 10, 11], len(PROMPT), sampler, nodes, depth)


class Recorder(Drafter):
    """Proposes one chain; remembers what it was asked and told."""

    asked: int
    told: Observation

    def draft(self, batch):
        self.asked = batch[0].max_nodes
        from outrider.tree import Tree

        return [Tree.chain([12, 40], [0.5, 0.5])]

    def observe(self, batch, outcome):
        (self.told,) = batch


class TestContract(DrafterContract):
    @pytest.fixture
    def target(self):
        return ToyEngine()

    def make(self, target):
        return SaltedDrafter(NgramDrafter(target), "ngram", guide())


@pytest.mark.parametrize("trees", [False, True])
@pytest.mark.parametrize("nodes", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("depth", [1, 8])
def test_trees_keep_the_rules_and_the_limits(trees: bool, nodes: int, depth: int) -> None:
    target = ToyEngine(trees=trees)
    for seen in range(20):
        one = entry(nodes, depth)
        one.tokens = [*PROMPT, *range(10, 10 + seen % 15)]
        inner = NgramDrafter(target)
        inner.begin(one)
        (tree,) = SaltedDrafter(inner, "ngram", guide()).draft([one])
        tree.check(48)
        assert len(tree) <= nodes
        assert one.max_nodes == nodes
        assert all(len(tree.path(node)) <= depth for node in range(len(tree)))
        assert trees or tree.parents == tuple(range(-1, len(tree) - 1))


def test_salt_is_right_and_wrong() -> None:
    right = wrong = 0
    for said in range(1, 15):
        one = entry()
        one.tokens = [*PROMPT, *range(10, 10 + said)]
        (tree,) = SaltedDrafter(RandomDrafter(ToyEngine()), "random", guide()).draft([one])
        for node, origin in enumerate(tree.origins):
            if origin == SALT:
                expected = 10 + said + len(tree.path(node)) - 1
                right += tree.tokens[node] == expected
                wrong += tree.tokens[node] != expected
    assert right > wrong > 5


def test_the_draft_is_alike_for_every_seed() -> None:
    salted = SaltedDrafter(Recorder(ToyEngine()), "recorder", guide())
    assert salted.draft([entry(seed=1)]) == salted.draft([entry(seed=2)])


def test_the_drafter_hears_of_its_own_nodes_only() -> None:
    inner = Recorder(ToyEngine())
    salted = SaltedDrafter(inner, "recorder", guide())
    (tree,) = salted.draft([entry()])
    assert inner.asked == 4
    assert tree.origins[:2] == ("recorder", "recorder")
    assert set(tree.origins[2:]) == {SALT}
    last = len(tree) - 1
    path = tree.path(last)
    salted.observe([Observation(entry(), tree, Verdict(path, 7), 3)], None)
    assert inner.told.tree.tokens == (12, 40)
    assert inner.told.root == 3
    heard = inner.told.verdict
    assert heard.accepted == tuple(node for node in path if node < 2)
    assert heard.token == [*(tree.tokens[n] for n in path), 7][len(heard.accepted)]


def test_what_is_drawn_stays_as_it_is() -> None:
    salted = SaltedDrafter(SelfDrafter(ToyEngine()), "self", guide())
    (tree,) = salted.draft([entry()])
    (own,) = SelfDrafter(ToyEngine()).draft([entry()])
    assert salted.draws
    assert tree.tokens == own.tokens
    assert tree.distributions.keys() == own.distributions.keys()
    for node, q in own.distributions.items():
        assert np.array_equal(q, tree.distributions[node])


def test_without_a_known_answer_there_is_no_salt() -> None:
    salted = SaltedDrafter(RandomDrafter(ToyEngine()), "random", Guide())
    (tree,) = salted.draft([entry()])
    assert tree is not EMPTY
    assert set(tree.origins) <= {"random"}
