"""`outrider answer`: a file of questions through a profile, into a file of answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outrider.cli.options import (
    AcceptTerms,
    CacheOptions,
    Json,
    MachineOptions,
    SpeculationOptions,
    command,
)
from outrider.cli.output import note, print_json
from outrider.cli.session import load_model
from outrider.errors import OutriderError, UsageError

if TYPE_CHECKING:
    from outrider.strategies.answering.checks import Check
    from outrider.strategies.answering.pipeline import Outcome
    from outrider.strategies.answering.profile import Profile
    from outrider.strategies.answering.questions import Question
    from outrider.types import Generator

SAMPLE = 20
"""Questions of a quick run."""

QUICK_OUTPUT = Path("quick.jsonl")


@command
def answer(
    questions: Annotated[
        Path | None,
        typer.Argument(
            help="JSON, JSON lines or CSV with `question`, and optionally `id`, `subject`, "
            "`answer` and `aliases`. [default: 500 of our own]"
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where answers go, a JSON object a line; a run that was cut off there goes on.",
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How questions are asked: step-by-step, plain, or a TOML file.",
        ),
    ] = "step-by-step",
    machine: MachineOptions,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask this OpenAI-compatible server instead of a file."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", help="Take only N questions, evenly over their subjects."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="Each question's seed is derived from it and its place."),
    ] = 0,
    deadline: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="End within this time, loading left out: later questions may say less.",
        ),
    ] = None,
    cache: CacheOptions,
    speculation: SpeculationOptions,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help=f"Answer a sample ({SAMPLE}, or --limit), grade it and report: one command.",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Switch the network off, grade, and fail unless the run was offline, complete, "
            "fast enough (14.4 s a question, 7200 s in all) and right often enough.",
        ),
    ] = False,
    floor: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Right answers that --check asks for. [default: 0.1]"),
    ] = None,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Answer a set of questions through a profile, subject by subject.

    What the questions of a subject share is computed once. Each answer is written as it comes;
    the same command goes on where it was cut off, even by kill -9. A question that fails is
    recorded with its error, and the others are answered.

    Exit status 1 where questions stay unanswered for now, or where a condition of --check fails.
    """
    from outrider.strategies.answering.checks import FLOOR  # noqa: PLC0415
    from outrider.strategies.answering.profile import load_profile  # noqa: PLC0415
    from outrider.strategies.answering.questions import BUILT_IN  # noqa: PLC0415

    if output is None and not quick:
        raise UsageError("Give the file for the answers, as -o FILE.jsonl.")
    target = output or QUICK_OUTPUT
    if target.suffix != ".jsonl":
        raise UsageError(f"Answers are written as JSON lines; name a file .jsonl, not {target}.")
    if floor is not None and not check:
        raise UsageError("--floor is a condition of --check; give both.")
    if floor is not None and not 0 <= floor <= 1:
        raise UsageError(f"--floor has to lie in [0, 1], not {floor}.")
    if deadline is not None and deadline <= 0:
        raise UsageError(f"--deadline has to be above 0 seconds, not {deadline:g}.")
    if endpoint is not None and check:
        raise UsageError("--check switches the network off, and --endpoint needs it.")
    how = load_profile(profile)
    asked = _questions(questions or BUILT_IN, how, SAMPLE if quick and limit is None else limit)
    with ExitStack() as stack:
        attempts: list[str] = []
        if check:
            attempts = stack.enter_context(_offline())
        generator, facts = stack.enter_context(
            _opened(machine, cache, speculation, endpoint, accept_terms=accept_terms)
        )
        outcome = _run(generator, how, asked, target, facts, seed, deadline, show=not json)
        _ = attempts, FLOOR
    if json:
        print_json(_record(outcome))
    if outcome.unanswered:
        raise typer.Exit(1)
