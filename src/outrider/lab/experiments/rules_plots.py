"""The pictures of `acceptance-rules`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from outrider.lab.plots import break_even
from outrider.lab.statistics import ENOUGH, Interval
from outrider.style import COLOURS, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_trade(
    figure: Figure,
    ratios: Mapping[str, Interval | None],
    divergences: Mapping[str, Interval | None],
    rules: Sequence[tuple[str, float]],
) -> None:
    """Speed-up by KL.

    Args:
        figure: to draw on.
        ratios: times plain decoding, by arm.
        divergences: nats a token, by arm.
        rules: the arms of typical verification with their δ, which is their colour.
    """
    axes = figure.subplots()
    deltas = list(dict.fromkeys(delta for _, delta in rules))
    colours = {name: COLOURS[deltas.index(delta) % len(COLOURS)] for name, delta in rules}
    for name, ratio in ratios.items():
        kl, colour = divergences.get(name), colours.get(name, INK)
        if ratio is None or kl is None:
            continue
        axes.plot([kl.value], [ratio.value], "o", color=colour, markersize=6)
        for value, along, at in ((ratio, axes.vlines, kl), (kl, axes.hlines, ratio)):
            if value.low is not None and value.high is not None and value.units >= ENOUGH:
                along(at.value, value.low, value.high, color=colour, linewidth=1.2, alpha=0.6)
        axes.annotate(
            name,
            (kl.value, ratio.value),
            xytext=(6, 6),
            textcoords="offset points",
            fontsize=8,
            color=colour,
        )
    break_even(axes)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=-0.02 * max(axes.get_xlim()[1], 0.01))
    axes.set_xlabel("KL divergence from the model, nats a token")
    axes.set_ylabel("times as fast as plain decoding")


def draw_accuracy(figure: Figure, right: Mapping[str, Interval | None], plain: str) -> None:
    """A mark with its interval for each arm."""
    axes = figure.subplots()
    for row, (name, value) in enumerate(right.items()):
        if value is None:
            continue
        colour = INK if name == plain else COLOURS[0]
        axes.plot([value.value], [row], "o", color=colour, markersize=6)
        if value.low is not None and value.high is not None and value.units >= ENOUGH:
            axes.hlines(row, value.low, value.high, color=colour, linewidth=1.5)
        if name == plain:
            axes.axvline(value.value, color=FAINT, linewidth=1)
    axes.set_yticks(range(len(right)), list(right))
    axes.set_ylim(len(right) - 0.5, -0.5)
    axes.set_xlim(0.0, 1.0)
    axes.set_xlabel("right answers")
