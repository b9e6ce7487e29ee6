"""How close a model's distributions are to a reference's, token by token over a given text.

Teacher-forced: both read the same tokens and say, at each, what they think comes next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outrider.engines.base import RowsBuilder, TargetModel

CHUNK = 64
"""Rows whose logits are held at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Sums over the tokens of a text.

    Attributes:
        tokens: positions that were compared: all but the last, after which nothing follows.
        surprisal: Σ −log p of the tokens that do follow, in nats; `exp(surprisal / tokens)` is the
            perplexity.
        kl: Σ KL(reference ‖ model), in nats.
        same_top: positions at which both find the same token likeliest.
        overlap: Σ Σ min(p, q) = Σ (1 − TV): the most of a draft of one that the other can accept at
            temperature 1; see `theory.rejection_acceptance`.
    """

    tokens: int
    surprisal: float
    kl: float
    same_top: int
    overlap: float


def teacher_forced(
    engine: TargetModel, tokens: Sequence[int], chunk: int = CHUNK
) -> Iterator[NDArray[np.float32]]:
    """The logits of a text, computed in chunks, as prompts are: float32[chunk, vocab_size] each.

    Args:
        engine: idle.
        tokens: of the text, with what it begins with.
        chunk: rows of a pass.
    """
    sequence = engine.open([], len(tokens), share=False)
    try:
        for start in range(0, len(tokens), chunk):
            rows = RowsBuilder()
            rows.chain(sequence.id, tokens[start : start + chunk], commit=True, want_logits=True)
            yield engine.forward(rows.rows()).numpy(range(len(rows)))
    finally:
        engine.close(sequence)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-probabilities of each row, float32[rows, vocab_size]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    # In 64 bits, because a sum over a large vocabulary loses what a small divergence is made of.
    total = np.exp(shifted).sum(axis=1, keepdims=True, dtype=np.float64)
    found: NDArray[np.float32] = shifted - np.log(total).astype(np.float32)
    return found


def fidelity(
    reference: Sequence[NDArray[np.float32]],
    model: Sequence[NDArray[np.float32]],
    tokens: Sequence[int],
) -> Fidelity:
    """Compare two models over a text.

    Args:
        reference: log-probabilities of its tokens in chunks, float32[chunk, vocab_size] each.
        model: the same of the other.
        tokens: of the text.
    """
    count, surprisal, kl, same, overlap = 0, 0.0, 0.0, 0, 0.0
    for of_reference, of_model in zip(reference, model, strict=True):
        following = np.array(tokens[count + 1 : count + 1 + len(of_model)], np.intp)
        rows = len(following)
        log_p, log_q = of_reference[:rows], of_model[:rows]
        p, q = np.exp(log_p), np.exp(log_q)
        # A token that has no probability at all has no part in the divergence.
        terms = np.where(p > 0, p * (log_p - log_q), np.float32(0))
        kl += float(terms.sum(dtype=np.float64))
        overlap += float(np.minimum(p, q).sum(dtype=np.float64))
        same += int((log_p.argmax(axis=1) == log_q.argmax(axis=1)).sum())
        surprisal -= float(log_q[np.arange(rows), following].sum(dtype=np.float64))
        count += rows
    return Fidelity(tokens=count, surprisal=surprisal, kl=kl, same_top=same, overlap=overlap)
