"""The pictures of `alignment`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from outrider.lab.experiments.drafts import LENGTH, Point, rates_of, short
from outrider.lab.experiments.words import StepCosts
from outrider.lab.plots import break_even
from outrider.lab.results import Results
from outrider.lab.statistics import ENOUGH
from outrider.style import COLOURS, FAINT, GRID, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOUR: Final = {
    "n-gram, free": COLOURS[0],
    "early exit": COLOURS[1],
    "separate model": COLOURS[2],
    "4-bit copy": COLOURS[3],
    "another family": COLOURS[4],
    "other": COLOURS[5],
    "random guesses": FAINT,
    "simulated": FAINT,
}

SPEEDUPS: Final = {1.25: 0.71, 1.5: 0.79, 2.0: 0.87, 3.0: 0.95}
"""Lines that are drawn, with the acceptance at which their names stand."""
LEAST_COST: Final = 0.003
RIGHT: Final = 0.3
"""A cost beyond which a draft's name stands at its left."""
NAME_WIDTH: Final = 0.35
NAME_HEIGHT: Final = 0.04
"""Room for a draft's name, in decades of cost and in acceptance."""


def draw_costs(figure: Figure, points: Sequence[Point], results: Results) -> None:
    """Acceptance against cost, over the speed-ups that theory gives."""
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_xlim(LEAST_COST, 2.0)
    axes.set_ylim(-0.03, 1.03)
    known = [point for point in points if point.costs is not None]
    if known and known[0].costs is not None:
        _speedups(axes, known[0].costs)
    taken: list[tuple[float, float]] = []
    for point in known:
        assert point.costs is not None
        at = max(point.costs.c, LEAST_COST * 1.15)
        _mark(axes, point, at, point.rate)
        axes.annotate(
            short(point.draft.name),
            (at, _free(taken, math.log10(at), point.rate)),
            xytext=(6, 5) if at < RIGHT else (-6, 5),
            textcoords="offset points",
            ha="left" if at < RIGHT else "right",
            fontsize=8,
            color=COLOUR[point.draft.approach],
        )
    axes.set_xticks([0.01, 0.1, 1.0], ["0.01", "0.1", "1"])
    axes.set_xlabel("what drafting a token costs, in steps of plain decoding")
    axes.set_ylabel(f"accepted of {LENGTH} drafted tokens")
    _legend(axes, known)


def _speedups(axes: Axes, costs: StepCosts) -> None:
    """Lines of equal speed-up: S = (1 + K·rate) / (K·c + v(K + 1)), solved for the rate."""
    c = np.geomspace(LEAST_COST, 2.0, 200)
    time = LENGTH * c + costs.v(LENGTH + 1)
    even = (time - 1.0) / LENGTH
    axes.fill_between(c, -0.03, np.clip(even, -0.03, 1.03), color=GRID, alpha=0.6, linewidth=0)
    axes.text(0.98, 0.3, "slower than plain", transform=axes.transAxes, ha="right", color=FAINT)
    for value, height in SPEEDUPS.items():
        rate = (value * time - 1.0) / LENGTH
        inside = (rate > 0.0) & (rate < 1.0)
        if not inside.any():
            continue
        axes.plot(c[inside], rate[inside], color=FAINT, linewidth=0.8, linestyle=":")
        place = min(int(np.searchsorted(rate[inside], height)), int(inside.sum()) - 1)
        axes.annotate(
            f"{value:g} times",
            (c[inside][place], rate[inside][place]),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            color=FAINT,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
        )


def draw_speedups(figure: Figure, points: Sequence[Point], results: Results) -> None:
    """Speed-up against acceptance."""
    axes = figure.subplots()
    for point in points:
        if point.costs is None or point.ratio is None:
            continue
        colour, arm = COLOUR[point.draft.approach], point.draft.name
        if not point.simulated:
            each = rates_of(results, arm)
            ratios = [results.on(prompt).total(arm) for prompt in each]
            dots = [(x, y.value) for x, y in zip(each.values(), ratios, strict=True) if y]
            axes.plot(
                [x for x, _ in dots], [y for _, y in dots], "o", color=colour, alpha=0.3, ms=3
            )
        ratio = point.ratio
        if ratio.low is not None and ratio.high is not None and ratio.units >= ENOUGH:
            axes.vlines(point.rate, ratio.low, ratio.high, color=colour, linewidth=1.2)
        _mark(axes, point, point.rate, ratio.value)
    simulated = next((p.costs for p in points if p.simulated and p.costs is not None), None)
    if simulated is not None:
        rates = np.linspace(0.0, 1.0, 50)
        time = LENGTH * simulated.c + simulated.v(LENGTH + 1)
        axes.plot(rates, (1.0 + LENGTH * rates) / time, "--", color=FAINT, linewidth=0.9)
    break_even(axes)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"accepted of {LENGTH} drafted tokens")
    axes.set_ylabel("times as fast as plain decoding")
    _legend(axes, points)


def _free(taken: list[tuple[float, float]], x: float, y: float) -> float:
    """The height at which a name at x reads free of those that stand already, not below y."""
    while any(abs(x - a) < NAME_WIDTH and abs(y - b) < NAME_HEIGHT for a, b in taken):
        y += NAME_HEIGHT / 8
    taken.append((x, y))
    return y


def _mark(axes: Axes, point: Point, x: float, y: float) -> None:
    """A point: filled where it was measured, hollow where it is simulated."""
    colour = COLOUR[point.draft.approach]
    face = PAPER if point.simulated else colour
    axes.plot([x], [y], "o", color=colour, markerfacecolor=face, markersize=7, zorder=3)


def _legend(axes: Axes, points: Sequence[Point]) -> None:
    """An entry for each approach."""
    approaches = dict.fromkeys(point.draft.approach for point in points)
    for approach in approaches:
        hollow = approach == "simulated"
        axes.plot(
            [],
            [],
            "o",
            color=COLOUR[approach],
            markerfacecolor=PAPER if hollow else COLOUR[approach],
            label=approach,
        )
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
