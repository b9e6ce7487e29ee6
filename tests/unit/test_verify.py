from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from trees import trees

from outrider.engines.base import Pass
from outrider.errors import SamplingError
from outrider.sampling import Sampler, pack_mask
from outrider.tree import ROOT, Tree
from outrider.types import Sampling, Verdict
from outrider.verify import CoupledVerifier, coupled_walk

VOCAB = 8


class Given(Pass):
    """A pass with these logits."""

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self._logits = logits

    def numpy(self, rows: object) -> NDArray[np.float32]:
        return self._logits[np.asarray(rows)]


def one_hot(*tokens: int) -> NDArray[np.float32]:
    return np.eye(VOCAB, dtype=np.float32)[list(tokens)]


def greedy() -> Sampler:
    return Sampler(Sampling(), vocab_size=VOCAB, seed=0)


def test_all_accepted_and_a_bonus_token() -> None:
    tree = Tree.chain([3, 4], [0.5, 0.5])
    assert coupled_walk(one_hot(3, 4, 5), tree, greedy(), 0) == Verdict((0, 1), 5)


def test_the_first_wrong_one_is_corrected() -> None:
    tree = Tree.chain([3, 4], [0.5, 0.5])
    assert coupled_walk(one_hot(3, 6, 5), tree, greedy(), 0) == Verdict((0,), 6)
    assert coupled_walk(one_hot(2, 4, 5), tree, greedy(), 0) == Verdict((), 2)


def test_a_branch_is_taken_where_it_is_right() -> None:
    tree = Tree((1, 2, 3, 3), (ROOT, ROOT, 0, 1), (0.5,) * 4)
    assert coupled_walk(one_hot(2, 7, 3, 7, 6), tree, greedy(), 0) == Verdict((1, 3), 6)


def test_the_empty_tree_is_plain_decoding() -> None:
    assert coupled_walk(one_hot(2), Tree(), greedy(), 0) == Verdict((), 2)


@given(
    tree=trees(VOCAB),
    seed=st.integers(0, 2**64 - 1),
    position=st.integers(0, 1000),
    temperature=st.sampled_from([0.0, 1.0, 3.0]),
    masked=st.booleans(),
)
def test_what_comes_out_is_what_one_choice_after_another_gives(
    tree: Tree, seed: int, position: int, temperature: float, masked: bool
) -> None:
    random = np.random.default_rng(seed % 2**32)
    logits = random.standard_normal((1 + len(tree), VOCAB)).astype(np.float32)
    masks = [pack_mask(random.permutation(VOCAB)[:3], VOCAB) for _ in logits]
    sampling = Sampling(temperature=temperature, presence_penalty=1.0)
    sampler = Sampler(sampling, vocab_size=VOCAB, seed=seed)
    mask = (lambda node: masks[node + 1]) if masked else None
    verdict = coupled_walk(logits, tree, sampler, position, mask)

    plain = Sampler(sampling, vocab_size=VOCAB, seed=seed)
    node, text = ROOT, list[int]()
    for child in (*verdict.accepted, None):
        bits = masks[node + 1] if masked else None
        text.append(plain.choose(logits[node + 1], position + len(text), (), bits))
        plain.advance(text[-1:])
        if child is None:
            assert text[-1] == verdict.token
            taken = [tree.tokens[c] for c in tree.children(node)]
            assert verdict.token not in taken
        else:
            assert tree.tokens[child] == text[-1]
            assert tree.parents[child] == node
            node = child

    # The verifier says the same of a pass in which the root is not the first row.
    rows = Given(np.concatenate([one_hot(0, 0), logits]))
    verified = CoupledVerifier().verify(rows, 2, position, tree, sampler, mask=mask)
    assert verified == verdict


def test_masks_are_asked_for_only_where_the_walk_comes_by() -> None:
    asked: list[int] = []

    def mask(node: int) -> NDArray[np.uint32]:
        asked.append(node)
        return pack_mask(range(VOCAB), VOCAB)

    tree = Tree((1, 2, 3), (ROOT, ROOT, 1), (0.5,) * 3)
    CoupledVerifier().verify(Given(one_hot(2, 0, 4, 0)), 0, 0, tree, greedy(), mask=mask)
    assert asked == [ROOT, 1]


def test_no_token_left() -> None:
    nothing = np.zeros(1, np.uint32)
    with pytest.raises(SamplingError):
        coupled_walk(one_hot(1), Tree(), greedy(), 0, lambda node: nothing)
    with pytest.raises(SamplingError):
        coupled_walk(np.full((1, VOCAB), np.nan, np.float32), Tree(), greedy(), 0)
