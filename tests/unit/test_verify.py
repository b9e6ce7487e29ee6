from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from trees import trees

from outrider.errors import SamplingError, UsageError
from outrider.sampling import Sampler, StreamId, pack_mask, reference_draw
from outrider.testing import GivenPass
from outrider.tree import ROOT, Tree
from outrider.types import Sampling, Verdict
from outrider.verify import (
    CoupledVerifier,
    RejectionVerifier,
    TypicalVerifier,
    branches,
    coupled_walk,
    typical_threshold,
    typical_token,
)

VOCAB = 8


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
    rows = GivenPass(np.concatenate([one_hot(0, 0), logits]))
    verified = CoupledVerifier().verify(rows, 2, position, tree, sampler, mask=mask)
    assert verified == verdict


def test_masks_are_asked_for_only_where_the_walk_comes_by() -> None:
    asked: list[int] = []

    def mask(node: int) -> NDArray[np.uint32]:
        asked.append(node)
        return pack_mask(range(VOCAB), VOCAB)

    tree = Tree((1, 2, 3), (ROOT, ROOT, 1), (0.5,) * 3)
    CoupledVerifier().verify(GivenPass(one_hot(2, 0, 4, 0)), 0, 0, tree, greedy(), mask=mask)
    assert asked == [ROOT, 1]


def test_no_token_left() -> None:
    nothing = np.zeros(1, np.uint32)
    with pytest.raises(SamplingError):
        coupled_walk(one_hot(1), Tree(), greedy(), 0, lambda node: nothing)
    with pytest.raises(SamplingError):
        coupled_walk(np.full((1, VOCAB), np.nan, np.float32), Tree(), greedy(), 0)


# ----------------------------------------------------------------------------------- rejection


def drawn_chain(draw: st.DrawFn, length: int) -> Tree:
    """A chain whose tokens were drawn from distributions of their own, some of them narrow."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.integers(1, VOCAB))
    distributions, tokens = {}, []
    for node in range(length):
        q = random.permutation(np.where(np.arange(VOCAB) < width, random.random(VOCAB), 0.0))
        distributions[ROOT + node] = q / q.sum()
        tokens.append(int(random.choice(VOCAB, p=distributions[ROOT + node])))
    chain = Tree.chain(tokens, [0.5] * length)
    return Tree(chain.tokens, chain.parents, chain.probabilities, distributions)


@st.composite
def drafts(draw: st.DrawFn) -> Tree:
    if draw(st.booleans()):
        return draw(trees(VOCAB))
    return drawn_chain(draw, draw(st.integers(1, 4)))


@given(tree=drafts(), seed=st.integers(0, 2**64 - 1), masked=st.booleans())
def test_rejection_goes_by_its_branches_and_their_own_noise(
    tree: Tree, seed: int, masked: bool
) -> None:
    random = np.random.default_rng(seed % 2**32)
    logits = random.standard_normal((1 + len(tree), VOCAB)).astype(np.float32)
    masks = [pack_mask(random.permutation(VOCAB)[:5], VOCAB) for _ in logits]
    mask = (lambda node: masks[node + 1]) if masked else None
    sampling = Sampling(temperature=1.0, frequency_penalty=0.5, top_k=6)
    sampler = Sampler(sampling, vocab_size=VOCAB, seed=seed)

    node, path, accepted = ROOT, list[int](), list[int]()
    while True:
        bits = masks[node + 1] if masked else None
        rule = branches(sampler.probabilities(logits[node + 1], path, bits), tree, node)
        position = 40 + len(path)
        uniforms = sampler.uniforms(position, len(rule.candidates), StreamId.ACCEPTANCE)
        token = rule.accepted(uniforms)
        if token is None:
            break
        node = next(c for c in tree.children(node) if tree.tokens[c] == token)
        accepted.append(node)
        path.append(token)
    rest = reference_draw(rule.residual, seed=seed, position=position, stream=StreamId.RESIDUAL)
    expected = Verdict(tuple(accepted), rest)
    assert (
        RejectionVerifier().verify(GivenPass(logits), 0, 40, tree, sampler, mask=mask) == expected
    )


@given(tree=drafts(), seed=st.integers(0, 2**32 - 1))
def test_greedy_rejection_is_coupled_verification(tree: Tree, seed: int) -> None:
    logits = np.random.default_rng(seed).standard_normal((1 + len(tree), VOCAB))
    rows = GivenPass(logits.round().astype(np.float32))
    verdict = RejectionVerifier().verify(rows, 0, 9, tree, greedy())
    assert verdict == CoupledVerifier().verify(rows, 0, 9, tree, greedy())


@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 6))
def test_the_target_as_its_own_drafter_is_accepted_whole(seed: int, length: int) -> None:
    logits = np.random.default_rng(seed).standard_normal((1 + length, VOCAB)).astype(np.float32)
    sampler = Sampler(Sampling(temperature=1.0, presence_penalty=1.0), vocab_size=VOCAB, seed=seed)
    tokens, distributions = list[int](), {}
    for node in range(length):
        q = distributions[ROOT + node] = sampler.probabilities(logits[node], tokens)
        tokens.append(sampler.draw(q, 9 + node, StreamId.DRAFT))
    chain = Tree.chain(tokens, [0.5] * length)
    tree = Tree(chain.tokens, chain.parents, chain.probabilities, distributions)
    tree.check(VOCAB)
    verdict = RejectionVerifier().verify(GivenPass(logits), 0, 9, tree, sampler)
    assert verdict.accepted == tuple(range(length))


def test_several_draws_for_one_position_are_refused_by_name() -> None:
    even = {ROOT: np.full(VOCAB, 1 / VOCAB)}
    tree = Tree((1, 2), (ROOT, ROOT), (0.5, 0.5), even)
    with pytest.raises(UsageError, match="cannot verify 2 tokens drawn for the same position"):
        RejectionVerifier().verify(GivenPass(one_hot(1, 2, 3)), 0, 0, tree, greedy())
    # A distribution below which the controller left nothing says nothing.
    left = RejectionVerifier().verify(GivenPass(one_hot(1)), 0, 0, Tree((), (), (), even), greedy())
    assert left == Verdict((), 1)


# ------------------------------------------------------------------------------------- typical


def test_the_threshold_falls_with_the_entropy() -> None:
    assert typical_threshold(np.array([0.0, 1.0]), 0.09, 0.3) == 0.09
    assert typical_threshold(np.full(2, 0.5), 0.09, 0.3) == 0.09
    assert typical_threshold(np.full(10, 0.1), 0.09, 0.3) == pytest.approx(0.03)
    assert typical_threshold(np.full(10, 0.1), 0.02, 0.3) == 0.02


def test_the_likeliest_of_those_above_the_threshold_is_taken() -> None:
    p = np.array([0.05, 0.1, 0.25, 0.6])
    assert typical_token(p, [0, 1, 2], 0.09, 0.3) == 2
    assert typical_token(p, [0, 1], 0.09, 0.3) == 1
    assert typical_token(p, [0], 0.09, 0.3) is None
    assert typical_token(p, [], 0.09, 0.3) is None
    # A threshold is to be exceeded: H is log 4 here, and a quarter of 0.8 is 0.2.
    assert typical_token(np.full(4, 0.25), [1, 0], 0.25, 0.8) == 1
    assert typical_token(np.full(4, 0.25), [1, 0], 0.25, 1.0) is None
    assert typical_token(np.array([0.0, 1.0]), [0], 0.0, 0.0) is None


@given(
    tree=trees(VOCAB),
    seed=st.integers(0, 2**32 - 1),
    epsilon=st.sampled_from([0.0, 0.09, 0.2, 1.0]),
    delta=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_typical_takes_what_is_likely_and_else_the_target_s_own_choice(
    tree: Tree, seed: int, epsilon: float, delta: float
) -> None:
    logits = np.random.default_rng(seed).standard_normal((1 + len(tree), VOCAB))
    logits = logits.astype(np.float32)
    sampler = Sampler(Sampling(temperature=1.0, presence_penalty=1.0), vocab_size=VOCAB, seed=seed)
    verifier = TypicalVerifier(epsilon=epsilon, delta=delta)
    verdict = verifier.verify(GivenPass(logits), 0, 9, tree, sampler)
    node, path = ROOT, list[int]()
    for child in (*verdict.accepted, None):
        token = verdict.token if child is None else tree.tokens[child]
        p = sampler.probabilities(logits[node + 1], path)
        candidates = [tree.tokens[c] for c in tree.children(node)]
        typical = typical_token(p, candidates, epsilon, delta)
        own = sampler.choose(logits[node + 1], 9 + len(path), path)
        assert token == (own if typical is None else typical)
        node = ROOT if child is None else child
        path.append(token)


def test_typical_is_lossy_and_greedily_exact() -> None:
    assert TypicalVerifier.lossy
    assert not CoupledVerifier.lossy
    assert not RejectionVerifier.lossy
    # The target says 5 with a probability of 0.28 or so: likely enough, though it mostly differs.
    logits = one_hot(5, 0)
    tree = Tree.chain([5], [0.5])
    for seed in range(50):
        sampler = Sampler(Sampling(temperature=1.0), vocab_size=VOCAB, seed=seed)
        assert TypicalVerifier().verify(GivenPass(logits), 0, 0, tree, sampler).accepted == (0,)
    for token in range(VOCAB):
        tree = Tree.chain([token], [0.5])
        verdict = TypicalVerifier(epsilon=0.0).verify(GivenPass(logits), 0, 0, tree, greedy())
        assert verdict == coupled_walk(logits, tree, greedy(), 0)


@pytest.mark.parametrize("name", ["epsilon", "delta"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name} has to .*, not {value}"):
        TypicalVerifier(**{name: value})


def test_all_three_are_found_by_name() -> None:
    from outrider import registry

    assert {"coupled", "rejection", "typical"} <= set(registry.names("verifiers"))
    assert registry.load("verifiers", "rejection") is RejectionVerifier
    typical = registry.load("verifiers", "typical:epsilon=0.2,delta=0.5")()
    assert (typical.epsilon, typical.delta) == (0.2, 0.5)
