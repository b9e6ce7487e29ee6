"""A laboratory course on speculative decoding, walked part by part with the measurements of runs.

The course is the one many have taken with llama.cpp: baseline, speculation, K, temperature,
alignment, an implementation of one's own, and production. Each part says which of its commands is
which of ours, and has the tables that its students fill in: empty, or filled from runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outrider import registry
from outrider.lab import course_tables as tables
from outrider.lab.course import QUESTIONS, Answer
from outrider.lab.course_tables import Sheet
from outrider.lab.evidence import Evidence
from outrider.lab.experiment import Table


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the course.

    Attributes:
        title: its heading.
        commands: what the course does, and our command for it.
        experiments: that measure what it asks for, those that the lab may lack included.
        sheets: the tables to fill in.
        questions: the keys of those it asks.
    """

    title: str
    commands: Sequence[tuple[str, str]]
    experiments: Sequence[str] = ()
    sheets: Sequence[Sheet] = ()
    questions: Sequence[str] = ()


PARTS = (
    Part(
        "Setup and baseline",
        (
            ("`wget … target.gguf; wget … draft.gguf`", "outrider pull MODEL"),
            (
                "`llama-cli -m TARGET -p PROMPT -n 100 --temp 0.7`",
                "outrider generate -m TARGET --no-speculation --max-tokens 100 "
                "--temperature 0.7 PROMPT",
            ),
        ),
        ("baseline",),
        (tables.BASELINE,),
        ("throughput",),
    ),
    Part(
        "Basic speculative decoding",
        (
            (
                "`llama-cli -m TARGET --draft DRAFT -p PROMPT`",
                "outrider generate -m TARGET --draft-model DRAFT PROMPT",
            ),
            ("`--draft-debug`", "outrider generate --draft-debug PROMPT"),
            ("`speedup = baseline_time / spec_time`", "outrider bench speed"),
            ("the theoretical maximum, by hand", "outrider theory --alpha 0.75 --c 0.1"),
        ),
        ("speculation", "acceptance"),
        (tables.SPECULATION,),
        ("speedup", "maximum", "acceptance"),
    ),
    Part(
        "The length K",
        (
            (
                "`--draft-n K`",
                "outrider generate --controller fixed --num-draft-tokens K PROMPT",
            ),
        ),
        ("k-sweep",),
        (tables.K_SWEEP,),
        ("length", "doubling"),
    ),
    Part(
        "Temperature",
        (("`--temp TEMP`", "outrider generate --temperature TEMP --draft-debug PROMPT"),),
        ("temperature",),
        (tables.TEMPERATURE,),
        ("temperature", "stops"),
    ),
    Part(
        "Alignment of draft and target",
        (
            (
                "`--draft OTHER`, of another family",
                "outrider generate --draft-model OTHER PROMPT  # through text, if need be",
            ),
            ("`--draft DRAFT`, aligned", "outrider generate --draft-model DRAFT PROMPT"),
            ("without a second model", "outrider generate --drafter early_exit PROMPT"),
        ),
        ("alignment", "speculation"),
        (tables.ALIGNMENT,),
        ("alignment", "break-even"),
    ),
    Part(
        "An implementation of one's own",
        (
            ("`python speculative_decoding.py`", "python examples/speculative_decoding.py"),
            (
                "acceptance thresholds",
                "outrider generate --verification typical:epsilon=0.1 PROMPT",
            ),
            ("`TODO: adaptive K`", "outrider generate --controller threshold PROMPT"),
            ("multi-draft models", "outrider generate --drafter mixed PROMPT"),
            ("tree-based speculation", "outrider generate --drafter recycle PROMPT"),
        ),
        ("acceptance-rules", "adaptive", "trees"),
        (tables.ADAPTIVE,),
    ),
    Part(
        "Production",
        (
            (
                "`llama-parallel -m TARGET --draft DRAFT -f prompts.txt -n 100`",
                "outrider generate -m TARGET --draft-model DRAFT --prompts prompts.txt "
                "--max-tokens 100",
            ),
            (
                "`calculate_memory(7, 70)`",
                "outrider memory --target-params 70B --draft-params 7B --bits 16 --batch 1",
            ),
            ("`nvidia-smi`", "outrider doctor"),
        ),
        ("batch", "memory", "neighbours", "quantization", "peers"),
        (tables.BATCH, tables.MEMORY),
        ("batching", "memory"),
    ),
)


@dataclass(frozen=True, slots=True)
class Filled:
    """A table of a part.

    Attributes:
        run: the name of the run that it is filled from; None where it is empty.
        table: as it stands.
    """

    run: str | None
    table: Table


@dataclass(frozen=True, slots=True)
class Walked:
    """A part with what runs have of it.

    Attributes:
        part: of the course.
        experiments: of the part that are installed.
        tables: filled, one for each run that has it, or empty.
        answers: to its questions.
    """

    part: Part
    experiments: Sequence[str]
    tables: Sequence[Filled]
    answers: Sequence[Answer]


def walk(evidence: Sequence[Evidence], answers: Sequence[Answer]) -> list[Walked]:
    """The parts in their order, filled from what was measured, or empty.

    Args:
        evidence: of runs; none leaves tables blank.
        answers: to the course's questions.
    """
    by_key = {answer.question.key: answer for answer in answers}
    known = registry.names("experiments")
    return [
        Walked(
            part,
            [name for name in part.experiments if name in known],
            [table for sheet in part.sheets for table in _filled(sheet, evidence)],
            [by_key[key] for key in part.questions],
        )
        for part in PARTS
    ]


def _filled(sheet: Sheet, evidence: Sequence[Evidence]) -> list[Filled]:
    """A table for each run that fills it, or an empty one."""
    found = [
        Filled(each.run, sheet.fill(each.paired))
        for each in evidence
        if each.paired is not None and each.experiment.name == sheet.experiment
    ]
    return found or [Filled(None, sheet.fill(None))]


def numbers() -> dict[str, int]:
    """The number of each question, from 1, by its key."""
    return {question.key: number for number, question in enumerate(QUESTIONS, start=1)}
