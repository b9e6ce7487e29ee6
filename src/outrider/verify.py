"""Verification: which of the drafted tokens stand, and which token follows them.

*Coupled* verification asks for the target's own choice at each node, with the noise that plain
decoding asks for at that position. It follows the draft while the two agree, so whatever was
drafted, the tokens are those of plain decoding.

*Rejection* accepts a drafted token with a probability such that what comes out has the target's
distribution, though not the same tokens. *Typical* acceptance lets every token pass that the
target finds likely enough: that is another distribution, so it is lossy.

Probabilities here are those after the sampler's whole chain, penalties along the path included.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outrider.engines.base import Pass
from outrider.errors import UsageError
from outrider.sampling import Sampler, StreamId
from outrider.tree import Tree, follow
from outrider.types import Verdict

Probabilities = NDArray[np.float64]
"""A distribution over the vocabulary, float64[vocab_size]."""

Mask = Callable[[int], NDArray[np.uint32]]
"""The packed bits of the tokens that a constraint allows after a node (ROOT included)."""


def coupled_walk(
    logits: NDArray[np.float32],
    tree: Tree,
    sampler: Sampler,
    position: int,
    mask: Mask | None = None,
) -> Verdict:
    """Coupled verification over plain arrays; the definition that engines are tested against.

    Args:
        logits: float32[1 + len(tree), vocab_size]; row 0 is the root's, row i + 1 node i's.
        tree: the draft.
        sampler: its history ends with the root.
        position: absolute index of the token that follows the root.
        mask: allowed tokens after a node, or None for all.

    Raises:
        SamplingError: no token is left at a node that was reached.
    """

    def choose(node: int, path: Sequence[int]) -> int:
        bits = None if mask is None else mask(node)
        return sampler.choose(logits[node + 1], position + len(path), path, bits)

    return follow(tree, choose)


# ----------------------------------------------------------------------------------- rejection


@dataclass(frozen=True, slots=True)
class Branches:
    """How a position is decided.

    Attributes:
        candidates: the drafted tokens, in the order in which they are tried.
        acceptance: the probability that each is accepted, given that those before it were refused.
        residual: what the token is drawn from when all are refused, as weights that need not sum
            to one, float64[vocab_size].
    """

    candidates: tuple[int, ...]
    acceptance: tuple[float, ...]
    residual: Probabilities

    def accepted(self, uniforms: Sequence[float] | NDArray[np.float64]) -> int | None:
        """The first candidate whose uniform number lies below its acceptance, if there is one."""
        tried = zip(self.candidates, self.acceptance, uniforms, strict=True)
        return next((token for token, acceptance, u in tried if u < acceptance), None)


def point_mass_rejection(p: Probabilities, candidates: Sequence[int]) -> Branches:
    """Rejection of candidates that were not drawn but picked, without looking at p or its noise.

    Each is a draft distribution with all its mass on one token. So it is accepted with the
    probability that p gives it among the tokens not yet refused, and removed when refused.

    Args:
        p: the target's distribution.
        candidates: different tokens, in the order in which they are tried.
    """
    acceptance = []
    left = 1.0
    for token in candidates:
        acceptance.append(min(1.0, float(p[token]) / left) if left > 0.0 else 0.0)
        left -= float(p[token])
    residual = p.copy()
    residual[list(candidates)] = 0.0
    return Branches(tuple(candidates), tuple(acceptance), residual)


def recursive_rejection(
    p: Probabilities, q: Probabilities, candidates: Sequence[int], *, replacement: bool = True
) -> Branches:
    """Rejection of candidates drawn from q, one after the other.

    One candidate is the classical rule (Leviathan et al., arXiv 2211.17192; Chen et al., arXiv
    2302.01318): accept x with probability min(1, p(x) / q(x)), else draw from max(0, p − q). With
    several, the next one meets that residual instead of p. Candidates drawn without replacement
    come from what q leaves when those before them are taken out (Jeon et al., arXiv 2402.14160).

    Args:
        p: the target's distribution.
        q: the draft's distribution.
        candidates: tokens drawn from q, in the order in which they were drawn.
        replacement: False where a token could not be drawn twice.

    Raises:
        ValueError: a candidate that cannot have been drawn from q.
    """
    acceptance = []
    for token in candidates:
        if q[token] <= 0.0:
            raise ValueError(f"token {token} has probability 0 in the draft it was drawn from")
        acceptance.append(min(1.0, float(p[token]) / float(q[token])))
        p = _scaled(np.maximum(p - q, 0.0), otherwise=p)
        if not replacement:
            rest = q.copy()
            rest[token] = 0.0
            q = _scaled(rest, otherwise=rest)
    return Branches(tuple(candidates), tuple(acceptance), p)


def _scaled(weights: Probabilities, *, otherwise: Probabilities) -> Probabilities:
    """Weights that sum to one; where none is left, only rounding errors come by here."""
    total = weights.sum()
    return weights / total if total > 0.0 else otherwise


def branches(p: Probabilities, tree: Tree, node: int) -> Branches:
    """How rejection decides the position after a node.

    Args:
        p: the target's distribution after the node.
        tree: the draft. A node with a distribution has at most one child, drawn from it; the
            children of a node without one are point masses.
        node: a node of the tree, or ROOT.

    Raises:
        UsageError: several children share a distribution: how they were drawn is not known.
    """
    candidates = [tree.tokens[child] for child in tree.children(node)]
    q = tree.distributions.get(node)
    if q is None or not candidates:
        return point_mass_rejection(p, candidates)
    if len(candidates) > 1:
        raise UsageError(
            f"Rejection cannot verify {len(candidates)} tokens drawn for the same position; use "
            "a drafter that draws chains, or coupled verification."
        )
    return recursive_rejection(p, q, candidates)


# ------------------------------------------------------------------------------------- typical


def typical_threshold(p: Probabilities, epsilon: float, delta: float) -> float:
    """min(ε, δ·exp(−H(p))), H in nats (Medusa, arXiv 2401.10774): less is asked of a flat p."""
    support = p[p > 0.0]
    entropy = -float((support * np.log(support)).sum())
    return min(epsilon, delta * math.exp(-entropy))


def typical_token(
    p: Probabilities, candidates: Sequence[int], epsilon: float, delta: float
) -> int | None:
    """The likeliest candidate if its probability exceeds the threshold, else None.

    Candidates of equal probability count in their order.
    """
    if not candidates:
        return None
    best = max(candidates, key=lambda token: float(p[token]))
    # No threshold lies above ε, so mostly there is no need for the entropy.
    likely = p[best] > epsilon or p[best] > typical_threshold(p, epsilon, delta)
    return best if likely else None


# ----------------------------------------------------------------------------------- verifiers


class Verifier(ABC):
    """Decides which drafted tokens stand. It needs the pass and the tree, nothing else.

    Attributes:
        lossy: what comes out need not have the target's distribution.
        weighs_draws: a drawn token is judged by the distribution it was drawn from. That is only
            right where it was not the token drawn that decided whether it is verified.
    """

    lossy: bool = False
    weighs_draws: bool = False

    @abstractmethod
    def verify(
        self,
        outcome: Pass,
        root: int,
        position: int,
        tree: Tree,
        sampler: Sampler,
        *,
        mask: Mask | None = None,
    ) -> Verdict:
        """The accepted nodes and the token after them; with an empty tree, the token alone.

        Args:
            outcome: the pass.
            root: the pending token's row; node i of the tree is row root + 1 + i.
            position: absolute index of the token that follows the root.
            tree: the draft.
            sampler: its history ends with the pending token.
            mask: allowed tokens after a node, or None for all.

        Raises:
            SamplingError: no token could be chosen at a node that was reached.
        """


class CoupledVerifier(Verifier):
    """Exact token for token: the target's own choice at each node, with its own noise."""

    def verify(
        self,
        outcome: Pass,
        root: int,
        position: int,
        tree: Tree,
        sampler: Sampler,
        *,
        mask: Mask | None = None,
    ) -> Verdict:
        """See `Verifier.verify`."""
        if mask is None:
            return outcome.walk(root, position, tree, sampler)
        place = _Place(outcome, root, position, sampler, mask)
        return follow(tree, place.choose)


class RejectionVerifier(Verifier):
    """Exact in distribution: the classical rule for drawn chains, and trees of point masses.

    It uses noise that no drafter uses, also where nothing was drafted, so it does not matter what
    a drafter made of the noise of the target's choices or of draft draws.
    """

    weighs_draws = True

    def verify(
        self,
        outcome: Pass,
        root: int,
        position: int,
        tree: Tree,
        sampler: Sampler,
        *,
        mask: Mask | None = None,
    ) -> Verdict:
        """See `Verifier.verify`.

        Raises:
            UsageError: several children of a node share a distribution.
        """
        place = _Place(outcome, root, position, sampler, mask)

        def choose(node: int, path: Sequence[int]) -> int:
            rule = branches(place.probabilities(node, path), tree, node)
            at, count = position + len(path), len(rule.candidates)
            accepted = rule.accepted(sampler.uniforms(at, count, StreamId.ACCEPTANCE))
            if accepted is not None:
                return accepted
            return sampler.draw(rule.residual, at, StreamId.RESIDUAL)

        return follow(tree, choose)


class TypicalVerifier(Verifier):
    """Lossy: a drafted token stands if the target finds it likely enough, whatever it had said.

    Accepts x where p(x) > min(ε, δ·exp(−H(p))), the likeliest of several; where none passes, the
    target's own choice stands, as in coupled verification. At temperature 0 it is exact.

    Args:
        epsilon: ε, what is enough for any p.
        delta: δ, what is enough where p is flat, in units of exp(−H(p)).

    Raises:
        UsageError: an epsilon outside [0, 1], or a delta that is negative or not finite.
    """

    lossy = True

    def __init__(self, *, epsilon: float = 0.09, delta: float = 0.3) -> None:
        if not 0.0 <= epsilon <= 1.0:
            raise UsageError(f"epsilon has to lie in [0, 1], not {epsilon!r}.")
        if not 0.0 <= delta < math.inf:
            raise UsageError(f"delta has to be a finite number of at least 0, not {delta!r}.")
        self.epsilon = epsilon
        self.delta = delta

    def verify(
        self,
        outcome: Pass,
        root: int,
        position: int,
        tree: Tree,
        sampler: Sampler,
        *,
        mask: Mask | None = None,
    ) -> Verdict:
        """See `Verifier.verify`."""
        place = _Place(outcome, root, position, sampler, mask)

        def choose(node: int, path: Sequence[int]) -> int:
            candidates = [tree.tokens[child] for child in tree.children(node)]
            if candidates:
                p = place.probabilities(node, path)
                typical = typical_token(p, candidates, self.epsilon, self.delta)
                if typical is not None:
                    return typical
            return place.choose(node, path)

        return follow(tree, choose)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tree stands in a pass, and what the target says at its nodes; see `Verifier`."""

    outcome: Pass
    root: int
    position: int
    sampler: Sampler
    mask: Mask | None

    def choose(self, node: int, path: Sequence[int]) -> int:
        """The target's own choice after a node, with its own noise."""
        (token,) = self.outcome.choose(
            [self.root + 1 + node],
            [self.sampler],
            [self.position + len(path)],
            [path],
            [self._bits(node)],
        )
        return token

    def probabilities(self, node: int, path: Sequence[int]) -> Probabilities:
        """The distribution of the target's choice after a node."""
        (logits,) = self.outcome.numpy([self.root + 1 + node])
        return self.sampler.probabilities(logits, path, self._bits(node))

    def _bits(self, node: int) -> NDArray[np.uint32] | None:
        return None if self.mask is None else self.mask(node)
