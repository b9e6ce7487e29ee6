"""`outrider lab`: experiments, their runs and reports."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from outrider.cli.lab_output import show_conclusion
from outrider.cli.lab_run import retry, run
from outrider.cli.options import Json, command
from outrider.cli.output import console, print_json

app = typer.Typer(
    help="Measure what speculation does here, with pictures and a report.\n\n"
    "A first look: outrider lab run speculation k-sweep --quick -o DIR",
    no_args_is_help=True,
    rich_markup_mode=None,
)


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
    out = console()
    out.print(table)
    out.print("\nRun some of them: outrider lab run NAME... -o DIR")


app.command("run")(run)
app.command("retry")(retry)


@app.command("report")
@command
def report(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Folders of runs, finished or not.")
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
    """Write the report of a run, or one of several.

    It says when to speculate, with which settings and what to watch for, as far as the measurements
    support it, and answers the twelve questions of `outrider lab course`, each with the picture
    that the answer rests on. Several runs have to be of one model on one machine. The report is
    written as Markdown and as one HTML page.
    """
    from outrider.errors import UsageError  # noqa: PLC0415
    from outrider.lab import report as pages  # noqa: PLC0415
    from outrider.lab.run_folder import RunFolder  # noqa: PLC0415

    folders = [RunFolder(directory) for directory in directories]
    if output is None and len(folders) > 1:
        raise UsageError("Say with -o DIR where the report of several runs is to be written.")
    show_conclusion(pages.story(folders, output or folders[0].path))


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
    """Say whether speculation gains the same in two runs.

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
        typer.Argument(metavar="DIR", help="Folders of runs to fill the tables from."),
    ] = None,
) -> None:
    """Walk through a course on speculative decoding, in seven parts.

    Each part has the course's commands with ours beside them, its tables, and its questions: empty,
    or filled from runs. The output is Markdown.
    """
    from outrider.lab import report as pages  # noqa: PLC0415
    from outrider.lab.run_folder import RunFolder  # noqa: PLC0415

    typer.echo(pages.course([RunFolder(each) for each in directories or []]), nl=False)
