"""A long prompt read in chunks or in one piece, while others wait for their next token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from outrider.decode import PREFILL_CHUNK
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

CHUNKS: Final = (32, 64, 128, PREFILL_CHUNK)
FEWER: Final = (64, PREFILL_CHUNK)
DECODING: Final = 3
"""Answers that are on their way when the long prompt comes."""

LEAST: Final = 24
"""Tokens of those answers: they have to outlast it."""

ANSWER: Final = 1
WHOLE: Final = "one piece"
ENDLESS: Final = 1 << 16
"""Rows of a chunk that holds every prompt; a pass takes fewer."""

FIRST_TOKEN: Final = "first_token_ms"


class PrefillPart(Part):
    """Chunks of several sizes, and one."""

    every = 2

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Each size of chunk; one piece is what they are held against."""
        settings = {**PLAIN, "ignore_eos": True}
        sizes = {_arm(rows): rows for rows in (FEWER if setup.quick else CHUNKS)}
        return [
            Arm(
                name=name,
                settings=settings,
                streams=DECODING,
                against=WHOLE,
                variant=Variant(max_streams=DECODING + 1, prefill_chunk=rows),
            )
            for name, rows in ({WHOLE: ENDLESS} | sizes).items()
        ]

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """The longest that the others wait for a token, and how long the long prompt waits."""
        host, setup = bench.host(arm), bench.setup
        prompts = group_of(bench, cell, DECODING)
        # One pass has to take all of it, with the rows of the others and the chat template.
        rows = host.llm.engine.capabilities.max_rows * 3 // 4
        length = min(rows, setup.context // 2)
        long = after(host.llm, prompts[0], length, cell.group)
        tokens = max(setup.max_tokens, LEAST)
        streams = ask(host, prompts, [tokens] * len(prompts))
        for stream in streams:
            next(stream)
        late = host.stream(long, ANSWER)
        others = answers(host, cell, prompts, streams, begun=True)
        (newcomer,) = answers(host, cell, [long], [late])
        waits = [ms for s in others for each in s.passes.values() for ms in each]
        return Measured(
            samples=(*others, newcomer),
            values={MS: max(waits), FIRST_TOKEN: newcomer.usage.first_token_ms},
        )

    def worth(self, results: Results) -> Sequence[Worth]:
        """What the others wait less."""
        return [worth(f"{name}: others' wait", results, name, WHOLE) for name in _chunked(results)]

    def finding(self, results: Results) -> str:
        """The smallest chunks against one piece, for both sides."""
        smallest = _chunked(results)[0]
        wait = worth("", results, smallest, WHOLE)
        own = worth("", results, smallest, WHOLE, FIRST_TOKEN)
        whole, chunked = (mean(results, name) for name in (WHOLE, smallest))
        first = [mean(results, name, FIRST_TOKEN) for name in (WHOLE, smallest)]
        return (
            f"A long prompt in one piece makes others wait {whole:.0f} ms for a token; in "
            f"{smallest} it is {chunked:.0f} ms, {times(wait.ratio)} times as short. Its own first "
            f"token comes after {first[1]:.0f} ms instead of {first[0]:.0f}, {times(own.ratio)} "
            "times as soon."
        )

    def advice(self, results: Results) -> Sequence[str]:
        """Smaller chunks than usual, where others wait less for them."""
        usual = _arm(PREFILL_CHUNK)
        shorter = [name for name in _chunked(results) if name != usual]
        if not shorter or not results.of(usual):
            return ()
        found = worth("", results, shorter[0], usual)
        own = worth("", results, shorter[0], usual, FIRST_TOKEN)
        if finding(found.ratio) is not Finding.FASTER:
            return ()
        return (
            f"Where answers must flow evenly while long prompts come, read those in {shorter[0]} "
            f"(`LLM(prefill_chunk={shorter[0].rpartition(' ')[2]})`): the longest wait for a token "
            f"is {times(found.ratio)} times as short as in {usual}, and the long prompt's own "
            f"first token comes {times(own.ratio)} times as soon.",
        )

    def plot(self, results: Results) -> Plot:
        """What the others wait against what the newcomer waits."""
        return Plot(
            "neighbours-prefill",
            f"A long prompt comes while {DECODING} answers are on their way: the longest that "
            "these wait for a token, against the time to the long prompt's first token, by the "
            "size of the chunks. Every group of prompts a dot, the mean a ring.",
            lambda figure: _draw(figure, results),
        )

    def table(self, results: Results) -> Table:
        """By size."""
        rows = []
        for name in (*_chunked(results), WHOLE):
            ratios = (
                times(worth("", results, name, WHOLE, key).ratio) if name != WHOLE else "1"
                for key in (MS, FIRST_TOKEN)
            )
            values = (mean(results, name), mean(results, name, FIRST_TOKEN))
            rows.append((name, *(f"{ms:.0f}" for ms in values), *ratios))
        return Table(
            (
                "prompts are read in",
                "others' longest wait, ms",
                "its first token, ms",
                "times as short a wait",
                "times as soon a first token",
            ),
            rows,
        )


def _arm(rows: int) -> str:
    return f"chunks of {rows}"


def _chunked(results: Results) -> list[str]:
    """The arms with chunks, the smallest first."""
    return [_arm(rows) for rows in CHUNKS if results.of(_arm(rows))]


def _draw(figure: Figure, results: Results) -> None:
    axes = figure.subplots()
    names = [*_chunked(results), WHOLE]
    places = [(mean(results, name, FIRST_TOKEN), mean(results, name)) for name in names]
    axes.plot(*zip(*places, strict=True), color=INK, linewidth=1, zorder=1)
    for number, (name, place) in enumerate(zip(names, places, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        waits, firsts = (by_group(results, name, key) for key in (MS, FIRST_TOKEN))
        axes.plot(
            [ms for each in firsts.values() for ms in each],
            [ms for each in waits.values() for ms in each],
            "o",
            color=colour,
            alpha=0.35,
            markersize=4,
        )
        axes.plot(
            *place,
            "o",
            markersize=11,
            markeredgecolor=colour,
            markerfacecolor="none",
            markeredgewidth=2,
        )
        axes.annotate(name, place, xytext=(9, 7), textcoords="offset points", color=INK)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("ms to the long prompt's first token")
    axes.set_ylabel("ms that others wait for a token")
