"""The comparisons themselves, over plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXPECTED = 5.0
"""Expected observations that a bin of the chi-square test needs, as is usual."""

FALSE_ALARM = 1e-6
"""Probability at most that a distribution test fails though the distribution is right."""


def first_difference(plain: Sequence[int], other: Sequence[int]) -> int | None:
    """Where two answers part, the end of the shorter one included; None where they are equal."""
    for i, (a, b) in enumerate(zip(plain, other, strict=False)):
        if a != b:
            return i
    return None if len(plain) == len(other) else min(len(plain), len(other))


@dataclass(frozen=True, slots=True)
class ChiSquare:
    """Pearson's statistic and its degrees of freedom; independent ones add up."""

    statistic: float = 0.0
    degrees: int = 0

    def __add__(self, other: ChiSquare) -> ChiSquare:
        return ChiSquare(self.statistic + other.statistic, self.degrees + other.degrees)


def chi_square(counts: Mapping[int, int], p: NDArray[np.float64]) -> ChiSquare:
    """How far what was observed lies from a distribution.

    Tokens of which at least `EXPECTED` are to be expected are a bin each, and the others share
    one; where even that one is too small, it takes the smallest of the single ones in.

    Args:
        counts: how often each token was observed.
        p: the distribution, float64[vocab_size].

    Returns:
        Zero with no degree of freedom where there are too few observations for two bins, and an
        infinite statistic where a token came that the distribution rules out.
    """
    if any(p[token] <= 0.0 for token in counts):
        return ChiSquare(math.inf, 1)
    n = sum(counts.values())
    single = sorted(np.flatnonzero(p * n >= EXPECTED).tolist(), key=lambda token: -float(p[token]))
    rest = n - math.fsum(float(p[token]) * n for token in single)
    bins = [(counts.get(token, 0), float(p[token]) * n) for token in single]
    pooled = n - sum(seen for seen, _ in bins)
    if rest >= EXPECTED or not bins:
        bins.append((pooled, rest))
    else:
        seen, expected = bins.pop()
        bins.append((seen + pooled, expected + rest))
    if len(bins) < 2:
        return ChiSquare()
    statistic = math.fsum((seen - expected) ** 2 / expected for seen, expected in bins)
    return ChiSquare(statistic, len(bins) - 1)


def chi_square_bound(degrees: int, false_alarm: float = FALSE_ALARM) -> float:
    """What a chi-square variable exceeds with at most this probability.

    d + 2√(d·x) + 2x with x = ln(1 / false alarm) (Laurent and Massart 2000, "Adaptive estimation
    of a quadratic functional by model selection", lemma 1).
    """
    x = math.log(1.0 / false_alarm)
    return degrees + 2.0 * math.sqrt(degrees * x) + 2.0 * x


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far lossy verification leads away from plain decoding.

    Attributes:
        different: share of the positions at which the tokens differ.
        logprob_change: mean log-probability of a token under the raw model, lossy less plain.
    """

    different: float
    logprob_change: float


def divergence(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    logprobs: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> Divergence:
    """The divergence over answers.

    Args:
        pairs: plain and lossy tokens of each answer.
        logprobs: the log-probabilities of the same tokens.
    """
    same = sum(sum(a == b for a, b in zip(plain, lossy, strict=False)) for plain, lossy in pairs)
    longest = sum(max(len(plain), len(lossy)) for plain, lossy in pairs)
    plain_mean = _mean([value for plain, _ in logprobs for value in plain])
    lossy_mean = _mean([value for _, lossy in logprobs for value in lossy])
    return Divergence(1.0 - same / longest if longest else 0.0, lossy_mean - plain_mean)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


@dataclass(frozen=True, slots=True)
class TextDifference:
    """Where two answers to a prompt part, as texts.

    Attributes:
        prompt: its index.
        position: characters that both have before the difference.
        first: what the first says from there on.
        other: what the other one says.
    """

    prompt: int
    position: int
    first: str
    other: str


def text_difference(prompt: int, first: str, other: str) -> TextDifference:
    """Where two different texts part."""
    both = zip(first, other, strict=False)
    position = next((i for i, (a, b) in enumerate(both) if a != b), min(len(first), len(other)))
    return TextDifference(prompt, position, first[position:], other[position:])
