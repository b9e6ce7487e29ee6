"""That rejection gives the target's distribution, by enumeration: no sampling, hence no error.

The rules say with what probability each branch is taken, so the distribution of what comes out is
a finite sum. The verifier of the loop goes by the same rules; `test_verify` holds it to them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from trees import trees

from outrider.sampling import Sampler, pack_mask
from outrider.tree import ROOT, Tree
from outrider.types import Sampling
from outrider.verify import Branches, branches, point_mass_rejection, recursive_rejection

Path = tuple[int, ...]


@st.composite
def distributions(draw: st.DrawFn, size: int) -> NDArray[np.float64]:
    """Any distribution: with zeros, with next to nothing, with all on one token."""
    weight = st.one_of(st.just(0.0), st.just(1e-300), st.floats(1e-9, 1.0))
    weights = np.array(draw(st.lists(weight, min_size=size, max_size=size)))
    weights[draw(st.integers(0, size - 1))] += 0.5
    return np.asarray(weights / weights.sum())


def outcome(rule: Branches) -> NDArray[np.float64]:
    """The distribution of the token that a rule decides on."""
    said = np.zeros_like(rule.residual)
    reached = 1.0
    for token, acceptance in zip(rule.candidates, rule.acceptance, strict=True):
        assert 0.0 <= acceptance <= 1.0
        said[token] += reached * acceptance
        reached *= 1.0 - acceptance
    assert (rule.residual >= 0.0).all()
    if rule.residual.any():
        said += reached * rule.residual / rule.residual.sum()
    else:
        assert reached == pytest.approx(0.0, abs=1e-12)
    return said


def drawn(
    q: NDArray[np.float64], count: int, *, replacement: bool
) -> Iterator[tuple[float, list[int]]]:
    """Every way to draw `count` tokens, or as many as there are, with its probability."""
    if count == 0 or not q.any():
        yield 1.0, []
        return
    for token in np.flatnonzero(q):
        rest = q.copy()
        if not replacement:
            rest[token] = 0.0
        for probability, others in drawn(rest, count - 1, replacement=replacement):
            yield q[token] / q.sum() * probability, [int(token), *others]


@pytest.mark.parametrize("replacement", [True, False])
@given(data=st.data())
@settings(deadline=None)
def test_recursive_rejection_gives_the_target_s_distribution(
    data: st.DataObject, replacement: bool
) -> None:
    size = data.draw(st.integers(2, 5))
    p, q = data.draw(distributions(size)), data.draw(distributions(size))
    count = data.draw(st.integers(1, 3))
    said = np.zeros(size)
    for probability, candidates in drawn(q, count, replacement=replacement):
        rule = recursive_rejection(p, q, candidates, replacement=replacement)
        said += probability * outcome(rule)
    np.testing.assert_allclose(said, p, atol=1e-12)


@given(data=st.data())
def test_point_masses_give_the_target_s_distribution(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 5))
    p = data.draw(distributions(size))
    candidates = data.draw(st.lists(st.integers(0, size - 1), unique=True))
    rule = point_mass_rejection(p, candidates)
    np.testing.assert_allclose(outcome(rule), p, atol=1e-12)
    assert not rule.residual[candidates].any()


@given(data=st.data())
def test_a_point_mass_is_a_draft_that_is_sure(data: st.DataObject) -> None:
    p = data.draw(distributions(4))
    candidates = data.draw(st.lists(st.integers(0, 3), unique=True, min_size=1))
    rule = point_mass_rejection(p, candidates)
    left, reached = p, 1.0
    for token, acceptance in zip(candidates, rule.acceptance, strict=True):
        single = recursive_rejection(left, np.eye(4)[token], [token])
        assert acceptance == pytest.approx(single.acceptance[0])
        left, reached = single.residual, reached * (1.0 - acceptance)
        if reached < 1e-9:
            break  # from here on there are only rounding errors to compare


@given(data=st.data())
def test_a_drawn_token_is_accepted_as_often_as_the_distributions_overlap(
    data: st.DataObject,
) -> None:
    p, q = data.draw(distributions(5)), data.draw(distributions(5))
    accepted = sum(
        probability * recursive_rejection(p, q, candidates).acceptance[0]
        for probability, candidates in drawn(q, 1, replacement=True)
    )
    total_variation = np.abs(p - q).sum() / 2
    assert accepted == pytest.approx(1.0 - total_variation)


@given(data=st.data())
def test_the_target_as_its_own_draft_is_always_accepted(data: st.DataObject) -> None:
    p = data.draw(distributions(5))
    for _, candidates in drawn(p, 2, replacement=False):
        assert recursive_rejection(p, p, candidates, replacement=False).acceptance[0] == 1.0


def test_a_draft_that_was_next_to_impossible_is_accepted() -> None:
    assert recursive_rejection(np.array([0.5, 0.5]), np.array([5e-324, 1.0]), [0]).acceptance == (
        1,
    )


def test_what_was_not_drawn_is_refused_by_name() -> None:
    p = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match="token 0 has probability 0"):
        recursive_rejection(p, np.array([0.0, 1.0]), [0])
    with pytest.raises(ValueError, match="token 1 has probability 0"):
        recursive_rejection(p, np.array([0.2, 0.8]), [1, 1], replacement=False)


# ------------------------------------------------------------------------------ along a path


@dataclass(frozen=True)
class Language:
    """A model of few tokens whose logits hang on every token before, and its sampler's settings."""

    vocab: int
    seed: int
    sampling: Sampling
    masked: bool
    history: Path

    def logits(self, path: Sequence[int], stream: int = 0) -> NDArray[np.float32]:
        random = np.random.default_rng([self.seed, stream, *path])
        return (2.0 * random.normal(size=self.vocab)).astype(np.float32)

    def mask(self, path: Sequence[int]) -> NDArray[np.uint32] | None:
        if not self.masked:
            return None
        random = np.random.default_rng([self.seed, 2, *path])
        return pack_mask(
            random.permutation(self.vocab)[: random.integers(1, self.vocab)], self.vocab
        )

    def sampler(self) -> Sampler:
        sampler = Sampler(self.sampling, vocab_size=self.vocab, seed=0, prompt=self.history[:1])
        sampler.advance(self.history[1:])
        return sampler

    def target(self, path: Sequence[int]) -> NDArray[np.float64]:
        return self.sampler().probabilities(self.logits(path), path, self.mask(path))

    def draft(self, path: Sequence[int]) -> NDArray[np.float64]:
        """What a drafter says that has the sampler's settings, but knows of no mask."""
        return self.sampler().probabilities(self.logits(path, stream=1), path)

    def continued(self, said: Path, length: int) -> Iterator[tuple[float, Path]]:
        """Every plain continuation to `length` tokens with its probability."""
        if len(said) >= length:
            yield 1.0, said[:length]
            return
        p = self.target(said)
        for token in np.flatnonzero(p):
            for probability, whole in self.continued((*said, int(token)), length):
                yield p[token] * probability, whole


@st.composite
def languages(draw: st.DrawFn) -> Language:
    vocab = draw(st.integers(3, 4))
    return Language(
        vocab=vocab,
        seed=draw(st.integers(0, 2**31)),
        sampling=Sampling(
            temperature=draw(st.sampled_from([0.0, 0.3, 1.0, 2.0])),
            top_k=draw(st.sampled_from([0, 0, 1, 2, 3])),
            top_p=draw(st.sampled_from([1.0, 1.0, 0.5, 0.9])),
            min_p=draw(st.sampled_from([0.0, 0.0, 0.2])),
            repetition_penalty=draw(st.sampled_from([1.0, 1.5])),
            presence_penalty=draw(st.sampled_from([0.0, 1.0])),
            frequency_penalty=draw(st.sampled_from([0.0, -0.7])),
            logit_bias=draw(st.sampled_from([{}, {1: 1.5}])),
        ),
        masked=draw(st.booleans()),
        history=draw(st.lists(st.integers(0, vocab - 1), min_size=1, max_size=3).map(tuple)),
    )


def walked(
    language: Language, tree: Tree, node: int = ROOT, path: Path = ()
) -> Iterator[tuple[float, Path]]:
    """Every way that rejection may go down a tree, with its probability and what is said."""
    rule = branches(language.target(path), tree, node)
    reached = 1.0
    for child, acceptance in zip(tree.children(node), rule.acceptance, strict=True):
        if reached * acceptance > 0.0:
            for probability, said in walked(language, tree, child, (*path, tree.tokens[child])):
                yield reached * acceptance * probability, said
        reached *= 1.0 - acceptance
    if reached > 1e-15:
        for token in np.flatnonzero(rule.residual):
            share = rule.residual[token] / rule.residual.sum()
            yield reached * share, (*path, int(token))


def drafted_chains(
    language: Language, length: int, path: Path = ()
) -> Iterator[tuple[float, Path, list[NDArray[np.float64]]]]:
    """Every chain that may be drawn, with its probability and what each token was drawn from."""
    if length == 0:
        yield 1.0, path, []
        return
    q = language.draft(path)
    for token in np.flatnonzero(q):
        for probability, tokens, rest in drafted_chains(language, length - 1, (*path, int(token))):
            yield q[token] * probability, tokens, [q, *rest]


def same(found: Iterator[tuple[float, Path]], language: Language, length: int) -> None:
    """Whether what comes out, continued plainly, is what the target says."""
    joint: dict[Path, float] = defaultdict(float)
    for probability, said in found:
        for more, whole in language.continued(said, length):
            joint[whole] += probability * more
    for probability, whole in language.continued((), length):
        assert joint.pop(whole, 0.0) == pytest.approx(probability, abs=1e-12)
    assert all(probability < 1e-12 for probability in joint.values())


@given(language=languages(), data=st.data())
@settings(deadline=None)
def test_trees_of_point_masses_change_no_distribution(
    language: Language, data: st.DataObject
) -> None:
    tree = data.draw(trees(language.vocab, most=5))
    same(walked(language, tree), language, 3)


@given(language=languages(), length=st.integers(1, 2))
@settings(deadline=None)
def test_drawn_chains_change_no_distribution(language: Language, length: int) -> None:
    def found() -> Iterator[tuple[float, Path]]:
        for chance, tokens, drawn_from in drafted_chains(language, length):
            chain = Tree.chain(tokens, [0.5] * length)
            tree = Tree(chain.tokens, chain.parents, chain.probabilities, _below(drawn_from))
            for probability, said in walked(language, tree):
                yield chance * probability, said

    same(found(), language, length + 1)


def _below(drawn_from: list[NDArray[np.float64]]) -> dict[int, NDArray[np.float64]]:
    return {ROOT + i: q for i, q in enumerate(drawn_from)}


@given(language=languages())
@settings(deadline=None)
def test_a_picked_token_behind_a_drawn_one_changes_no_distribution(language: Language) -> None:
    def found() -> Iterator[tuple[float, Path]]:
        for chance, (token,), drawn_from in drafted_chains(language, 1):
            tree = Tree((token, 0, 1), (ROOT, 0, 0), (0.5,) * 3, _below(drawn_from))
            for probability, said in walked(language, tree):
                yield chance * probability, said

    same(found(), language, 3)


def test_the_enumeration_finds_out_draws_that_are_dropped_for_what_they_are() -> None:
    """The mistake that controllers and masks can make; see `Controller.looks_at_draws`."""
    language = Language(3, 5, Sampling(temperature=1.0), masked=False, history=(0,))

    def found() -> Iterator[tuple[float, Path]]:
        for chance, tokens, drawn_from in drafted_chains(language, 1):
            kept = drawn_from[0][tokens[0]] > 0.5
            tree = Tree(tokens, (ROOT,), (0.5,), _below(drawn_from)) if kept else Tree()
            for probability, said in walked(language, tree):
                yield chance * probability, said

    with pytest.raises(AssertionError):
        same(found(), language, 2)
