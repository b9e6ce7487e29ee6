import numpy as np
import pytest

from outrider.constraints import AllowedTokens, prune, state_after, states_along
from outrider.errors import UsageError
from outrider.tree import EMPTY, ROOT, Tree


def test_the_mask_has_exactly_the_allowed_bits():
    constraint = AllowedTokens([0, 31, 32, 69], 70)
    mask = constraint.mask(constraint.start())
    bits = [t for t in range(mask.size * 32) if mask[t // 32] >> np.uint32(t % 32) & 1]
    assert bits == [0, 31, 32, 69]


def test_advancing_tells_allowed_from_forbidden():
    constraint = AllowedTokens({3}, 10)
    state = constraint.start()
    assert constraint.advance(state, 3) is state
    assert constraint.advance(state, 4) is None


@pytest.mark.parametrize("tokens", [[], [10], [-1]])
def test_impossible_sets_are_refused(tokens):
    with pytest.raises(UsageError):
        AllowedTokens(tokens, 10)


TREE = Tree((1, 2, 3, 1, 2, 1), (ROOT, ROOT, 0, 1, 3, 4), (0.5,) * 6)


def test_a_draft_ends_at_its_depth_and_where_tokens_are_forbidden():
    assert prune(TREE, 9, None, None) is TREE
    assert prune(TREE, 2, None, None) == TREE.pick([0, 1, 2, 3])
    assert prune(TREE, 0, None, None) == EMPTY
    allowed = AllowedTokens([1, 2], 10)
    assert prune(TREE, 9, allowed, allowed.start()) == TREE.pick([0, 1, 3, 4, 5])
    only = AllowedTokens([1], 10)
    assert prune(TREE, 9, only, only.start()) == TREE.pick([0])


def test_what_was_drawn_stays_to_be_refused_without_what_was_drawn_behind_it():
    chain = Tree.chain([1, 3, 1], [0.5] * 3)
    q = np.full(10, 0.1)
    drawn = Tree(chain.tokens, chain.parents, chain.probabilities, {ROOT: q, 0: q, 1: q})
    allowed = AllowedTokens([1], 10)
    pruned = prune(drawn, 9, allowed, allowed.start())
    assert pruned.tokens == (1, 3)
    assert states_along(pruned, allowed, allowed) == {ROOT: allowed, 0: allowed, 1: None}


def test_chosen_tokens_advance_a_constraint_up_to_the_end_of_text():
    allowed = AllowedTokens([1], 10)
    assert state_after([1, 1], frozenset(), allowed, allowed) is allowed
    assert state_after([1, 7, 8], frozenset({7}), allowed, allowed) is allowed
    with pytest.raises(UsageError, match="its mask allows token 8"):
        state_after([1, 8], frozenset({7}), allowed, allowed)
