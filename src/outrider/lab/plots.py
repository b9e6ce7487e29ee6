"""Pictures of a report: as files, and as part of a page that is light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from outrider.errors import UsageError
from outrider.lab.experiment import Plot
from outrider.lab.statistics import ENOUGH, Interval
from outrider.style import FAINT, GRID, INK, PALETTE, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIRECTORY: Final = "plots"
"""Where a report keeps its pictures."""

WIDTH_INCHES: Final = 5.8
"""Narrow enough to be read on a phone."""

STYLE: Final[Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "figure.facecolor": PAPER,
    "font.family": "sans-serif",
    "font.size": 11,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",  # text stays text: small, and it can be found and read out
    "svg.hashsalt": "outrider",  # the same picture gives the same file
    "text.color": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}


def check() -> None:
    """Raise before anything is measured that could not be drawn.

    Raises:
        UsageError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise UsageError(
            "The lab draws with matplotlib, which is not installed; `pip install 'outrider[plot]'` "
            "brings it."
        )


def save(plot: Plot, directory: Path) -> str:
    """Write a plot as SVG and as PNG.

    Returns:
        The SVG for a page: without a size of its own, with the page's colours, light or dark.

    Raises:
        UsageError: a file cannot be written.
    """
    from matplotlib import rc_context  # noqa: PLC0415  (an optional extra, and slow to load)
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES * plot.height))
        plot.draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        try:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"{plot.name}.svg").write_text(text.getvalue(), encoding="utf-8")
            figure.savefig(directory / f"{plot.name}.png", dpi=200)
        except OSError as error:
            raise UsageError(
                f"The plot {plot.name} cannot be written to {directory}: {error.strerror}."
            ) from error
    return inline(text.getvalue(), plot.caption)


def inline(svg: str, label: str) -> str:
    """A picture as part of a page: it takes the page's width and its colours."""
    body = svg[svg.index("<svg") :]
    opening, rest = body.split(">", 1)
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    escaped = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    for name, (colour, _) in PALETTE.items():
        rest = rest.replace(colour, f"var(--{name})")
    return f'{opening} role="img" aria-label="{escaped}">{rest}'


def whiskers(
    axes: Axes, at: Sequence[float], values: Sequence[Interval | None], **style: Any
) -> None:
    """Points with their intervals, joined by a line."""
    known = [(x, value) for x, value in zip(at, values, strict=True) if value is not None]
    line = axes.plot(
        [x for x, _ in known], [value.value for _, value in known], marker="o", **style
    )
    colour = line[0].get_color()
    for x, value in known:
        if value.low is not None and value.high is not None and value.units >= ENOUGH:
            axes.vlines(x, value.low, value.high, color=colour, linewidth=1.2)


def strips(
    axes: Axes,
    names: Sequence[str],
    ratios: Sequence[NDArray[np.float64]],
    totals: Sequence[Interval | None],
    colours: Sequence[str],
) -> None:
    """Rows of ratios of speeds: a dot for each prompt, a bar with its interval for all together."""
    for row, (each, total, colour) in enumerate(zip(ratios, totals, colours, strict=True)):
        axes.plot(each, [row] * len(each), "o", color=colour, alpha=0.45, markersize=4)
        if total is not None:
            axes.vlines(total.value, row - 0.35, row + 0.35, color=INK, linewidth=2)
            if total.low is not None and total.high is not None and total.units >= ENOUGH:
                axes.hlines(row, total.low, total.high, color=INK, linewidth=1.5)
    axes.axvline(1.0, color=FAINT, linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("times as fast as plain decoding")


def break_even(axes: Axes) -> None:
    """A line where a ratio of speeds is 1."""
    axes.axhline(1.0, color=FAINT, linewidth=1)
