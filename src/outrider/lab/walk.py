"""A laboratory course on speculative decoding, walked part by part with a run's measurements.

The course is the one many have taken with llama.cpp: baseline, speculation, K, temperature,
alignment, an implementation of one's own, and production. Each part says which of its commands is
which of ours, and has the table that its students fill in: empty, or filled from a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outrider.lab.course import QUESTIONS, Answer, answered
from outrider.lab.experiment import PLAIN_ARM, Table
from outrider.lab.experiments.k_sweep import LENGTHS
from outrider.lab.experiments.temperature import TEMPERATURES
from outrider.lab.experiments.words import share, times
from outrider.lab.results import Results
from outrider.lab.run_folder import RunFolder
from outrider.lab.runs import compared, load_experiments, results_of

BLANK: Final = "_______"

Fill = Callable[[Mapping[str, Results]], Table]
"""The table of a part, from the results of experiments by their names; blank where one is not
there."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the course.

    Attributes:
        title: its heading.
        commands: the course's command, and ours.
        fill: its table; None where it has none.
        questions: the keys of those it asks.
    """

    title: str
    commands: Sequence[tuple[str, str]]
    fill: Fill | None
    questions: Sequence[str]


def _baseline(results: Mapping[str, Results]) -> Table:
    cells = [BLANK, BLANK]
    if (found := results.get("baseline")) is not None:
        figures = found.figures(PLAIN_ARM.name)
        cells = [_seconds(found, PLAIN_ARM.name), f"{figures.tokens_per_second:.1f}"]
    return Table(("", "Time (s)", "Tokens/sec"), [("plain", *cells)], _TIME)


def _speculation(results: Mapping[str, Results]) -> Table:
    rows: list[tuple[str, ...]] = [("", BLANK, BLANK, BLANK, BLANK)]
    if (found := results.get("speculation")) is not None:
        rows = [
            (
                drafter,
                _seconds(found, drafter),
                f"{(figures := found.figures(drafter)).tokens_per_second:.1f}",
                times(found.total(drafter)),
                share(figures.usage.acceptance_rate) if figures.usage.draft_tokens else "–",
            )
            for drafter in found.setup.drafters
            if found.of(drafter)
        ]
    return Table(("Drafter", "Time (s)", "Tokens/sec", "Speedup", "Accepted"), rows, _TIME)


def _lengths(results: Mapping[str, Results]) -> Table:
    found, rows = results.get("k-sweep"), []
    for length in LENGTHS:
        arm, cells = f"K={length}", (BLANK, BLANK, BLANK)
        if found is not None and found.of(arm):
            speed = found.figures(arm).tokens_per_second
            cells = (_seconds(found, arm), f"{speed:.1f}", times(found.total(arm)))
        rows.append((str(length), *cells))
    return Table(("K", "Time (s)", "Tokens/sec", "Speedup"), rows, _TIME)


def _temperatures(results: Mapping[str, Results]) -> Table:
    found, rows = results.get("temperature"), []
    for at in TEMPERATURES:
        arm, plain, cells = f"coupled at {at:g}", f"plain at {at:g}", (BLANK, BLANK, BLANK)
        if found is not None and found.of(arm) and found.of(plain):
            figures = found.figures(arm, plain)
            cells = (
                share(figures.usage.acceptance_rate),
                f"{figures.tokens_per_second:.1f}",
                f"{times(found.total(arm, plain))} times plain",
            )
        rows.append((f"{at:g}", *cells))
    return Table(("Temperature", "Avg Acceptance", "Throughput", "Notes"), rows)


def _memory(results: Mapping[str, Results]) -> Table:
    rows: list[tuple[str, ...]] = [("", BLANK, BLANK)]
    if (found := results.get("memory")) is not None:
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


_TIME: Final = "Time is that of an answer, from the question to its last token, on average."

PARTS: Final = (
    Part(
        "Setup and baseline",
        (
            ("wget … .gguf", "outrider pull MODEL"),
            (
                "llama-cli -m TARGET -p PROMPT -n 100 --temp 0.7",
                "outrider generate -m TARGET --no-speculation --max-tokens 100 "
                "--temperature 0.7 PROMPT",
            ),
            ("time …, by hand", "outrider lab run baseline -o DIR"),
        ),
        _baseline,
        ("throughput",),
    ),
    Part(
        "Basic speculative decoding",
        (
            (
                "llama-cli -m TARGET --draft DRAFT -p PROMPT",
                "outrider generate -m TARGET --draft-model DRAFT PROMPT",
            ),
            ("--draft-debug", "--draft-debug, or --show-drafts"),
            ("speedup = baseline_time / spec_time", "outrider lab run speculation -o DIR"),
        ),
        _speculation,
        ("speedup", "maximum", "acceptance"),
    ),
    Part(
        "The length K",
        (
            ("--draft-n K", "--num-draft-tokens K --controller fixed"),
            ("benchmark_k.sh, k_optimization.png", "outrider lab run k-sweep -o DIR"),
        ),
        _lengths,
        ("length", "doubling"),
    ),
    Part(
        "Temperature",
        (("for TEMP in …; do … --temp $TEMP", "outrider lab run temperature -o DIR"),),
        _temperatures,
        ("temperature", "stops"),
    ),
    Part(
        "Alignment of draft and target",
        (
            (
                "--draft OTHER-FAMILY",
                "--draft-model OTHER-FAMILY (through text, where the tokenizers differ)",
            ),
            (
                "the same for an aligned pair",
                "outrider lab run speculation -o DIR --draft-model DRAFT --drafter early_exit",
            ),
        ),
        None,
        ("alignment", "break-even"),
    ),
    Part(
        "An implementation of one's own",
        (
            ("python speculative_decoding.py", "python examples/speculative_decoding.py"),
            ("TODO: adaptive K", "--controller threshold, or outrider lab run adaptive -o DIR"),
            ("multi-draft models, trees", "--drafter mixed, or outrider lab run trees -o DIR"),
        ),
        None,
        (),
    ),
    Part(
        "Production",
        (
            (
                "llama-parallel -m TARGET --draft DRAFT -f prompts.txt -n 100",
                "outrider generate -m TARGET --draft-model DRAFT --prompts prompts.txt "
                "--max-tokens 100",
            ),
            ("several prompts at a time, by hand", "outrider lab run batch -o DIR"),
            (
                "calculate_memory(7, 70)",
                "outrider memory --target-params 70B --draft-params 7B --bits 16 --batch 1",
            ),
        ),
        _memory,
        ("batching", "memory"),
    ),
)


@dataclass(frozen=True, slots=True)
class Walked:
    """A part with what a run has of it."""

    part: Part
    table: Table | None
    answers: Sequence[Answer]


def walk(folder: RunFolder | None) -> list[Walked]:
    """The parts in their order, filled from a run, or empty.

    Args:
        folder: of the run; None leaves tables blank and questions open.

    Raises:
        UsageError: the run cannot be read.
    """
    results: dict[str, Results] = {}
    told: dict[str, str] = {}
    if folder is not None:
        found = results_of(folder)
        for experiment in load_experiments(folder.description["experiments"]):
            if experiment.name not in found:
                continue
            paired = compared(experiment, found[experiment.name])
            if paired is not None:
                results[experiment.name] = paired
                told |= experiment.answers(paired)
    answers = {answer.question.key: answer for answer in answered(told)}
    return [
        Walked(
            part,
            part.fill(results) if part.fill is not None else None,
            [answers[key] for key in part.questions],
        )
        for part in PARTS
    ]


def numbers() -> dict[str, int]:
    """The number of each question, from 1, by its key."""
    return {question.key: number for number, question in enumerate(QUESTIONS, start=1)}


def _seconds(results: Results, arm: str) -> str:
    """Of an answer on average, from the question to its last token."""
    taken = [sample.usage.total_ms for sample in results.samples(arm)]
    return f"{sum(taken) / len(taken) / 1000:.2f}"
