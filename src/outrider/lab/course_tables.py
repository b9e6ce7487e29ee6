"""The tables that students of the course fill in: empty, or filled from an experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from outrider.lab.experiment import FIXED, PLAIN_ARM, Table
from outrider.lab.experiments.adaptive import CONTROLLERS
from outrider.lab.experiments.adaptive import LENGTHS as FIXED_LENGTHS
from outrider.lab.experiments.batch import LENGTH, STREAMS, WAYS
from outrider.lab.experiments.k_sweep import LENGTHS
from outrider.lab.experiments.temperature import TEMPERATURES
from outrider.lab.experiments.words import share, times
from outrider.lab.results import Results
from outrider.lab.statistics import Finding, finding

BLANK: Final = "_______"

TIME: Final = "Time is that of an answer, from the question to its last token, on average."

CHARACTERS: Final = {0.1: "Focused", 0.5: "Balanced", 0.7: "Default", 1.0: "Creative"}
"""What the course notes beside temperatures."""

HOTTER: Final = "Very random"

PAYS: Final = {
    Finding.FASTER: "faster",
    Finding.SLOWER: "slower",
    Finding.UNDECIDED: "undecided",
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of the course.

    Attributes:
        experiment: that fills it.
        fill: the table from its results; blank without any.
    """

    experiment: str
    fill: Callable[[Results | None], Table]


def _baseline(found: Results | None) -> Table:
    cells = (BLANK, BLANK)
    if found is not None:
        speed = found.figures(PLAIN_ARM.name).tokens_per_second
        cells = (_seconds(found, PLAIN_ARM.name), f"{speed:.1f}")
    return Table(("", "Time (s)", "Tokens/sec"), [("plain", *cells)], TIME)


def _speculation(found: Results | None) -> Table:
    rows: list[tuple[str, ...]] = [("", *[BLANK] * 4)]
    if found is not None:
        rows = [
            (
                drafter,
                _seconds(found, drafter),
                f"{found.figures(drafter).tokens_per_second:.1f}",
                times(found.total(drafter)),
                _accepted(found, drafter),
            )
            for drafter in found.setup.drafters
            if found.of(drafter)
        ]
    return Table(("Draft", "Time (s)", "Tokens/sec", "Speedup", "Acceptance"), rows, TIME)


def _lengths(found: Results | None) -> Table:
    rows = []
    for length in LENGTHS:
        arm, cells = f"K={length}", (BLANK, BLANK, BLANK)
        if found is not None and found.of(arm):
            speed = found.figures(arm).tokens_per_second
            cells = (_seconds(found, arm), f"{speed:.1f}", times(found.total(arm)))
        rows.append((str(length), *cells))
    return Table(("K", "Time (s)", "Tokens/sec", "Speedup"), rows, TIME)


def _temperatures(found: Results | None) -> Table:
    rows = []
    for at in TEMPERATURES:
        arm, plain = f"coupled at {at:g}", f"plain at {at:g}"
        note = "Greedy" if at == 0.0 else CHARACTERS.get(at, HOTTER)
        cells = (BLANK, BLANK, note)
        if found is not None and found.of(arm) and found.of(plain):
            figures = found.figures(arm, plain)
            cells = (
                share(figures.usage.acceptance_rate),
                f"{figures.tokens_per_second:.1f}",
                f"{note}; {times(found.total(arm, plain))} times plain",
            )
        rows.append((f"{at:g}", *cells))
    return Table(("Temperature", "Avg Acceptance", "Throughput", "Notes"), rows)


def _alignment(found: Results | None) -> Table:
    rows: list[tuple[str, ...]] = [
        (draft, *[BLANK] * 3) for draft in ("aligned", "of another family")
    ]
    if found is not None:
        arms = [(d, f"{d}, {FIXED} {LENGTH}") for d in found.setup.drafters]
        rows = [
            (
                drafter,
                _accepted(found, arm),
                times(found.total(arm)),
                PAYS[finding(found.total(arm))],
            )
            for drafter, arm in sorted(
                ((d, arm) for d, arm in arms if found.of(arm)),
                key=lambda each: -found.figures(each[1]).usage.acceptance_rate,
            )
        ]
    return Table(
        ("Draft", "Acceptance", "Speedup", "Than plain"),
        rows,
        f"With {LENGTH} tokens drafted at every step; the best aligned draft comes first.",
    )


def _adaptive(found: Results | None) -> Table:
    rows = []
    for arm in (*(f"K={length}" for length in FIXED_LENGTHS), *CONTROLLERS):
        cells = (BLANK, BLANK, BLANK)
        if found is not None and found.of(arm):
            drafted = found.figures(arm).rows_per_step - 1.0
            cells = (f"{drafted:.2f}", _accepted(found, arm), times(found.total(arm)))
        rows.append((arm, *cells))
    return Table(
        ("K", "Drafted a step", "Acceptance", "Speedup"),
        rows,
        "Below the fixed lengths, those that follow the text.",
    )


def _batch(found: Results | None) -> Table:
    rows = []
    for streams in STREAMS:
        # The names of an experiment's arms are part of its records.
        plain, *drafting = (f"{way}, {streams} stream{'s' if streams > 1 else ''}" for way in WAYS)
        cells: tuple[str, ...] = (BLANK,) * len(WAYS)
        if found is not None and found.of(plain):
            speed = found.figures(plain, plain).tokens_per_second
            ratios = [times(found.figures(arm, plain).speedup) for arm in drafting]
            cells = (f"{speed:.1f}", *ratios)
        rows.append((str(streams), *cells))
    return Table(
        ("Prompts at once", "Tokens/sec, plain", *(f"Speedup, {way}" for way in WAYS[1:])), rows
    )


def _memory(found: Results | None) -> Table:
    rows: list[tuple[str, ...]] = [("", BLANK, BLANK)]
    if found is not None:
        rows = [
            (
                arm,
                f"{sum(values[part] for part in ('weights', 'cache', 'scratch')) / 1e6:.0f}",
                f"{(values['measured_weights'] + values['measured_used']) / 1e6:.0f}",
            )
            for arm in found.arms
            for values in [found.of(arm)[0].values]
        ]
    return Table(("Streams × context", "Calculated (MB)", "Measured (MB)"), rows)


def _accepted(found: Results, arm: str) -> str:
    usage = found.figures(arm).usage
    return share(usage.acceptance_rate) if usage.draft_tokens else "–"


def _seconds(results: Results, arm: str) -> str:
    """Of an answer on average, from the question to its last token."""
    taken = [sample.usage.total_ms for sample in results.samples(arm)]
    return f"{sum(taken) / len(taken) / 1000:.2f}"


BASELINE: Final = Sheet("baseline", _baseline)
SPECULATION: Final = Sheet("speculation", _speculation)
K_SWEEP: Final = Sheet("k-sweep", _lengths)
TEMPERATURE: Final = Sheet("temperature", _temperatures)
ALIGNMENT: Final = Sheet("speculation", _alignment)
ADAPTIVE: Final = Sheet("adaptive", _adaptive)
BATCH: Final = Sheet("batch", _batch)
MEMORY: Final = Sheet("memory", _memory)
