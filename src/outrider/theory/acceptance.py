"""How likely a drafted token is to be accepted, from the two distributions.

p is the target's distribution over the vocabulary, q the draft's, both after the sampler's filters;
float64[vocab_size], summing to 1. What is accepted depends on how the draft is drawn and how it is
verified:

- a sample of q, under rejection: `rejection_acceptance`
- the choice of q with the target's noise, coupled: `coupled_acceptance`
- a sample of q that the target's own, independent sample has to repeat: `independent_acceptance`
- the likeliest token of q, under any of these: `greedy_acceptance`
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outrider.errors import UsageError
from outrider.sampling import probabilities
from outrider.types import Sampling

TOLERANCE = 1e-6
"""How far from 1 the sum of a distribution may lie: that of float32 over a large vocabulary."""


def total_variation(p: ArrayLike, q: ArrayLike) -> float:
    """TV(p, q) = ½ Σ |p − q|: 0 where the two are the same, 1 where they share no token.

    Raises:
        UsageError: they are not two distributions over one vocabulary.
    """
    p, q = _distributions(p, q)
    return float(np.abs(p - q).sum() / 2)


def rejection_acceptance(p: ArrayLike, q: ArrayLike) -> float:
    """Σ min(p, q) = 1 − TV(p, q): the most that any way of drafting from q can reach.

    Leviathan et al. 2023 (arXiv:2211.17192), corollary 3.6.

    Raises:
        UsageError: as `total_variation`.
    """
    p, q = _distributions(p, q)
    return float(np.minimum(p, q).sum())


def coupled_acceptance(p: ArrayLike, q: ArrayLike) -> float:
    """The probability that both choose the same token with the same Gumbel noise.

    The choice argmax(log p + g) is the token whose exponential clock E / p, with E = exp(−g),
    rings first. Both clocks of token i ring first where E_j ≥ E_i · max(p_j / p_i, q_j / q_i) for
    every j; integrated over E_i that gives

        Σ_i 1 / Σ_j max(p_j / p_i, q_j / q_i)

    over the tokens that both allow. Moulton and Jiang 2018 (arXiv:1809.04052) call it the
    probability Jaccard index.

    The quotient q_j / q_i is the larger of the two exactly where q_j / p_j ≥ q_i / p_i. So with
    tokens in the order of q / p, the inner sum is one of q over those that follow and one of p over
    those before: n log n operations in all.

    Raises:
        UsageError: as `total_variation`.
    """
    p, q = _distributions(p, q)
    allowed = (p > 0) | (q > 0)
    p, q = p[allowed], q[allowed]
    # q / p grows with q / (p + q), which is finite.
    order = np.argsort(q / (p + q), kind="stable")
    p, q = p[order], q[order]
    p_before = np.cumsum(p) - p
    q_from = np.cumsum(q[::-1])[::-1]
    both = (p > 0) & (q > 0)
    return float((1 / (p_before[both] / p[both] + q_from[both] / q[both])).sum())


def coupled_bound(p: ArrayLike, q: ArrayLike) -> float:
    """(1 − TV) / (1 + TV), which `coupled_acceptance` never falls below.

    No coupling that is told nothing of the other distribution promises more. Daliri, Musco and
    Suresh 2024 (arXiv:2408.07978).

    Raises:
        UsageError: as `total_variation`.
    """
    distance = total_variation(p, q)
    return (1.0 - distance) / (1.0 + distance)


def independent_acceptance(p: ArrayLike, q: ArrayLike) -> float:
    """Σ p·q: the draft is a sample, and so is the target's token, each with noise of its own.

    Never more than `coupled_acceptance`: with the same noise, what makes one choose a token makes
    the other likelier to.

    Raises:
        UsageError: as `total_variation`.
    """
    p, q = _distributions(p, q)
    return float(p @ q)


def greedy_acceptance(p: ArrayLike, q: ArrayLike) -> float:
    """p(argmax q): the draft is the likeliest token, the lowest id among equals.

    Raises:
        UsageError: as `total_variation`.
    """
    p, q = _distributions(p, q)
    return float(p[q.argmax()])


def recursive_acceptance(p: ArrayLike, q: ArrayLike, children: int) -> NDArray[np.float64]:
    """The probability that the b-th of several candidates is the one accepted.

    Candidates are samples of q, drawn with replacement. Each is put to the rejection rule against
    what its predecessors left of p: p' = max(0, p' − q), normalised. Miao et al. 2023
    (arXiv:2305.09781), multi-step speculative sampling.

    Args:
        p: the target's distribution.
        q: the draft's.
        children: how many candidates are drawn.

    Returns:
        float64[children]; 1 minus its sum is the probability that all fail.

    Raises:
        UsageError: as `total_variation`, or `children` is negative.
    """
    p, q = _distributions(p, q)
    if children < 0:
        raise UsageError(f"The number of children has to be at least 0, not {children}.")
    accepted = np.zeros(children)
    # What is left of p, not normalised: its sum is the probability that all so far have failed.
    left = p
    for child in range(children):
        reached = left.sum()
        if reached <= 0.0:
            break
        accepted[child] = np.minimum(left, reached * q).sum()
        left = np.maximum(left - reached * q, 0.0)
    return accepted


# -------------------------------------------------------------------------------- temperature


@dataclass(frozen=True, slots=True)
class AcceptanceCurves:
    """Acceptance at several temperatures; each array is float64[temperatures].

    Attributes:
        temperatures: 0 and above.
        rejection: of a sampled draft under rejection.
        coupled: of a draft chosen with the target's noise.
        independent: of a sampled draft with noise of its own.
        greedy: of a draft that is always the draft model's likeliest token.
    """

    temperatures: NDArray[np.float64]
    rejection: NDArray[np.float64]
    coupled: NDArray[np.float64]
    independent: NDArray[np.float64]
    greedy: NDArray[np.float64]


def acceptance_by_temperature(
    target_logits: ArrayLike, draft_logits: ArrayLike, temperatures: Iterable[float]
) -> AcceptanceCurves:
    """The curves of one position, target and draft at the same temperature.

    Rejection and coupling are not monotone in the temperature: at 0 they are 1 where the two
    argmaxes agree and 0 elsewhere, and as it grows both distributions become uniform and they tend
    to 1. A greedy draft tends to one token's share of the vocabulary instead.

    Args:
        target_logits: float[vocab_size].
        draft_logits: float[vocab_size].
        temperatures: in [0, 100].

    Raises:
        UsageError: the rows differ in length, or a temperature is out of range.
        SamplingError: a logit is NaN or infinity, or no token is left.
    """
    each = list(temperatures)
    target, draft = (
        [probabilities(np.asarray(row, np.float32), Sampling(temperature=t)) for t in each]
        for row in (target_logits, draft_logits)
    )
    pairs = list(zip(target, draft, strict=True))
    likeliest = probabilities(np.asarray(draft_logits, np.float32), Sampling(temperature=0.0))
    return AcceptanceCurves(
        temperatures=np.asarray(each, np.float64),
        rejection=np.asarray([rejection_acceptance(p, q) for p, q in pairs]),
        coupled=np.asarray([coupled_acceptance(p, q) for p, q in pairs]),
        independent=np.asarray([independent_acceptance(p, q) for p, q in pairs]),
        greedy=np.asarray([greedy_acceptance(p, likeliest) for p in target]),
    )


def _distributions(p: ArrayLike, q: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64[vocab_size], checked."""
    target, draft = np.asarray(p, np.float64), np.asarray(q, np.float64)
    if target.ndim != 1 or target.shape != draft.shape:
        raise UsageError(
            "Two distributions over one vocabulary have to be rows of one length, "
            f"not of shapes {target.shape} and {draft.shape}."
        )
    for name, row in (("target", target), ("draft", draft)):
        if not (row >= 0.0).all() or abs(row.sum() - 1.0) > TOLERANCE:
            raise UsageError(
                f"The {name}'s probabilities have to be at least 0 and to sum to 1, "
                f"not to {row.sum():.7g}."
            )
    return target, draft
