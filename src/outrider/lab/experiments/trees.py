"""Chains against trees against several drafts at once, with as many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from outrider.lab.experiment import (
    PLAIN_ARM,
    Arm,
    Experiment,
    Plot,
    Section,
    Setup,
    Table,
    fixed_arm,
)
from outrider.lab.experiments.words import exactness, share, times, verdict
from outrider.lab.plots import break_even, whiskers
from outrider.lab.results import Results
from outrider.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = (2, 4, 8, 16)
SHAPES = {"ngram": "one chain", "recycle": "one tree", "mixed": "several drafts"}


class Trees(Experiment):
    """Shapes of drafts at the same number of nodes."""

    name: ClassVar[str] = "trees"
    title: ClassVar[str] = "Chains and trees"
    question: ClassVar[str] = (
        "Are as many rows better spent on one chain, a tree, or several drafts?"
    )

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Plain, and a drafter of each shape at each number of nodes."""
        return [
            PLAIN_ARM,
            *(fixed_arm(_arm(drafter, rows), drafter, rows) for rows in ROWS for drafter in SHAPES),
        ]

    def section(self, results: Results) -> Section:
        """Tokens a pass and speed-up of each shape."""
        arms = [_arm(drafter, rows) for rows in ROWS for drafter in SHAPES]
        best = max(arms, key=lambda arm: r.value if (r := results.total(arm)) else 0.0)
        rows = int(best.rpartition(" ")[2])
        others = [d for d in SHAPES if _arm(d, rows) != best]
        return Section(
            findings=(
                verdict(f"The best, {best} nodes,", results.total(best)),
                *(
                    verdict(
                        f"With {rows} nodes it",
                        results.total(best, _arm(other, rows)),
                        f"{SHAPES[other]} ({other})",
                    )
                    for other in others
                ),
                exactness(results, arms),
            ),
            plots=(
                Plot(
                    "trees",
                    "Tokens gained a step, and speed-up over plain decoding, by the nodes drafted.",
                    lambda figure: _draw(figure, results),
                    height=1.05,
                ),
            ),
            tables=(
                Table(
                    ("draft", "nodes drafted", "accepted", "length", "times plain, all", "typical"),
                    [_row(results, arm) for arm in arms],
                    "nodes drafted: a step, on average; drafters do not always have as many to "
                    "propose as they may.",
                ),
            ),
            notes=tuple(f"`{drafter}`: {shape}." for drafter, shape in SHAPES.items()),
        )


def _arm(drafter: str, rows: int) -> str:
    return f"{drafter} {rows}"


def _row(results: Results, arm: str) -> tuple[str, ...]:
    figures = results.figures(arm)
    return (
        arm,
        f"{figures.rows_per_step - 1:.2f}",
        share(figures.usage.acceptance_rate),
        f"{figures.usage.mean_accepted_length:.2f}",
        times(results.total(arm)),
        times(results.typical(arm)),
    )


def _draw(figure: Figure, results: Results) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True)
    for number, (drafter, shape) in enumerate(SHAPES.items()):
        arms = [_arm(drafter, rows) for rows in ROWS]
        lengths = [results.figures(arm).usage.mean_accepted_length for arm in arms]
        upper.plot(ROWS, lengths, marker="o", color=COLOURS[number], label=f"{shape} ({drafter})")
        whiskers(lower, ROWS, [results.total(arm) for arm in arms], color=COLOURS[number])
    upper.set_ylim(bottom=1)
    upper.set_ylabel("tokens gained a step")
    upper.legend(loc="upper left")
    break_even(lower)
    lower.set_ylim(bottom=0)
    lower.set_ylabel("times plain")
    lower.set_xlabel("nodes drafted a step, at most")
    lower.set_xticks(ROWS, [str(rows) for rows in ROWS])
