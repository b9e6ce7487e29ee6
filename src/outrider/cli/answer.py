"""`outrider answer`: a file of questions through a profile, into a file of answers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outrider.cli import answer_report
from outrider.cli.cascade_files import asks_servers, is_cascade, open_cascade
from outrider.cli.judging import JudgeOptions, warn_withheld
from outrider.cli.options import (
    AcceptTerms,
    CacheOptions,
    Floor,
    Json,
    Limit,
    MachineOptions,
    Seed,
    SpeculationOptions,
    command,
)
from outrider.cli.output import note, print_json
from outrider.cli.session import load_model
from outrider.errors import UsageError
from outrider.models.catalogue import DEFAULT_MODEL

if TYPE_CHECKING:
    from outrider.generators import AnyGenerator
    from outrider.strategies.answering.evaluation import Evaluation
    from outrider.strategies.answering.pipeline import Outcome
    from outrider.strategies.answering.profile import Profile
    from outrider.strategies.answering.questions import Question
    from outrider.strategies.cascade import OwnSampling

SAMPLE = 20
"""Questions of a quick run."""

QUICK_OUTPUT = Path("quick-answers.jsonl")
"""Where a quick run without -o leaves its answers, anew each time."""

REMOTE_STREAMS = 8
"""Questions that a server is asked at the same time, unless told otherwise."""


@command
def answer(
    questions: Annotated[
        Path | None,
        typer.Argument(
            metavar="QUESTIONS",
            help="JSON, JSON lines or CSV with `question`, and optionally `id`, `subject`, "
            "`answer` and `aliases`. [default: 500 of our own]",
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
    limit: Limit = None,
    seed: Seed = None,
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
            help=f"Answer a sample ({SAMPLE}, or --limit), grade it and report: one command. "
            f"Without -o it begins anew, in {QUICK_OUTPUT}.",
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
    floor: Floor = None,
    judging: JudgeOptions,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Answer a set of questions through a profile, subject by subject.

    --model may also name a trained cascade file (YAML or TOML), and each question ends at the
    stage that its cascade settles for.

    What the questions of a subject share is computed once. Each answer is written as it comes;
    the same command goes on where it was cut off, even by kill -9. A question that fails is
    recorded with its error, and the others are answered.

    Exit status 1 where questions stay unanswered for now, where a condition of --check fails, or
    where the score of a --judge is withheld.
    """
    from outrider.strategies.answering.checks import FLOOR, Check  # noqa: PLC0415
    from outrider.strategies.answering.checks import check as conditions  # noqa: PLC0415
    from outrider.strategies.answering.profile_file import load_profile  # noqa: PLC0415
    from outrider.strategies.answering.questions import BUILT_IN  # noqa: PLC0415
    from outrider.strategies.answering.record import facts_path  # noqa: PLC0415

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
    if judging.name is not None and not (check or quick):
        raise UsageError("--judge is for grading; give --quick or --check with it.")
    if check:
        behind_servers = {
            "--endpoint": endpoint is not None,
            "a stage of the cascade": is_cascade(machine.model)
            and asks_servers(Path(machine.model)),
            "the judge": judging.remote,
        }
        for name, needs_it in behind_servers.items():
            if needs_it:
                raise UsageError(f"--check switches the network off, and {name} needs it.")
    how = load_profile(profile)
    asked = _questions(questions or BUILT_IN, how, SAMPLE if quick and limit is None else limit)
    if check or quick:
        _try_grading(asked)
        judging.prepare(accept_terms=accept_terms)
    if output is None and facts_path(target).exists():
        target.unlink(missing_ok=True)
    attempts: list[str] = []
    found: Evaluation | None = None
    with ExitStack() as stack:
        if check:
            attempts = stack.enter_context(_offline())
        with _opened(machine, cache, speculation, endpoint, accept_terms=accept_terms) as opened:
            outcome = _answer(opened, how, asked, target, seed=seed or 0, deadline=deadline)
        if outcome.answers and (check or quick):
            found = _grade(target, judging, accept_terms=accept_terms)
    checks: list[Check] = []
    if check:
        checks = conditions(
            questions=len(asked),
            answered=len(outcome.answers),
            total_seconds=outcome.facts.total_seconds,
            accuracy=None if found is None else found.overall.accuracy,
            floor=FLOOR if floor is None else floor,
            attempts=attempts,
        )
    if json:
        print_json(answer_report.record(outcome, found, checks))
    else:
        answer_report.show(outcome, target)
        if found is not None:
            answer_report.show_grades(found, target.with_suffix(".html"))
        answer_report.show_checks(checks)
    withheld = found is not None and warn_withheld(found)
    if outcome.unanswered or withheld or not all(one.passed for one in checks):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What answers, and what is to be known of it."""

    generator: AnyGenerator | OwnSampling
    model: str
    fingerprint: str
    streams: int
    speculation: bool


def _questions(path: Path, profile: Profile, limit: int | None) -> list[Question]:
    from outrider.strategies.answering.questions import (  # noqa: PLC0415
        read_questions,
        sample_evenly,
    )

    questions = read_questions(path)
    return questions if limit is None else sample_evenly(questions, limit, profile.assign.key)


def _try_grading(questions: list[Question]) -> None:
    """Say now, not when all is answered, if answers cannot be graded."""
    from outrider.tasks import mathematics  # noqa: PLC0415
    from outrider.tasks.graders import is_mathematics  # noqa: PLC0415

    if any(question.gold and is_mathematics(question.gold) for question in questions):
        mathematics.equal("x + 1", "1 + x")


def _grade(target: Path, judging: JudgeOptions, *, accept_terms: bool) -> Evaluation:
    """The run, graded; the model that answered has gone, so that a judge finds room."""
    from outrider.strategies.answering.evaluation import evaluate, read_run  # noqa: PLC0415

    with judging.opened(accept_terms=accept_terms) as judge:
        listener = (lambda text: None) if judge is None else note
        return evaluate([read_run(target)], judge, listener=listener)[0]


@contextmanager
def _offline() -> Iterator[list[str]]:
    """No network; models say so in their own words before a connection would."""
    from outrider.models.download import OFFLINE_VARIABLES  # noqa: PLC0415
    from outrider.strategies.answering.offline import no_network  # noqa: PLC0415

    os.environ[OFFLINE_VARIABLES[0]] = "1"
    with no_network() as attempts:
        yield attempts


@contextmanager
def _opened(
    machine: MachineOptions,
    cache: CacheOptions,
    speculation: SpeculationOptions,
    endpoint: str | None,
    *,
    accept_terms: bool,
) -> Iterator[_Opened]:
    if is_cascade(machine.model):
        with _opened_cascade(machine, cache, speculation, endpoint, accept_terms) as opened:
            yield opened
        return
    if endpoint is None:
        with load_model(machine, cache, speculation, accept_terms=accept_terms) as llm:
            speculates = llm.speculation and not llm.plan.plain
            fingerprint = llm.model.fingerprint
            if speculates and llm.plan.verification != "coupled":
                fingerprint += f", {llm.plan.verification}"  # other answers than plain decoding's
            yield _Opened(llm, machine.model, fingerprint, llm.max_streams, speculates)
        return
    from outrider.generators import open_generator  # noqa: PLC0415

    refused = {"--threads": machine.threads} | _of_a_model(machine, cache)
    speculation.check(here=False)
    _refuse(refused, "the server decides that itself")
    named = None if machine.model == DEFAULT_MODEL else machine.model
    with open_generator(named, endpoint=endpoint) as server:
        name = f"{endpoint.partition('#')[0]}#{server.model}"
        yield _Opened(server, name, name, cache.max_streams or REMOTE_STREAMS, False)


@contextmanager
def _opened_cascade(
    machine: MachineOptions,
    cache: CacheOptions,
    speculation: SpeculationOptions,
    endpoint: str | None,
    accept_terms: bool,
) -> Iterator[_Opened]:
    """The cascade of a file in the model's place."""
    from outrider.strategies.cascade import OwnSampling  # noqa: PLC0415

    refused = {"--endpoint": endpoint} | _of_a_model(machine, cache)
    _refuse(refused, f"the stages of {machine.model} say that themselves")
    opened = open_cascade(
        Path(machine.model), machine.threads, speculation, accept_terms=accept_terms
    )
    with opened as cascade:
        note(f"{machine.model}: its stages ask in their own ways, with their own sampling")
        streams = cache.max_streams or cascade.concurrency
        name = machine.model
        yield _Opened(OwnSampling(cascade), name, cascade.fingerprint, streams, False)


def _of_a_model(machine: MachineOptions, cache: CacheOptions) -> dict[str, object]:
    """The options that are for one model here, with what was given."""
    return {
        "--kernel": machine.kernel,
        "--context": cache.context,
        "--cache-budget": cache.cache_budget,
    }


def _refuse(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"{name} is for a model file here; {why}.")


def _answer(
    opened: _Opened,
    profile: Profile,
    questions: list[Question],
    output: Path,
    *,
    seed: int,
    deadline: float | None,
) -> Outcome:
    from outrider.lab.environment import machine, versions  # noqa: PLC0415
    from outrider.strategies.answering.pipeline import answer_file, known_facts  # noqa: PLC0415
    from outrider.strategies.answering.run import Settings  # noqa: PLC0415

    facts = known_facts(
        profile,
        opened.model,
        speculation=opened.speculation,
        machine=machine(),
        versions=versions(),
    )
    settings = Settings(
        chat=opened.generator.has_chat_template,
        streams=opened.streams,
        seed=seed,
        deadline=deadline,
    )
    with answer_report.progress(len(questions)) as listener:
        return answer_file(
            opened.generator,
            profile,
            questions,
            output,
            settings,
            facts,
            fingerprint=opened.fingerprint,
            listener=listener,
        )
