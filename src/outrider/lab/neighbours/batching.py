"""Static batches against continuous batching, with answers of different lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from outrider.lab.experiment import Arm, Bench, Cell, Measured, Plot, Setup, Table
from outrider.lab.experiments.words import times, verdict
from outrider.lab.neighbours.part import (
    MS,
    PLAIN,
    Part,
    Worth,
    answers,
    ask,
    group_of,
    mean,
    worth,
)
from outrider.lab.records import Measurement
from outrider.lab.results import Results
from outrider.lab.statistics import Finding, finding
from outrider.lab.variants import Variant
from outrider.style import COLOURS, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STREAMS: Final = 4
PROMPTS: Final = 8
SHARES: Final = (0.25, 1.0, 0.25, 0.5, 0.25)
"""Of the longest answer, in turn: most answers are short, and some are not."""

STATIC: Final = "static batches"
CONTINUOUS: Final = "continuous batching"
LATENCY: Final = "latency_ms"


class BatchingPart(Part):
    """As many answers at a time in both; whether the next waits for one to end, or for all."""

    every = 2

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Both, with answers whose length is set."""
        settings = {**PLAIN, "ignore_eos": True}
        variant = Variant(max_streams=STREAMS)
        return [
            Arm(name=name, settings=settings, streams=STREAMS, against=STATIC, variant=variant)
            for name in (STATIC, CONTINUOUS)
        ]

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """All answers, from the first question to the last token, and when each ran."""
        host, prompts = bench.host(arm), group_of(bench, cell, PROMPTS)
        longest = bench.setup.max_tokens
        lengths = [
            max(2, round(longest * SHARES[(cell.group + place) % len(SHARES)]))
            for place in range(len(prompts))
        ]
        size = STREAMS if arm.name == STATIC else len(prompts)
        begun, samples, spans = 0.0, list(answers(host, cell, (), ())), list[list[float]]()
        for first in range(0, len(prompts), size):
            batch = slice(first, first + size)
            streams = ask(host, prompts[batch], lengths[batch])
            found = answers(host, cell, prompts[batch], streams)
            spans += [[begun + s.usage.queue_ms, begun + s.usage.total_ms] for s in found]
            samples += found
            begun = max(end for _, end in spans)
        values = {
            MS: begun,
            LATENCY: sum(end for _, end in spans) / len(spans),
            "spans": [[round(ms, 3) for ms in span] for span in spans],
        }
        return Measured(samples=tuple(samples), values=values)

    def worth(self, results: Results) -> Sequence[Worth]:
        """Of all answers together."""
        return [worth(CONTINUOUS, results, CONTINUOUS, STATIC)]

    def finding(self, results: Results) -> str:
        """All answers together, and one."""
        (whole,) = self.worth(results)
        latency = worth("", results, CONTINUOUS, STATIC, LATENCY)
        return (
            verdict("Continuous batching", whole.ratio, f"static batches of {STREAMS}")
            + f" An answer is there {times(latency.ratio)} times as soon on average."
        )

    def advice(self, results: Results) -> Sequence[str]:
        """All at once."""
        (whole,) = self.worth(results)
        if finding(whole.ratio) is not Finding.FASTER:
            return ()
        return (
            "Ask all questions at once and leave it to the scheduler which of them run "
            f"(`generate_many`, `--prompts`): {times(whole.ratio)} times as fast as batches that "
            "wait for their longest answer.",
        )

    def plot(self, results: Results) -> Plot:
        """When each answer ran, of one group."""
        return Plot(
            "neighbours-batching",
            f"The same answers {STREAMS} at a time, each a bar from its beginning to its end, of "
            "the group whose ratio is in the middle; in a bar, its tokens. In static batches the "
            "second four wait for the longest of the first; in continuous ones, for any.",
            lambda figure: _draw(figure, results),
            height=0.7,
        )

    def table(self, results: Results) -> Table:
        """Both."""
        return Table(
            ("", "all answers, ms", "an answer, ms", "times static"),
            [
                (
                    name,
                    f"{mean(results, name):.0f}",
                    f"{mean(results, name, LATENCY):.0f}",
                    "1" if name == STATIC else times(self.worth(results)[0].ratio),
                )
                for name in (STATIC, CONTINUOUS)
            ],
            f"{PROMPTS} prompts, {STREAMS} at a time; answers of a quarter, a half and the whole "
            "of the longest length, whatever they say. An answer: from the moment at which all "
            "were asked.",
        )


def lanes(spans: Sequence[Sequence[float]]) -> list[int]:
    """A lane for each span in which no other runs at the time, as few lanes as can be.

    Args:
        spans: beginnings and ends.
    """
    found = [0] * len(spans)
    ends: list[float] = []
    for number in sorted(range(len(spans)), key=lambda i: spans[i][0]):
        begin, end = spans[number]
        free = [lane for lane, until in enumerate(ends) if until <= begin]
        lane = free[0] if free else len(ends)
        ends[lane : lane + 1] = [end]
        found[number] = lane
    return found


def _shown(results: Results) -> tuple[Measurement, Measurement]:
    """The measurements of the group with the ratio in the middle."""
    static, continuous = (
        {m.group: m for m in results.of(name) if m.repeat == 0} for name in (STATIC, CONTINUOUS)
    )
    common = sorted(
        static.keys() & continuous.keys(),
        key=lambda g: static[g].values[MS] / continuous[g].values[MS],
    )
    group = common[len(common) // 2]
    return static[group], continuous[group]


def _draw(figure: Figure, results: Results) -> None:
    panels: Sequence[Axes] = figure.subplots(2, 1, sharex=True)
    for axes, measurement in zip(panels, _shown(results), strict=True):
        spans = measurement.values["spans"]
        places = lanes(spans)
        for place, (sample, (begin, end)) in enumerate(
            zip(measurement.samples, spans, strict=True)
        ):
            lane = places[place]
            axes.barh(
                lane,
                end - begin,
                0.78,
                begin,
                color=COLOURS[place // STREAMS],
                edgecolor=PAPER,
            )
            axes.text(
                begin + (end - begin) / 2,
                lane,
                str(sample.count),
                ha="center",
                va="center",
                color="white",
                fontsize=8,
            )
        axes.set_title(f"{measurement.arm}: {measurement.values[MS]:.0f} ms")
        axes.set_yticks([])
        axes.set_ylim(max(places) + 0.5, -0.5)
        axes.yaxis.grid(False)
    panels[-1].set_xlabel("ms since all were asked")
