from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from trees import trees

from outrider.control.base import Room
from outrider.control.fixed import FixedController
from outrider.drafters.base import DraftEntry
from outrider.engines.toy import ToyCost
from outrider.sampling import Sampler
from outrider.tree import EMPTY, ROOT, Tree
from outrider.types import Sampling


def entries(*caps: int) -> list[DraftEntry]:
    sampler = Sampler(Sampling(), vocab_size=8, seed=0)
    return [DraftEntry(i, [0], 1, sampler, max_nodes=cap) for i, cap in enumerate(caps)]


def room(budget: int) -> Room:
    return Room(budget, ((1, 1),), 1)


def test_k_is_a_limit_and_so_are_cap_and_budget() -> None:
    for k, cap, budget, expected in ((4, 9, 9, 4), (4, 2, 9, 2), (4, 9, 3, 3), (0, 9, 9, 0)):
        (entry,) = batch = entries(cap)
        FixedController(ToyCost(), k).limit(batch, room(budget))
        assert entry.max_nodes == expected


def test_four_where_nobody_says() -> None:
    (entry,) = batch = entries(100)
    FixedController(ToyCost()).limit(batch, room(100))
    assert entry.max_nodes == 4


def test_the_likeliest_nodes_of_all_entries_get_the_budget() -> None:
    batch = entries(4, 4)
    weak = Tree.chain([1, 2, 3], [0.5, 0.5, 0.5])
    strong = Tree((4, 5, 6), (ROOT, ROOT, 1), (0.1, 0.9, 0.9))
    first, second = FixedController(ToyCost(), 4).choose(batch, [weak, strong], room(3))
    assert first.tokens == (1,)
    assert (second.tokens, second.parents) == ((5, 6), (ROOT, 0))


def test_what_fits_is_left_alone() -> None:
    tree = Tree.chain([1, 2], [0.5, 0.5])
    chosen = FixedController(ToyCost(), 4).choose(entries(4, 4), [tree, EMPTY], room(2))
    assert chosen[0] is tree
    assert chosen[1] is EMPTY


@given(st.lists(trees(), min_size=1, max_size=4), st.integers(0, 12), st.integers(0, 6))
def test_limits_are_kept_and_parents_stay(drafts: list[Tree], budget: int, cap: int) -> None:
    chosen = FixedController(ToyCost()).choose(entries(*[cap] * len(drafts)), drafts, room(budget))
    assert sum(map(len, chosen)) == min(budget, sum(min(len(d), cap) for d in drafts))
    for tree, draft in zip(chosen, drafts, strict=True):
        tree.check(8)
        assert len(tree) <= cap
        whole = {tuple(draft.tokens[n] for n in draft.path(node)) for node in range(len(draft))}
        for node in range(len(tree)):
            assert tuple(tree.tokens[n] for n in tree.path(node)) in whole
