"""The prefix cache: a prompt whose beginning has been read before, by the length of that."""

from __future__ import annotations

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
from outrider.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTHS: Final = (32, 128, 512, 2048)
FEWER: Final = (32, 128, 512)
ANSWER: Final = 1
"""Tokens: what the cache brings is over with the first."""


class CachePart(Part):
    """Documents of several lengths, read before or not."""

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """At each length that leaves half of the context to the question: without it and with."""
        return [
            Arm(name=_arm(length, cached), settings=PLAIN, against=_arm(length, False))
            for length in (FEWER if setup.quick else LENGTHS)
            if 2 * length <= setup.context
            for cached in (False, True)
        ]

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """The time to the first token; cached, another question about the document came before."""
        length, cached = next(
            (n, c) for n in LENGTHS for c in (False, True) if _arm(n, c) == arm.name
        )
        host = bench.host(arm)
        asked, other = (
            after(host.llm, p, length, cell.group) for p in (group_of(bench, cell, 2) * 2)[:2]
        )
        (stream,) = ask(host, [other if cached else asked], [ANSWER])
        if cached:
            host.answer(other, stream)
            stream = host.stream(asked, ANSWER)
        samples = answers(host, cell, [asked], [stream])
        return Measured(samples=samples, values={MS: samples[0].usage.first_token_ms})

    def worth(self, results: Results) -> Sequence[Worth]:
        """At each length."""
        return [
            worth(f"{n} tokens cached", results, _arm(n, True), _arm(n, False))
            for n in _measured_at(results)
        ]

    def finding(self, results: Results) -> str:
        """At the greatest length, and at the shortest."""
        lengths = _measured_at(results)
        short, long = self.worth(results)[0], self.worth(results)[-1]
        cold, warm = (mean(results, _arm(lengths[-1], cached)) for cached in (False, True))
        return (
            f"Where {lengths[-1]} tokens that a prompt begins with have been read before, its "
            f"first token comes after {warm:.0f} ms instead of {cold:.0f}, {times(long.ratio)} "
            f"times as soon; with {lengths[0]} tokens it is {times(short.ratio)} times."
        )

    def advice(self, results: Results) -> Sequence[str]:
        """What prompts share goes first."""
        long = self.worth(results)[-1]
        if finding(long.ratio) is not Finding.FASTER:
            return ()
        return (
            "Begin prompts with what they share, word for word, and end them with what differs: "
            f"with {long.name} the first token comes {times(long.ratio)} times as soon.",
        )

    def plot(self, results: Results) -> Plot:
        """Time to first token by length."""
        return Plot(
            "neighbours-cache",
            "Milliseconds to the first token by the length of the prompt, where nothing of it has "
            "been read before, and where all but the question has. Every prompt a dot.",
            lambda figure: _draw(figure, results),
        )

    def table(self, results: Results) -> Table:
        """By length."""
        return Table(
            (
                "tokens of the prefix",
                "of the prompt",
                "found in the cache",
                "first token, ms",
                "cached, ms",
                "times as soon",
            ),
            [
                (
                    str(n),
                    f"{_tokens(results, n):.0f}",
                    f"{_cached_tokens(results, n):.0f}",
                    f"{mean(results, _arm(n, False)):.1f}",
                    f"{mean(results, _arm(n, True)):.1f}",
                    times(found.ratio),
                )
                for n, found in zip(_measured_at(results), self.worth(results), strict=True)
            ],
            "Means over prompts. Only whole blocks of the cache are shared.",
        )


def _arm(length: int, cached: bool) -> str:
    return f"prefix of {length}{', cached' if cached else ''}"


def _measured_at(results: Results) -> list[int]:
    return [n for n in LENGTHS if results.of(_arm(n, True)) and results.of(_arm(n, False))]


def _tokens(results: Results, length: int) -> float:
    found = [len(s.prompt_tokens) for s in results.samples(_arm(length, False))]
    return sum(found) / len(found)


def _cached_tokens(results: Results, length: int) -> float:
    found = [s.usage.cached_tokens for s in results.samples(_arm(length, True))]
    return sum(found) / len(found)


def _draw(figure: Figure, results: Results) -> None:
    axes = figure.subplots()
    lengths = _measured_at(results)
    for cached, label in ((False, "read anew"), (True, "prefix cached")):
        colour = COLOURS[2 if cached else 1]
        for n in lengths:
            every = by_group(results, _arm(n, cached))
            values = [ms for repeats in every.values() for ms in repeats]
            axes.plot([n] * len(values), values, "o", color=colour, alpha=0.3, markersize=3.5)
        means = [mean(results, _arm(n, cached)) for n in lengths]
        axes.plot(lengths, means, color=colour, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(lengths, [str(n) for n in lengths])
    low, high = axes.get_ylim()
    ticks = [t * 10**e for e in range(-1, 6) for t in (1, 2, 5) if low <= t * 10**e <= high]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel("tokens of the prefix, before the question")
    axes.set_ylabel("ms to the first token")
    axes.legend(loc="upper left")
