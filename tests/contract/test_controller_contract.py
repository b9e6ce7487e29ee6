"""What every controller has to keep; a third party runs this over its own by registering it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_tools import Asked, OracleDrafter, loop_on, plain, run
from trees import trees

from outrider import registry
from outrider.control.base import Controller, PassReport, Room
from outrider.drafters.base import DraftEntry, Observation
from outrider.engines.toy import ToyCost
from outrider.sampling import Sampler
from outrider.tree import Tree
from outrider.types import Sampling, Speculation, Verdict

SPECS = (*registry.names("controllers"), "threshold:mode=confidence")
PROMPTS = tuple((3, 1, 4, 1, 5, 9, 2, 6, seed) for seed in range(4))


def made(spec: str, num_draft_tokens: int | None = None) -> Controller:
    return registry.load("controllers", spec)(ToyCost(), num_draft_tokens)


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_limits_are_lowered_and_trees_are_trimmed(spec: str, data: st.DataObject) -> None:
    """Over some steps of a batch that changes; budgets may be zero."""
    wish = data.draw(st.one_of(st.none(), st.integers(0, 5)), "num_draft_tokens")
    controller = made(spec, wish)
    sampler = Sampler(Sampling(), vocab_size=8, seed=0)
    for step in range(4):
        drafts = data.draw(st.lists(trees(), min_size=1, max_size=4), "drafts")
        budget = data.draw(st.integers(0, 12), "budget")
        batch = [
            DraftEntry(i + step // 2, [0] * 5, 1, sampler, max_nodes=budget, max_depth=9)
            for i in range(len(drafts))
        ]
        room = Room(budget, ((5, 1),) * len(batch), len(batch))
        controller.limit(batch, room)
        for entry in batch:
            assert 0 <= entry.max_nodes <= (budget if wish is None else min(budget, wish))
            assert entry.min_path_probability >= 0.0
        chosen = controller.choose(batch, drafts, room)
        assert len(chosen) == len(batch)
        assert sum(map(len, chosen)) <= budget
        for entry, tree, draft in zip(batch, chosen, drafts, strict=True):
            tree.check(8)
            assert len(tree) <= entry.max_nodes
            assert paths(tree) <= paths(draft)
        rows = tuple((5, 1 + len(tree)) for tree in chosen)
        seen = [
            Observation(entry, tree, Verdict(tree.path(0) if len(tree) else (), 7))
            for entry, tree in zip(batch, chosen, strict=True)
        ]
        controller.observe(seen, PassReport(rows, 0.1, 1.0 + step, 0.1))


def paths(tree: Tree) -> set[tuple[int, ...]]:
    return {tuple(tree.tokens[n] for n in tree.path(node)) for node in range(len(tree))}


@pytest.mark.parametrize("drafter", ["oracle", "branching", "random", "ngram", "none"])
@pytest.mark.parametrize("spec", SPECS)
def test_no_controller_changes_a_token_or_fails(spec: str, drafter: str) -> None:
    settings_ = {"max_tokens": 30, "sampling": Sampling(temperature=0.8)}
    expected = [plain(prompt, **settings_).tokens for prompt in PROMPTS]
    OracleDrafter.answers = dict(zip(PROMPTS, expected, strict=True))
    wish = Speculation(drafter=drafter, controller=spec)
    asked = [Asked(prompt, speculation=wish, **settings_) for prompt in PROMPTS]
    run(loop_on(max_streams=3), *asked)
    OracleDrafter.answers = {}
    assert [one.answer.tokens for one in asked] == expected
    assert [one.answer.usage.note for one in asked] == [None] * len(asked)


@pytest.mark.parametrize("spec", SPECS)
def test_a_wish_for_no_tokens_is_heeded(spec: str) -> None:
    wish = Speculation(drafter="random", controller=spec, num_draft_tokens=0)
    asked = Asked(PROMPTS[0], speculation=wish)
    run(loop_on(), asked)
    assert asked.answer.usage.draft_tokens == 0
