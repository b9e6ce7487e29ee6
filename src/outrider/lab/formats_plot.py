"""Pictures of formats of one model's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from outrider.lab.formats import Format, draft_arm
from outrider.lab.plots import strips
from outrider.lab.results import Results
from outrider.lab.statistics import ENOUGH, Interval
from outrider.style import COLOURS, INK
from outrider.types import summed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MB = 1e6


def draw_formats(figure: Figure, results: Results, formats: Sequence[Format]) -> None:
    """A row for each: the size of the file, the speed, the divergence."""
    size, speed, divergence = figure.subplots(1, 3, sharey=True)
    colours = _colours(len(formats))
    for row, (found, colour) in enumerate(zip(formats, colours, strict=True)):
        size.barh(row, found.facts["file_bytes"] / MB, 0.6, color=colour, alpha=0.8)
        kls = found.passage_kls
        divergence.plot(kls, [row] * len(kls), "o", color=colour, alpha=0.45, markersize=4)
        divergence.vlines(found.kl.value, row - 0.35, row + 0.35, color=INK, linewidth=2)
        _whisker(divergence, row, found.kl)
    strips(
        speed,
        [found.row for found in formats],
        [results.ratios(found.name) for found in formats],
        [found.speed for found in formats],
        colours,
    )
    size.set_xlabel("MB")
    size.yaxis.grid(False)
    speed.set_xlabel("times as fast")
    divergence.set_xscale("log")
    divergence.set_xlabel("KL, nats a token")


def draw_drafts(figure: Figure, results: Results, copies: Sequence[Format]) -> None:
    """A row for each copy that drafts: what is accepted, and the speed."""
    accepted, speed = figure.subplots(1, 2, sharey=True)
    colours = _colours(len(copies) + 1)[1:]
    arms = [draft_arm(found.name) for found in copies]
    strips(
        speed,
        [found.row for found in copies],
        [results.ratios(arm) for arm in arms],
        [results.total(arm) for arm in arms],
        colours,
    )
    speed.set_xlabel("times plain decoding")
    for row, (arm, colour) in enumerate(zip(arms, colours, strict=True)):
        _accepted(accepted, results, arm, row, colour)
    accepted.set_xlim(0, 1.03)
    accepted.set_xticks([0, 0.5, 1])
    accepted.set_xlabel("accepted of drafted")


def _colours(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def _whisker(axes: Axes, row: int, value: Interval) -> None:
    if value.low is not None and value.high is not None and value.units >= ENOUGH:
        axes.hlines(row, value.low, value.high, color=INK, linewidth=1.5)


def _accepted(axes: Axes, results: Results, arm: str, row: int, colour: str) -> None:
    """A row of the share that is accepted on each prompt, with that of all."""
    samples = results.samples(arm)
    prompts = dict.fromkeys(sample.prompt for sample in samples)
    usages = [summed(s.usage for s in samples if s.prompt == prompt) for prompt in prompts]
    rates = [usage.acceptance_rate for usage in usages if usage.draft_tokens]
    axes.plot(rates, [row] * len(rates), "o", color=colour, alpha=0.45, markersize=4)
    axes.vlines(summed(usages).acceptance_rate, row - 0.35, row + 0.35, color=INK, linewidth=2)
