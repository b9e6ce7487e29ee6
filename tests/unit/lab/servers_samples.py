"""Answers of servers, made up to have known figures."""

from __future__ import annotations

from outrider.lab.contest import Sample
from outrider.types import Usage


def sample(name: str, prompt: int, pace: float) -> Sample:
    """Eleven tokens at `pace` milliseconds each, behind 40 of prefill."""
    usage = Usage(
        prompt_tokens=8,
        cached_tokens=4,
        completion_tokens=11,
        first_token_ms=40.0,
        decode_ms=10 * pace,
        total_ms=40.0 + 10 * pace,
    )
    return Sample(
        plan=name,
        prompt=prompt,
        category=None,
        repeat=0,
        group=prompt,
        tokens=(),
        reason="length",
        usage=usage,
        text="a text",
    )
