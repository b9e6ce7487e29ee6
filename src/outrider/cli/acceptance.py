"""The picture of what drafting brought: sources, positions, passes, milliseconds."""

from __future__ import annotations

from collections import Counter
from typing import Final

import typer

from outrider.cli.palette import Palette
from outrider.types import Usage

OWN: Final = "the model"
"""Who chose what no drafter proposed."""

WIDTH: Final = 80

BAR: Final = 40
"""Cells of the longest bar."""

POSITIONS: Final = 12
"""Positions that have a bar of their own; those behind are told in a line."""


def picture(
    usage: Usage, sources: Counter[str | None], palette: Palette, *, block: str = "█"
) -> list[str]:
    """Lines of at most 80 cells.

    Args:
        usage: of completions that were drafted for.
        sources: tokens by the drafter that proposed them; None stands for the model's own.
        palette: shows who is who.
        block: what bars are made of.
    """
    return [
        "tokens by source",
        *_sources(sources, palette, block),
        "",
        f"accepted by position, of {_count(usage.draft_steps, 'draft')}",
        *_positions(usage, block),
        "",
        *_passes(usage),
        *_time(usage),
    ]


def _sources(sources: Counter[str | None], palette: Palette, block: str) -> list[str]:
    drafters = sorted((name for name in sources if name is not None), key=lambda n: -sources[n])
    labels = [name if palette.colours else palette.marked(name, name) for name in drafters]
    width = max(map(len, (*labels, OWN)))
    most, tokens = max(sources.values()), sources.total()
    digits = max(6, len(str(most)))
    cells = max(min(BAR, WIDTH - 9 - width - digits), 1)
    lines = []
    for name, label in zip((*drafters, None), (*labels, OWN), strict=True):
        count = sources[name]
        bar = _bar(count, most, cells, block)
        line = f"  {label:{width}} {count:{digits}} {count / tokens:4.0%} {bar}"
        colour = None if name is None else palette.colour(name)
        lines.append(line if colour is None else typer.style(line, fg=colour))
    return lines


def _positions(usage: Usage, block: str) -> list[str]:
    counts, drafts = usage.accepted_per_position, usage.draft_steps
    lines = [
        f"  {place:2} {count:6} {count / drafts:4.0%} {_bar(count, drafts, BAR, block)}"
        for place, count in enumerate(counts[:POSITIONS], start=1)
    ]
    if not counts:
        lines.append("  none was")
    if behind := sum(counts[POSITIONS:]):
        lines.append(f"  {_count(behind, 'token')} more, the last one at position {len(counts)}")
    return lines


def _passes(usage: Usage) -> list[str]:
    rows = (usage.steps + usage.draft_tokens) / usage.steps
    return [
        f"{usage.mean_accepted_length:.2f} tokens a pass, {rows:.2f} rows a pass, "
        f"{usage.acceptance_rate:.0%} of drafted tokens accepted",
        f"passes: {usage.draft_steps} with a draft, {usage.plain_steps} plain on purpose, "
        f"{usage.empty_steps} without a guess",
    ]


def _time(usage: Usage) -> list[str]:
    took = usage.draft_ms + usage.pass_ms + usage.sampling_ms + usage.rest_ms
    verb = "saved" if usage.saved_ms >= 0 else "lost"
    return [
        f"{verb} {_ms(abs(usage.saved_ms))} ms against plain decoding, as the cost curve puts it",
        f"took {_ms(took)} ms: drafting {_ms(usage.draft_ms)}, passes {_ms(usage.pass_ms)}, "
        f"sampling {_ms(usage.sampling_ms)}, rest {_ms(usage.rest_ms)}",
    ]


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _bar(count: int, most: int, cells: int, block: str) -> str:
    return block * max(round(cells * count / most), bool(count))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
