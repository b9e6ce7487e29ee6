"""`outrider cascade`: collect graded answers, train a predictor, draw the curve, answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outrider.cli.cascade_files import (
    Answers,
    Family,
    File,
    PredictorFile,
    Threads,
    WishOptions,
    beside,
    existing,
    open_ladder,
    read_predictor,
    read_settings,
    write,
)
from outrider.cli.cascade_run import run
from outrider.cli.options import AcceptTerms, Json, SpeculationOptions, command
from outrider.cli.output import console, note, print_json, size, warn
from outrider.errors import OutriderError, UsageError

if TYPE_CHECKING:
    from outrider.lab.cascade_figures import Evaluation
    from outrider.strategies.cascade import CascadeSettings
    from outrider.tasks import Task

app = typer.Typer(
    help="Let the cheapest model answer first, and ask a dearer one only where that pays.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("collect")
@command
def collect(
    cascade: File,
    *,
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK",
            help="Questions: a set's name, a generator such as arithmetic:count=500,levels=1-6, or "
            "a file; may be given several times. [default: those of the cascade file]",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", help="Take only N questions of each task; 0 only times."),
    ] = None,
    timing: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Ask each stage N questions alone as well, to measure what its answers take.",
        ),
    ] = 0,
    answers: Answers = None,
    threads: Threads = None,
    speculation: SpeculationOptions,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Ask every stage every question, and grade and keep what it says.

    A run that is cut off goes on where it was. Measure times (--timing) while nothing else runs.
    """
    from outrider import tasks  # noqa: PLC0415
    from outrider.strategies.cascade import AnswerFile, collect  # noqa: PLC0415

    settings = read_settings(cascade)
    if limit is not None and limit < 0:
        raise UsageError(f"--limit has to be at least 0, not {limit}.")
    if timing < 0:
        raise UsageError(f"--timing has to be at least 0, not {timing}.")
    if limit == 0 and not timing:
        raise UsageError("--limit 0 asks nothing, and is for --timing N.")
    wanted = task or settings.tasks
    if not wanted:
        raise UsageError(f"Name questions with --task, or as tasks in {cascade}.")
    loaded = [tasks.load(name, limit=limit or None) for name in wanted]
    path = answers or beside(cascade, ".answers.jsonl")
    file = AnswerFile(path, settings)
    with open_ladder(settings, threads, speculation, accept_terms=accept_terms) as ladder:
        done = collect(
            ladder,
            loaded,
            file,
            timing=timing,
            only_timing=limit == 0,
            listener=None if json else _Progress(),
        )
    values = {
        "answers": str(path),
        "asked": done.asked,
        "kept": done.kept,
        "failed": done.failed,
        "accuracy": _accuracies(file, settings, loaded),
    }
    if json:
        print_json(values)
    else:
        _show_collection(values, settings)
    if done.failed:
        raise OutriderError(
            f"{len(done.failed)} questions were not answered and are asked again by the next run; "
            f"the first: {done.failed[0]}"
        )


@app.command("train")
@command
def train(
    cascade: File,
    *,
    answers: Answers = None,
    predictor: PredictorFile = None,
    json: Json = False,
) -> None:
    """Fit and calibrate the quality predictor on collected answers."""
    from outrider.strategies.cascade import AnswerFile, train  # noqa: PLC0415
    from outrider.strategies.cascade.costs import stage_costs  # noqa: PLC0415

    settings = read_settings(cascade)
    file = AnswerFile(existing(answers or beside(cascade, ".answers.jsonl"), "collect"), settings)
    names = [stage.name for stage in settings.stages]
    costs = stage_costs(
        settings,
        {name: file.timings(name) for name in names},
        {name: [c.answer for c in file.found if c.answer.stage == name] for name in names},
    )
    if any(cost.source == "measured among others" for cost in costs):
        warn(
            "Times were measured while several questions ran; "
            "`outrider cascade collect --limit 0 --timing 24` measures them alone."
        )
    questions = file.questions(partial=True)
    made = train(questions, settings, costs)
    path = predictor or beside(cascade, ".predictor.json")
    made.save(path)
    held_out = sum(len(q.answers) == len(names) for q in questions) - len(made.training)
    if json:
        print_json(
            {
                "predictor": str(path),
                "trained": len(made.training),
                "held_out": held_out,
                "regressor": made.kind,
                "calibration": [p.calibration.method for p in made.predictors],
                "costs": [cost.record() for cost in costs],
            }
        )
        return
    note(
        f"{path}: {len(made.training)} questions trained it ({made.kind}, calibrated by "
        f"{made.predictors[0].calibration.method}); {held_out} are held out for `eval`."
    )


@app.command("eval")
@command
def evaluate(
    cascade: File,
    *,
    answers: Answers = None,
    predictor: PredictorFile = None,
    policy: Family = "stopping",
    wishes: WishOptions,
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="Only questions of this task, as collected."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The report, as .md and .html. [default: CASCADE.report]",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Draw quality against cost on held-out questions, and report.

    The report is written as Markdown and as a page with pictures. With --budget, --quality,
    --early-stop-rate, --lambda or --preference it also says how the λ that training finds for that
    does on the held-out questions.
    """
    from importlib.util import find_spec  # noqa: PLC0415

    from outrider.lab.cascade_eval import evaluate  # noqa: PLC0415
    from outrider.lab.cascade_record import record  # noqa: PLC0415
    from outrider.lab.cascade_report import sections  # noqa: PLC0415
    from outrider.lab.pages import markdown, page  # noqa: PLC0415
    from outrider.strategies.cascade import AnswerFile  # noqa: PLC0415
    from outrider.strategies.cascade.ladder import sizes  # noqa: PLC0415

    settings = read_settings(cascade)
    made = read_predictor(cascade, predictor)
    file = AnswerFile(existing(answers or beside(cascade, ".answers.jsonl"), "collect"), settings)
    questions, partial = file.questions(), file.questions(partial=True)
    made.check(settings)
    made.check_answers(partial)
    if task:
        known = sorted({q.task for q in questions})
        for name in task:
            if name not in known:
                raise UsageError(f"No question of {name!r} was collected; of: {', '.join(known)}.")
        questions = [q for q in questions if q.task in task]
        partial = [q for q in partial if q.task in task]
    found = evaluate(
        settings,
        made,
        questions,
        family=policy,
        sizes=sizes(settings),
        partial=partial,
        wish=wishes.wish(),
    )
    pictures = find_spec("matplotlib") is not None
    if not pictures:
        warn("The report has no plots; `pip install 'outrider[cascade]'` brings matplotlib.")
    base = output or beside(cascade, ".report")
    base = base.with_suffix("") if base.suffix in (".md", ".html") else base
    title = f"Cascade: {', '.join(row.name for row in found.stages)}"
    parts = sections(found, pictures=pictures)
    written = {".md": markdown(title, parts), ".html": page(title, parts)}
    for suffix, text in written.items():
        write(base.with_name(base.name + suffix), text)
    if json:
        print_json(record(found))
        return
    _show_evaluation(found)
    note(f"report: {base}.md and {base}.html")


app.command("run")(run)


class _Progress:
    """Says how far a collection is, once for every tenth of a stage."""

    def __init__(self) -> None:
        self._said: tuple[str, int] | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        tenth = done * 10 // total
        if (stage, tenth) != self._said and (tenth or done == total):
            self._said = (stage, tenth)
            note(f"{stage}: {done} of {total}")


def _accuracies(file: Any, settings: CascadeSettings, tasks: list[Task]) -> dict[str, Any]:
    """Share of right answers by task and stage."""
    found: dict[str, dict[str, list[bool]]] = {}
    for one in file.found:
        if not one.timed:
            by_stage = found.setdefault(one.task, {})
            by_stage.setdefault(one.answer.stage, []).append(one.correct)
    names = [stage.name for stage in settings.stages]
    asked = dict.fromkeys(task.name.partition(":")[0] for task in tasks)
    return {
        task: {
            name: sum(right) / len(right)
            for name in names
            if (right := found.get(task, {}).get(name))
        }
        for task in asked
    }


def _show_collection(values: dict[str, Any], settings: CascadeSettings) -> None:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("right", overflow="fold")
    for stage in settings.stages:
        table.add_column(stage.name, justify="right")
    for task, found in values["accuracy"].items():
        cells = (found.get(stage.name) for stage in settings.stages)
        table.add_row(task, *("–" if cell is None else f"{cell:.1%}" for cell in cells))
    console().print(table)
    note(f"{values['answers']}: {values['asked']} answers now, {values['kept']} before")


def _show_evaluation(found: Evaluation) -> None:
    from rich.table import Table  # noqa: PLC0415

    from outrider.lab.cascade_report import verdicts, wished  # noqa: PLC0415

    out = console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("stage", "right", "ms", found.unit, "tokens", "size", "load"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for row in found.stages:
        table.add_row(
            row.name,
            f"{row.accuracy.value:.1%}",
            f"{row.ms:.0f}",
            f"{row.cost:.4g}",
            f"{row.tokens:.0f}",
            size(row.size),
            "–" if row.loading_s is None else f"{row.loading_s:.1f} s",
        )
    out.print(table)
    out.print()
    for sentence in (*verdicts(found), *wished(found)):
        out.print(sentence)
