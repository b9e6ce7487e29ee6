"""Questions about one document against questions about documents of their own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from outrider.lab.experiment import Arm, Bench, Cell, Measured, Plot, Setup, Table
from outrider.lab.experiments.words import times
from outrider.lab.neighbours.part import (
    MS,
    PLAIN,
    Part,
    Worth,
    after,
    answers,
    ask,
    by_group,
    group_of,
    mean,
    worth,
)
from outrider.lab.results import Results
from outrider.lab.statistics import Finding, finding
from outrider.lab.variants import Variant
from outrider.style import COLOURS, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STREAMS: Final = 4
LENGTH: Final = 512
SHORTER: Final = 256
ANSWER: Final = 1
APART: Final = 5
"""Passages between the beginnings of documents that differ."""

SEPARATE: Final = "a document each"
SHARED: Final = "one document, all at once"
FIRST: Final = "one document, one first"
WAYS: Final = (SEPARATE, SHARED, FIRST)


class PrefixesPart(Part):
    """The same questions, of which all begin alike or none."""

    every = 2

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Separate; shared and asked at once; shared, with one question ahead of the others."""
        variant = Variant(max_streams=STREAMS)
        return [
            Arm(name=name, settings=PLAIN, streams=STREAMS, against=SEPARATE, variant=variant)
            for name in WAYS
        ]

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """Until every answer has begun."""
        host, length = bench.host(arm), SHORTER if bench.setup.quick else LENGTH
        length = min(length, bench.setup.context // 2)
        prompts = [
            after(host.llm, p, length, cell.group + (APART * i if arm.name == SEPARATE else 0))
            for i, p in enumerate(group_of(bench, cell, STREAMS))
        ]
        ahead = 1 if arm.name == FIRST else 0
        start = time.perf_counter()
        streams = ask(host, prompts[:ahead] or prompts, [ANSWER] * (ahead or len(prompts)))
        for stream in streams[:ahead]:
            next(stream)  # the document is read
        later = time.perf_counter()
        if ahead:
            streams += [host.stream(prompt, ANSWER) for prompt in prompts[ahead:]]
        samples = (
            *answers(host, cell, prompts[:ahead], streams[:ahead], begun=True),
            *answers(host, cell, prompts[ahead:], streams[ahead:]),
        )
        waited = max(s.usage.first_token_ms for s in samples[ahead:])
        return Measured(samples=samples, values={MS: (later - start) * 1000 * ahead + waited})

    def worth(self, results: Results) -> Sequence[Worth]:
        """Both ways of sharing."""
        return [worth(name, results, name, SEPARATE) for name in (SHARED, FIRST)]

    def finding(self, results: Results) -> str:
        """Both ways."""
        together, first = self.worth(results)
        return (
            f"{STREAMS} questions about one document have all begun to be answered "
            f"{times(first.ratio)} times as soon as {STREAMS} about a document each, if one of "
            f"them goes ahead and the others follow when its answer begins. All at once it is "
            f"{times(together.ratio)} times: what nobody has read yet cannot be shared."
        )

    def advice(self, results: Results) -> Sequence[str]:
        """One first."""
        found = worth("", results, FIRST, SHARED)
        if finding(found.ratio) is not Finding.FASTER:
            return ()
        return (
            "Of several questions about one document ask one first, and the others when its "
            f"answer begins: {times(found.ratio)} times as soon as all at once.",
        )

    def plot(self, results: Results) -> Plot:
        """Milliseconds until all have begun."""
        return Plot(
            "neighbours-prefixes",
            f"Milliseconds until {STREAMS} answers have begun: every group of questions a dot, "
            "the bar their mean.",
            lambda figure: _draw(figure, results),
            height=0.42,
        )

    def table(self, results: Results) -> Table:
        """All three."""
        rows = []
        for name in WAYS:
            samples = results.samples(name)
            tokens, cached = (
                sum(each) / len(results.of(name))
                for each in (
                    (len(s.prompt_tokens) for s in samples),
                    (s.usage.cached_tokens for s in samples),
                )
            )
            rows.append(
                (
                    name,
                    f"{tokens:.0f}",
                    f"{cached:.0f}",
                    f"{mean(results, name):.0f}",
                    "1" if name == SEPARATE else times(worth("", results, name, SEPARATE).ratio),
                )
            )
        return Table(
            (
                f"{STREAMS} questions",
                "tokens of the prompts",
                "found in the cache",
                "all begun, ms",
                "times separate",
            ),
            rows,
        )


def _draw(figure: Figure, results: Results) -> None:
    axes = figure.subplots()
    for row, name in enumerate(WAYS):
        values = [ms for each in by_group(results, name).values() for ms in each]
        axes.barh(row, mean(results, name), 0.6, color=COLOURS[row], alpha=0.35)
        axes.plot(values, [row] * len(values), "o", color=COLOURS[row], alpha=0.6, markersize=4)
        axes.vlines(mean(results, name), row - 0.3, row + 0.3, color=INK, linewidth=2)
    axes.set_yticks(range(len(WAYS)), WAYS)
    axes.set_ylim(len(WAYS) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.yaxis.grid(False)
    axes.set_xlabel(f"ms until all {STREAMS} have begun")
