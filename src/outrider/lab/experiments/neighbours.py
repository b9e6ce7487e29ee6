"""What goes with speculation in any engine, and what it is worth here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from outrider.errors import UsageError
from outrider.lab.contest import turn
from outrider.lab.experiment import Arm, Bench, Cell, Experiment, Measured, Plot, Section, Setup
from outrider.lab.neighbours.batching import BatchingPart
from outrider.lab.neighbours.cache import CachePart
from outrider.lab.neighbours.part import Part, Worth, same_answers
from outrider.lab.neighbours.prefill import PrefillPart
from outrider.lab.neighbours.prefixes import FIRST, SEPARATE, SHARED, PrefixesPart
from outrider.lab.plots import strips
from outrider.lab.results import Results
from outrider.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS: tuple[Part, ...] = (CachePart(), BatchingPart(), PrefixesPart(), PrefillPart())


class Neighbours(Experiment):
    """The prefix cache, batching, shared prefixes and chunks of prompts, each with and without."""

    name: ClassVar[str] = "neighbours"
    title: ClassVar[str] = "Neighbours of speculation"
    question: ClassVar[str] = (
        "What are prefix caching, continuous batching and chunked prompts worth, without any draft?"
    )

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Those of every part."""
        found = [arm for part in PARTS for arm in part.arms(setup)]
        if not PARTS[0].arms(setup):
            raise UsageError(
                f"The experiment 'neighbours' needs a context of at least 64 tokens, and this one "
                f"has {setup.context}."
            )
        return found

    def cells(self, setup: Setup) -> list[Cell]:
        """A part's arms take turns on every group of prompts that it has."""
        return [
            Cell(experiment=self.name, arm=arm.name, group=number, repeat=repeat)
            for repeat in range(setup.repeats)
            for number in range(len(setup.prompts))
            for part in PARTS
            if number % part.every == 0
            for arm in turn(part.arms(setup), repeat + number // part.every)
        ]

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """As the arm's part does."""
        return _part(bench.setup, arm.name).measure(bench, arm, cell)

    def section(self, results: Results) -> Section:
        """What each is worth, then each by itself."""
        found = [(number, w) for number, part in enumerate(PARTS) for w in part.worth(results)]
        return Section(
            findings=(*(part.finding(results) for part in PARTS), _exactness(results)),
            plots=(
                Plot(
                    "neighbours",
                    "How many times as soon: every group of prompts a dot, all together the bar "
                    "with its interval. What is sooner is said below, of each.",
                    lambda figure: _draw(figure, found),
                    height=max(0.075 * len(found) + 0.14, 0.4),
                ),
                *(part.plot(results) for part in PARTS),
            ),
            tables=tuple(part.table(results) for part in PARTS),
            notes=(
                "Everything is decoded plainly. Sooner: the first token (prefix cache), the last "
                "answer (batching), the last of several first tokens (one document), the next "
                "token of the others (chunks).",
            ),
        )

    def advice(self, results: Results) -> Sequence[str]:
        """What the parts advise."""
        return [sentence for part in PARTS for sentence in part.advice(results)]


def _part(setup: Setup, arm: str) -> Part:
    return next(part for part in PARTS if arm in (each.name for each in part.arms(setup)))


def _exactness(results: Results) -> str:
    """Whether arms that are asked the same say the same."""
    arms = [arm for part in PARTS for arm in part.arms(results.setup)]
    pairs = [(arm.name, arm.against) for arm in arms if arm.against != SEPARATE]
    wrong = [a for a, b in (*pairs, (FIRST, SHARED)) if not same_answers(results, a, b)]
    if not wrong:
        return "What is asked alike is answered alike, token for token, in every way."
    return f"Answers differ where they must not: {', '.join(wrong)}."


def _draw(figure: Figure, found: Sequence[tuple[int, Worth]]) -> None:
    axes = figure.subplots()
    strips(
        axes,
        [worth.name for _, worth in found],
        [worth.each for _, worth in found],
        [worth.ratio for _, worth in found],
        [COLOURS[number] for number, _ in found],
    )
    axes.set_xscale("log", base=2)
    ticks = [
        t for t in (0.5, 1, 2, 4, 8, 16, 32, 64) if t <= max(w.each.max() for _, w in found) * 1.2
    ]
    axes.set_xlim(0.45, None)
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel("times as soon")
