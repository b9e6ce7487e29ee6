"""The pictures of `acceptance`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from outrider.lab.experiments.drafts import short
from outrider.lab.experiments.overlaps import CLASSES, Group, Overlaps
from outrider.lab.plots import whiskers
from outrider.lab.statistics import ENOUGH
from outrider.style import COLOURS, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS: Final = 40
RISE: Final = 1.7
"""How high the tallest of the ridges is, in rows."""


def draw_distributions(figure: Figure, main: Overlaps, categories: Sequence[str]) -> None:
    """A ridge for each category, least acceptance at the bottom, and one of all."""
    axes = figure.subplots()
    named = [(name, main.categories[name]) for name in categories if name in main.categories]
    rows = [("all", main.all), *sorted(named, key=lambda pair: -pair[1].value)]
    edges = np.linspace(0.0, 1.0, BINS + 1)
    shares = [np.histogram(group.overlaps, edges)[0] / len(group.overlaps) for _, group in rows]
    # Roots, so that the hump of a few positions in the middle is seen beside the many at the ends.
    heights = [_smooth(np.sqrt(each)) for each in shares]
    tallest = max(float(each.max()) for each in heights)
    middles = (edges[:-1] + edges[1:]) / 2
    for row, ((_, group), height) in enumerate(zip(rows, heights, strict=True)):
        top = row - RISE * height / tallest
        colour = INK if row == 0 else COLOURS[0]
        axes.fill_between(middles, row, top, color=colour, alpha=0.35, linewidth=0, zorder=row)
        axes.plot(middles, top, color=colour, linewidth=1.0, zorder=row)
        axes.vlines(group.value, row - 0.5, row, color=COLOURS[1], linewidth=2, zorder=len(rows))
    axes.set_yticks(range(len(rows)), [f"{name}  {group.value:.0%}" for name, group in rows])
    axes.set_ylim(len(rows) - 0.7, -RISE)
    axes.set_xlim(0.0, 1.0)
    axes.yaxis.grid(False)
    axes.set_xlabel("1 − TV, the chance of acceptance")


def _smooth(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each bin with a quarter of its neighbours', so that ridges are read as shapes."""
    padded = np.pad(heights, 1, mode="edge")
    return 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]


def draw_means(figure: Figure, found: Sequence[Overlaps]) -> None:
    """Lines by position, and below them marks by kind of token."""
    upper, lower = figure.subplots(2, 1, height_ratios=(1.0, 1.2))
    for number, overlaps in enumerate(found):
        colour = COLOURS[number % len(COLOURS)]
        depths = sorted(overlaps.depths)
        means = [overlaps.depths[depth].mean for depth in depths]
        whiskers(upper, depths, means, color=colour, label=short(overlaps.name))
        shift = 0.6 * ((number + 0.5) / len(found) - 0.5)
        for row, kind in enumerate(CLASSES):
            if (group := overlaps.classes.get(kind)) is not None:
                _mark(lower, group, row + shift, colour)
    upper.set_xticks(sorted({depth for overlaps in found for depth in overlaps.depths}))
    upper.set_xlabel("position in the draft")
    upper.set_ylabel("acceptance")
    upper.set_ylim(0.0, 1.0)
    upper.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    lower.set_yticks(range(len(CLASSES)), CLASSES)
    lower.set_ylim(len(CLASSES) - 0.5, -0.5)
    lower.set_xlim(-0.02, 1.02)
    lower.set_xlabel("acceptance")


def _mark(axes: Axes, group: Group, row: float, colour: str) -> None:
    """A mean with its interval, lying down."""
    mean = group.mean
    axes.plot([mean.value], [row], "o", color=colour, markersize=5)
    if mean.low is not None and mean.high is not None and mean.units >= ENOUGH:
        axes.hlines(row, mean.low, mean.high, color=colour, linewidth=1.2)
