"""Controllers against the best fixed length in hindsight, on answers whose nature changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from outrider.lab.experiment import (
    PLAIN_ARM,
    Arm,
    Bench,
    Cell,
    Experiment,
    Measured,
    Plot,
    Section,
    Setup,
    Table,
    fixed_arm,
)
from outrider.lab.experiments.words import exactness, share, times, verdict
from outrider.lab.plots import strips
from outrider.lab.results import Results
from outrider.prompts import Prompt
from outrider.style import COLOURS, FAINT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTHS = (1, 2, 4, 8, 16)
CONTROLLERS = ("cost", "heuristic", "threshold", "threshold:mode=confidence", "bandit")
CHANGE = (
    "First repeat the following text word for word. Then do what it asks, in your own words.\n\n"
)


class Adaptive(Experiment):
    """Lengths that follow the text, and lengths that do not.

    Args:
        drafter: instead of the run's first one.
    """

    name: ClassVar[str] = "adaptive"
    title: ClassVar[str] = "Adaptive draft length"
    question: ClassVar[str] = (
        "Does a controller find the right length, where what is right changes midway?"
    )

    def __init__(self, *, drafter: str | None = None) -> None:
        self._drafter = drafter

    def prompts(self, setup: Setup) -> Sequence[Prompt]:
        """Texts to be copied first, which is easy to draft, and answered then, which is not."""
        return [replace(p, turns=(CHANGE + p.turns[0],)) for p in setup.prompts]

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Plain, fixed lengths, and each controller."""
        drafter = self._drafter or setup.drafter
        return [
            PLAIN_ARM,
            *(fixed_arm(_fixed(length), drafter, length) for length in LENGTHS),
            *(
                Arm(name=controller, settings={"drafter": drafter, "controller": controller})
                for controller in CONTROLLERS
            ),
        ]

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """Answers of twice the length, so that they get beyond the copy."""
        longer = 2 * bench.setup.max_tokens
        samples = bench.ask(arm, cell, self.prompts(bench.setup), max_tokens=longer)
        return Measured(samples=samples)

    def section(self, results: Results) -> Section:
        """Each controller beside the best fixed length."""
        arms = [*map(_fixed, LENGTHS), *CONTROLLERS]
        value = {arm: r.value if (r := results.total(arm)) else 0.0 for arm in arms}
        fixed = max(map(_fixed, LENGTHS), key=value.__getitem__)
        best = max(CONTROLLERS, key=value.__getitem__)
        return Section(
            findings=(
                f"In hindsight the best fixed length is {fixed}, {times(results.total(fixed))} "
                "times as fast as plain decoding.",
                verdict(f"The best controller, {best},", results.total(best, fixed), fixed),
                exactness(results, arms),
            ),
            plots=(
                Plot(
                    "adaptive",
                    "How many times as fast as plain decoding: every prompt a dot, all prompts "
                    "together the bar with its interval; the dashed line is the best fixed length.",
                    lambda figure: _draw(figure, results, arms, value[fixed]),
                    height=0.85,
                ),
            ),
            tables=(
                Table(
                    (
                        "length",
                        "times plain, all",
                        "typical prompt",
                        f"times {fixed}",
                        "drafted a step",
                        "accepted",
                    ),
                    [_row(results, arm, fixed) for arm in arms],
                ),
            ),
            notes=(
                "Each answer begins anew, so a controller has that answer alone to learn from. The "
                "prompts ask for a copy of a text first and for an answer to it then.",
            ),
        )


def _fixed(length: int) -> str:
    return f"K={length}"


def _row(results: Results, arm: str, fixed: str) -> tuple[str, ...]:
    figures = results.figures(arm)
    return (
        arm,
        times(results.total(arm)),
        times(results.typical(arm)),
        "1" if arm == fixed else times(results.total(arm, fixed)),
        f"{figures.rows_per_step - 1:.2f}",
        share(figures.usage.acceptance_rate),
    )


def _draw(figure: Figure, results: Results, arms: Sequence[str], best: float) -> None:
    axes = figure.subplots()
    strips(
        axes,
        arms,
        [results.ratios(arm) for arm in arms],
        [results.total(arm) for arm in arms],
        [COLOURS[1 if arm in CONTROLLERS else 0] for arm in arms],
    )
    axes.axvline(best, color=FAINT, linewidth=1, linestyle="--")
