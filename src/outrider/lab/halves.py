"""Prompts in two halves: one to fit on, one to measure what was predicted from it."""

from __future__ import annotations

from collections.abc import Sequence

from outrider.errors import UsageError
from outrider.prompts import Prompt


def halves(prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Prompt]]:
    """Two halves, with as many prompts of each category in one as in the other, give or take one.

    The prompts are dealt out in turn, category after category, so the halves differ by one prompt
    at most, as each category does. Each half keeps the order of the file.

    Raises:
        UsageError: there are fewer than two prompts.
    """
    if len(prompts) < 2:
        raise UsageError(
            "One half of the prompts predicts and the other is measured, and a single prompt "
            "cannot be halved; give at least two."
        )
    categories: dict[str | None, list[Prompt]] = {}
    for prompt in prompts:
        categories.setdefault(prompt.category, []).append(prompt)
    dealt = [prompt for category in categories.values() for prompt in category]
    first, second = (sorted(half, key=lambda p: p.index) for half in (dealt[::2], dealt[1::2]))
    return first, second
