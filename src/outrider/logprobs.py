"""Log-probabilities of tokens that are there already."""

from __future__ import annotations

from collections.abc import Sequence

from outrider.engines.base import Pass
from outrider.types import TokenLogprob


def of_tokens(
    outcome: Pass, rows: Sequence[int], tokens: Sequence[int], best: int
) -> tuple[TokenLogprob, ...]:
    """What the raw model gives each token, and the likeliest ones in its place.

    Args:
        outcome: the pass.
        rows: the row that speaks of each token.
        tokens: one a row.
        best: how many of the likeliest; at most as many as the vocabulary has.
    """
    if not tokens:
        return ()
    values = outcome.logprobs(rows, tokens)
    tops: list[tuple[tuple[int, float], ...]] = [()] * len(tokens)
    if best:
        ids, theirs = outcome.top(rows, best)
        tops = [
            tuple(zip(row.tolist(), their.tolist(), strict=True))
            for row, their in zip(ids, theirs, strict=True)
        ]
    return tuple(
        TokenLogprob(token, float(value), top)
        for token, value, top in zip(tokens, values, tops, strict=True)
    )
