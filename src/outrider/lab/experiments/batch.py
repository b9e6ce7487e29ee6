"""Several answers at the same time: where a batch fills the machine, and drafting stops paying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from outrider.lab.experiment import FIXED, Arm, Experiment, Plot, Section, Setup, Table
from outrider.lab.experiments.words import times
from outrider.lab.plots import break_even, whiskers
from outrider.lab.results import Results
from outrider.lab.statistics import Finding, Interval, finding
from outrider.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STREAMS = (1, 2, 4, 8, 16, 32)
LENGTH = 4
PLAIN = "plain"
BATCH_AWARE = "cost"
WAYS = (PLAIN, f"{FIXED} {LENGTH}", BATCH_AWARE)


class Batch(Experiment):
    """Streams from 1 to 32.

    Args:
        drafter: instead of the run's first one.
    """

    name: ClassVar[str] = "batch"
    title: ClassVar[str] = "Batches"
    question: ClassVar[str] = (
        "Does drafting still pay when several answers are computed at the same time?"
    )

    def __init__(self, *, drafter: str | None = None) -> None:
        self._drafter = drafter

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Plain, one length, and the batch-aware controller, at as many streams as there can be."""
        drafter = self._drafter or setup.drafter
        settings: tuple[dict[str, Any], ...] = (
            {"speculation": False},
            {"drafter": drafter, "controller": FIXED, "num_draft_tokens": LENGTH},
            {"drafter": drafter, "controller": BATCH_AWARE},
        )
        most = min(setup.max_streams, len(setup.prompts))
        return [
            Arm(
                name=_arm(way, streams),
                settings=of_way,
                streams=streams,
                against=_arm(PLAIN, streams),
            )
            for streams in STREAMS
            if streams <= most
            for way, of_way in zip(WAYS, settings, strict=True)
        ]

    def section(self, results: Results) -> Section:
        """Total and single speed by streams, and where drafting stops paying."""
        streams = _measured_at(results)
        fixed = {n: _ratio(results, WAYS[1], n) for n in streams}
        aware = {n: _ratio(results, BATCH_AWARE, n) for n in streams}
        return Section(
            findings=(
                _crossover(fixed),
                f"The controller `{BATCH_AWARE}`, which looks at the whole batch, drafts "
                f"{_drafted(results, streams[0]):.1f} tokens a step for a single answer and "
                f"{_drafted(results, streams[-1]):.1f} for each of {streams[-1]}; there it is "
                f"{times(aware[streams[-1]])} times as fast as plain decoding.",
            ),
            plots=(
                Plot(
                    "batch",
                    "Tokens a second of all answers together, by how many are computed at the "
                    "same time; below, the speed-up over plain decoding of as many.",
                    lambda figure: _draw(figure, results, streams),
                    height=1.1,
                ),
            ),
            tables=(
                Table(
                    (
                        "streams",
                        *(f"{way}, tokens/s" for way in WAYS),
                        *(f"{way}, an answer's" for way in WAYS),
                        *(f"{way}, times plain" for way in WAYS[1:]),
                    ),
                    [
                        (
                            str(n),
                            *(f"{_speed(results, way, n):.1f}" for way in WAYS),
                            *(f"{_speed(results, way, n) / n:.1f}" for way in WAYS),
                            *(times(each[n]) for each in (fixed, aware)),
                        )
                        for n in streams
                    ],
                    "tokens/s: of all answers together, from the first token of any to the last.",
                ),
            ),
        )

    def answers(self, results: Results) -> Mapping[str, str]:
        """What becomes of a speed-up in a batch."""
        return {"batching": " ".join(self.section(results).findings)}

    def advice(self, results: Results) -> Sequence[str]:
        """From how many answers on to shorten drafts."""
        ratios = {n: _ratio(results, WAYS[1], n) for n in _measured_at(results)}
        slower = [n for n, ratio in ratios.items() if finding(ratio) is Finding.SLOWER]
        if not slower:
            return ()
        return (
            f"With {_answers(min(slower))} or more, draft less than {LENGTH} tokens each, or leave "
            f"it to the controller `{BATCH_AWARE}`.",
        )


def _measured_at(results: Results) -> list[int]:
    return [n for n in STREAMS if all(results.of(_arm(way, n)) for way in WAYS)]


def _arm(way: str, streams: int) -> str:
    return f"{way}, {streams} stream{'s' if streams > 1 else ''}"


def _ratio(results: Results, way: str, streams: int) -> Interval | None:
    return results.figures(_arm(way, streams), _arm(PLAIN, streams)).speedup


def _speed(results: Results, way: str, streams: int) -> float:
    return results.figures(_arm(way, streams), _arm(PLAIN, streams)).tokens_per_second


def _drafted(results: Results, streams: int) -> float:
    """Tokens that the batch-aware controller drafts for an answer in a step."""
    figures = results.figures(_arm(BATCH_AWARE, streams), _arm(PLAIN, streams))
    return figures.rows_per_step - 1.0


def _crossover(fixed: dict[int, Interval | None]) -> str:
    """From how many streams on drafts of one length are slower than none."""
    what = f"drafting {LENGTH} tokens for every answer"
    slower = [n for n, ratio in fixed.items() if finding(ratio) is Finding.SLOWER]
    most = max(fixed)
    if slower:
        return (
            f"With {_answers(min(slower))} {what} is slower than drafting none "
            f"({times(fixed[min(slower)])}): the draft should be shorter there."
        )
    below = [n for n, ratio in fixed.items() if ratio is not None and ratio.value < 1.0]
    if below:
        return (
            f"From {_answers(min(below))} on {what} may be slower than drafting "
            f"none ({times(fixed[min(below)])}), but that is undecided."
        )
    return f"Up to {_answers(most)} {what} is nowhere slower than drafting none."


def _answers(count: int) -> str:
    return f"{count} answers at the same time" if count > 1 else "a single answer"


def _draw(figure: Figure, results: Results, streams: Sequence[int]) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True)
    for number, way in enumerate(WAYS):
        speeds = [_speed(results, way, n) for n in streams]
        upper.plot(streams, speeds, marker="o", color=COLOURS[number], label=way)
        if way != PLAIN:
            ratios = [_ratio(results, way, n) for n in streams]
            whiskers(lower, streams, ratios, color=COLOURS[number])
    for axes in (upper, lower):
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
    break_even(lower)
    upper.set_ylabel("tokens a second")
    upper.legend(loc="upper left")
    lower.set_ylabel("times plain")
    lower.set_xlabel("answers at the same time")
    lower.set_xticks(streams, [str(n) for n in streams])
    lower.minorticks_off()
