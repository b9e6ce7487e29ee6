"""`outrider lab`: experiments, their runs and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outrider.cli.options import (
    AcceptTerms,
    CacheOptions,
    Json,
    MachineOptions,
    PromptOptions,
    Raw,
    SamplingOptions,
    SpeculationOptions,
    command,
)
from outrider.cli.output import console, note, print_json, show_bar
from outrider.cli.session import load_model

if TYPE_CHECKING:
    from outrider.lab.report import Report
    from outrider.lab.run_folder import RunFolder
    from outrider.llm import LLM

app = typer.Typer(
    help="Measure what speculation does here, with pictures and a report.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

QUICK_PROMPTS = 13
QUICK_TOKENS = 32
MAX_TOKENS = 96
REPEATS = 3
DRAFTERS = ("mixed", "recycle", "suffix", "ngram", "early_exit")
ALL = "all"

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")]


@app.command("list")
@command
def list_experiments(json: Json = False) -> None:
    """Show the experiments there are."""
    from outrider import registry  # noqa: PLC0415
    from outrider.cli.output import facts  # noqa: PLC0415

    found = {name: registry.load("experiments", name) for name in registry.names("experiments")}
    if json:
        print_json({name: {"title": e.title, "question": e.question} for name, e in found.items()})
        return
    table = facts("Experiments")
    for name, experiment in found.items():
        table.add_row(name, experiment.question)
    console().print(table)


@app.command("run")
@command
def run(
    *,
    experiments: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPERIMENT...",
            help="Names of `outrider lab list`, options behind a colon; `all` takes all but "
            "`peers`, which builds other engines first.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="DIR", help="The folder to make; it must not hold a run."
        ),
    ],
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help=f"A first look: {QUICK_PROMPTS} prompts, one a category, once, {QUICK_TOKENS} "
            "tokens each.",
        ),
    ] = False,
    machine: MachineOptions,
    prompts: PromptOptions,
    drafter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What drafts; may be given several times, and the first takes part where one "
            f"does. [default: {', '.join(DRAFTERS)}]",
        ),
    ] = None,
    draft_model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A model that drafts; it is then the first drafter."),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            metavar="N", help=f"How often each cell is measured. [default: {REPEATS}; quick: 1]"
        ),
    ] = None,
    raw: Raw = False,
    sampling: SamplingOptions,
    cache: CacheOptions,
    accept_terms: AcceptTerms = False,
) -> None:
    """Run experiments and write their report.

    The folder gets the configuration, every measurement as it is made, plots, and the report as
    Markdown and as one HTML page. A run that is interrupted goes on with `outrider lab retry`.
    """
    from outrider.drafters import quantized  # noqa: PLC0415
    from outrider.errors import UsageError  # noqa: PLC0415
    from outrider.lab import plots, runs  # noqa: PLC0415
    from outrider.lab.experiment import Setup  # noqa: PLC0415
    from outrider.lab.variants import formats  # noqa: PLC0415

    plots.check()
    names = runs.all_experiments() if experiments == [ALL] else experiments
    runs.load_experiments(names)
    settings = sampling.settings()
    max_tokens = settings.pop("max_tokens", QUICK_TOKENS if quick else MAX_TOKENS)
    if max_tokens < 2:
        raise UsageError(
            f"--max-tokens has to be at least 2, not {max_tokens}: speed is measured from the "
            "first token to the last."
        )
    if repeats is not None and repeats < 1:
        raise UsageError(f"--repeats has to be at least 1, not {repeats}.")
    drafters = tuple(drafter or DRAFTERS)
    if draft_model is not None:
        drafters = (f"model:draft_model={draft_model}", *drafters)
    many = prompts.read(QUICK_PROMPTS if quick else None)
    with load_model(machine, cache, SpeculationOptions(), accept_terms=accept_terms) as llm:
        setup = Setup(
            model=machine.model,
            prompts=tuple(many),
            drafters=drafters,
            repeats=repeats or (1 if quick else REPEATS),
            max_tokens=max_tokens,
            seed=settings.pop("seed", 0),
            raw=raw or not llm.has_chat_template,
            max_streams=llm.max_streams,
            context=llm.context,
            quick=quick,
            settings=settings,
            layers=llm.engine.layers if llm.engine.capabilities.layers else 0,
            copy_drafts=quantized.possible(llm.engine),
            formats=formats(llm),
        )
        given = {
            "experiments": experiments,
            "quick": quick,
            "machine": asdict(machine),
            "cache": asdict(cache),
            "prompts": prompts.name,
            "limit": prompts.limit,
            "drafters": drafter,
            "draft_model": draft_model,
            "repeats": repeats,
            **sampling.settings(),
        }
        folder = runs.begin(output, llm, names, setup, given)
        _measure(llm, folder)


@app.command("retry")
@command
def retry(directory: Directory, accept_terms: AcceptTerms = False) -> None:
    """Go on with a run that was interrupted, and write its report.

    What is measured stays; what is not is measured, with the same model, prompts and settings.
    """
    from outrider.lab import plots, runs  # noqa: PLC0415
    from outrider.lab.run_folder import RunFolder  # noqa: PLC0415

    plots.check()
    folder = RunFolder(directory)
    runs.setup_of(folder)
    given = folder.description["given"]
    with load_model(
        MachineOptions(**given["machine"]),
        CacheOptions(**given["cache"]),
        SpeculationOptions(),
        accept_terms=accept_terms,
    ) as llm:
        _measure(llm, folder)


@app.command("report")
@command
def report(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of runs, whole or not.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="The folder to write to; needed for several runs. [default: the run's own]",
        ),
    ] = None,
) -> None:
    """Write the report of a run, or the whole story of several, in one page.

    It says when to speculate, with which settings and what to watch for, as far as the measurements
    support it, and answers the twelve questions of the course, each with the picture that it rests
    on. Runs that are told together have to be of one model on one machine.
    """
    from outrider.errors import UsageError  # noqa: PLC0415
    from outrider.lab import report as pages  # noqa: PLC0415
    from outrider.lab.run_folder import RunFolder  # noqa: PLC0415

    folders = [RunFolder(directory) for directory in directories]
    if output is None and len(folders) > 1:
        raise UsageError("Say with -o DIR where the report of several runs is to be written.")
    _conclude(pages.story(folders, output or folders[0].path))


@app.command("compare")
@command
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The folder of another.")],
    margin: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="The least difference that is told. The same configuration gains some percent "
            "more or less from one minute to the next.",
        ),
    ] = 0.1,
    json: Json = False,
) -> None:
    """Say whether speculation brings the same in two runs.

    Speed-ups over plain decoding are compared prompt by prompt, so that a machine that was slower
    as a whole is no difference. The chance of being told of any beyond the margin where there is
    none is 5% for all comparisons together.
    """
    from rich.table import Table  # noqa: PLC0415

    from outrider.lab.compare import compare as compare_runs  # noqa: PLC0415
    from outrider.lab.run_folder import RunFolder  # noqa: PLC0415

    found = compare_runs(RunFolder(first), RunFolder(second), margin=margin)
    if json:
        print_json({**asdict(found), "verdict": found.verdict})
        return
    out = console()
    if found.settings:
        out.print("[bold]Asked differently[/bold]")
        for line in found.settings:
            out.print(line, markup=False)
        out.print()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("arm", overflow="fold")
    for heading in ("prompts", "B over A", "p", "same tokens"):
        table.add_column(heading, justify="right", no_wrap=True)
    for arm in found.arms:
        table.add_row(
            f"{arm.experiment} {arm.arm}",
            str(arm.prompts),
            f"{arm.ratio:.3f}",
            f"{arm.p:.3f}",
            f"{arm.same_tokens:.0%}",
            style="bold" if arm.differs else None,
        )
    out.print(table)
    if found.pace is not None:
        out.print(f"\nPlain decoding was {found.pace:.3f} times as fast in B.")
    out.print(f"[bold]{found.verdict}[/bold]")


@app.command("course")
@command
def course(
    directories: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DIR...]", help="Runs to fill the tables from."),
    ] = None,
) -> None:
    """Walk through a course on speculative decoding, in seven parts.

    Each part maps the course's commands to ours and has its tables and its questions: to be filled
    in, or filled from runs. The output is Markdown.
    """
    from outrider.lab import report as pages  # noqa: PLC0415
    from outrider.lab.run_folder import RunFolder  # noqa: PLC0415

    typer.echo(pages.course([RunFolder(each) for each in directories or []]), nl=False)


def _measure(llm: LLM, folder: RunFolder) -> None:
    """Measure what is left, and write the report."""
    from outrider.lab import report as pages  # noqa: PLC0415
    from outrider.lab import runs  # noqa: PLC0415

    try:
        with show_bar("warming up") as bar:
            runs.go_on(llm, folder, lambda p: bar(p.done, p.total, p.what, p.left_ms))
    except KeyboardInterrupt:
        note(f"Interrupted; `outrider lab retry {folder.path}` goes on.")
        raise
    report = pages.story([folder], folder.path)
    for chapter in report.chapters:
        _show(chapter.title, [" ".join(chapter.section.findings)])
    _conclude(report)


def _conclude(report: Report) -> None:
    """Show what a report recommends, and where it is."""
    said = report.conclusion
    _show("When to speculate", said.when)
    _show("Settings", said.settings)
    _show("What to watch for", said.watch)
    typer.echo(report.page)


def _show(title: str, sentences: Sequence[str]) -> None:
    """Sentences under a heading; nothing where there are none."""
    if sentences:
        out = console()
        out.print(title, style="bold", markup=False)
        for sentence in sentences:
            out.print(sentence, markup=False)
        out.print()
