"""A picture of a contest: how many times as fast as plain decoding each plan is, by category."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from outrider.errors import UsageError
from outrider.lab.speed_bench import PlanFigures, SpeedBench
from outrider.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES: Final = (".png", ".svg", ".pdf")
ALL: Final = "all prompts"

ROW_INCHES: Final = 0.16
"""Height that a bar needs to be read."""


def check(path: Path) -> None:
    """Raise for a picture that could not be written, before anything is measured for it.

    Raises:
        UsageError: the name ends in none of `SUFFIXES`, its directory does not exist, or matplotlib
            is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"A plot ends in {', '.join(SUFFIXES)}, not as {str(path)!r} does.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"The plot {path} cannot be written: its directory does not exist.")
    if find_spec("matplotlib") is None:
        raise UsageError(
            "A plot needs matplotlib, which is not installed; `pip install 'outrider[plot]'` "
            "brings it."
        )


def draw(bench: SpeedBench, path: Path, title: str) -> None:
    """Write the picture: bars with their intervals, all prompts first, then the categories.

    Args:
        bench: with at least one plan beside plain.
        path: checked by `check`.
        title: what was measured.

    Raises:
        UsageError: there is no plan to show, or the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (an optional extra, and slow to load)

    plans = bench.plans[1:]
    if not plans:
        raise UsageError("A plot shows plans beside plain decoding, and there is none.")
    rows = [ALL, *bench.plans[0].categories]
    height = 1.6 + ROW_INCHES * len(rows) * (len(plans) + 1)
    figure = Figure(figsize=(8, max(height, 2.4)), layout="constrained")
    axes = figure.subplots()
    for number, found in enumerate(plans):
        _bars(axes, found, rows, number, len(plans))
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), rows)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.1)
    axes.set_xlim(left=0)
    axes.set_xlabel("times as fast as plain decoding (first to last token), 95% intervals")
    axes.xaxis.grid(True, color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
    if len(plans) > 1:
        figure.legend(loc="outside lower center", ncols=min(len(plans), 3), frameon=False)
    else:
        axes.set_title(plans[0].plan.name, loc="left", fontsize="medium")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UsageError(f"The plot {path} cannot be written: {error.strerror}.") from error


def _bars(axes: Axes, found: PlanFigures, rows: list[str], number: int, plans: int) -> None:
    """A plan's bars, one a row, beside those of the other plans."""
    colour = COLOURS[number % len(COLOURS)]
    thickness = 0.8 / plans
    shown = [(0, found.overall), *enumerate((found.categories[name] for name in rows[1:]), start=1)]
    label: str | None = found.plan.name
    for row, figures in shown:
        if figures.speedup is None:
            continue
        said = figures.speedup
        place = row + thickness * (number - (plans - 1) / 2)
        axes.barh(place, said.value, thickness * 0.9, color=colour, label=label, alpha=0.85)
        label = None
        end = said.value
        if said.low is not None and said.high is not None:
            axes.hlines(place, said.low, said.high, color="black", linewidth=1)
            end = max(end, said.high)
        axes.annotate(
            f"{said.value:.2f}",
            (end, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
