import numpy as np
import pytest

from outrider.constraints import AllowedTokens
from outrider.errors import UsageError


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
