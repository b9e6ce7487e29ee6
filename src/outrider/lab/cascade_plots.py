"""The pictures of a cascade's report, as SVG that reads on light and on dark pages."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Final

import numpy as np

from outrider.lab.cascade_figures import Evaluation
from outrider.lab.frontier import Hull
from outrider.lab.plots import inline
from outrider.strategies.cascade.predictor import COMPLEXITIES
from outrider.style import COLOURS, GRID, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN: Final = ("stopping", "routing", "learned", "threshold")
"""Policies whose curves are drawn; the table has them all."""


def frontier(evaluation: Evaluation) -> str:
    """Quality against cost: policies, single stages with intervals, mixing, everything, oracle."""
    figure, axes = _figure(7.2, 4.4)
    stages = evaluation.stages
    hull = Hull.of([s.cost for s in stages], [s.accuracy.value for s in stages])
    # On a logarithmic axis the line between two stages is a curve.
    costs = np.geomspace(hull.cost[0], hull.cost[-1], 200)
    axes.plot(costs, hull.at(costs), "--", color=INK, linewidth=1, label="mixing single stages")
    for colour, name in zip(COLOURS, SHOWN, strict=False):
        curve = evaluation.curve(name)
        points = sorted(curve.points, key=lambda p: p.cost)
        cost = [p.cost for p in points]
        axes.plot(
            cost,
            [p.quality.value for p in points],
            ".-",
            color=colour,
            linewidth=1.2,
            markersize=4,
            label=name,
        )
        if name == evaluation.steered:
            low = [p.quality.low or p.quality.value for p in points]
            high = [p.quality.high or p.quality.value for p in points]
            axes.fill_between(cost, low, high, color=colour, alpha=0.15, linewidth=0)
    for stage in stages:
        _dot(axes, stage.cost, stage.accuracy.value, stage.accuracy.low, stage.accuracy.high)
        axes.annotate(
            stage.name,
            (stage.cost, stage.accuracy.value),
            xytext=(6, -10),
            textcoords="offset points",
            fontsize="small",
            color=INK,
        )
    for label, point, marker in (
        ("all stages, best answer", evaluation.everything, "s"),
        ("oracle", evaluation.oracle, "*"),
    ):
        axes.plot(
            point.cost, point.quality.value, marker, color=COLOURS[4], markersize=9, label=label
        )
    axes.set_xscale("log")
    axes.set_xlabel(f"mean cost of a question, {evaluation.unit}")
    axes.set_ylabel("share of right answers")
    _legend(axes)
    return _svg(figure, "Quality against cost")


def stopping_stages(evaluation: Evaluation) -> str:
    """Where questions end, by complexity and λ: a panel a class, stages stacked."""
    figure, panels = _panels(len(COMPLEXITIES), 7.2, 2.8)
    worths = [w for w in evaluation.grid if 0 < w < math.inf]
    names = [stage.name for stage in evaluation.stages]
    for axes, complexity in zip(panels, COMPLEXITIES, strict=True):
        cells = [evaluation.grid[w][complexity] for w in worths]
        shares = [[cell.shares[i] for cell in cells] for i in range(len(names))]
        axes.stackplot(worths, shares, labels=names, colors=COLOURS, alpha=0.85)
        axes.set_xscale("log")
        axes.set_title(f"{complexity} ({cells[0].questions})", fontsize="medium", color=INK)
        axes.set_xlabel("λ")
        axes.set_ylim(0, 1)
    panels[0].set_ylabel("share that ends at a stage")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, frameon=False, labelcolor=INK
    )
    return _svg(figure, "Where questions end, by complexity and worth")


def reliability_plots(evaluation: Evaluation) -> str:
    """Predicted against observed, in bins of equal mass, a panel a stage."""
    rows = evaluation.predictors
    figure, panels = _panels(len(rows), 1.9 * len(rows) + 0.6, 2.5)
    for axes, row in zip(panels, rows, strict=True):
        axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1)
        axes.plot(row.reliability.predicted, row.reliability.observed, "o-", color=COLOURS[0], ms=4)
        axes.set_title(f"{row.name}\nECE {row.quality.ece:.3f}", fontsize="small", color=INK)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("predicted")
    panels[0].set_ylabel("observed")
    return _svg(figure, "Reliability of the predictor")


def worth_plot(evaluation: Evaluation) -> str:
    """Early stops and quality by λ."""
    figure, axes = _figure(7.2, 3.0)
    points = [p for p in evaluation.curve(evaluation.steered).points if 0 < p.setting < math.inf]
    worths = [p.setting for p in points]
    axes.plot(worths, [p.early for p in points], color=COLOURS[1], label="ends early")
    axes.plot(worths, [p.quality.value for p in points], color=COLOURS[0], label="right answers")
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"λ: what a right answer is worth, {evaluation.unit}")
    axes.set_ylabel("share of questions")
    _legend(axes)
    return _svg(figure, "Early stops and quality by worth")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure, (axes,) = _panels(1, width, height)
    return figure, axes


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure  # noqa: PLC0415  (an optional extra, and slow to load)

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    found = figure.subplots(1, count, squeeze=False)[0]
    for axes in found:
        axes.patch.set_alpha(0.0)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(INK)
        axes.tick_params(colors=INK, which="both")
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.grid(True, color=GRID)
    return figure, list(found)


def _dot(axes: Axes, x: float, y: float, low: float | None, high: float | None) -> None:
    axes.plot(x, y, "o", color=INK, markersize=6)
    if low is not None and high is not None:
        axes.vlines(x, low, high, color=INK, linewidth=1)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, labelcolor=INK, fontsize="small")


def _svg(figure: Figure, title: str) -> str:
    """The picture to stand within a page, in the page's colours."""
    from matplotlib import rc_context  # noqa: PLC0415

    out = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    # Ids are unique within a picture only, and a page has several.
    prefix = re.sub(r"\W", "", title.lower())[:12]
    return inline(re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", out.getvalue()), title)
