"""`outrider evaluate`: a file of answers, graded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outrider.cli.judging import JudgeOptions, warn_withheld
from outrider.cli.options import AcceptTerms, Floor, Json, command
from outrider.cli.output import console, note, print_json, warn
from outrider.errors import UsageError

if TYPE_CHECKING:
    from outrider.strategies.answering.evaluation import Evaluation, Figures


@command
def evaluate(
    answers: Annotated[
        Path,
        typer.Argument(metavar="ANSWERS.jsonl", help="What `outrider answer -o` wrote."),
    ],
    *,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="OTHER.jsonl",
            help="Another run of the same questions; may be given several times.",
        ),
    ] = None,
    judging: JudgeOptions,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page. [default: ANSWERS.html, beside the answers]"),
    ] = None,
    no_page: Annotated[bool, typer.Option("--no-page", help="Write no page.")] = False,
    floor: Floor = None,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Grade the answers of a run, and lay the failures out on a page.

    Mathematics is compared by math-verify, choices by their letter, and words by name, aliases
    included. A judge is asked about the words that differ, and only in subjects in which it
    agrees with known answers (Cohen's kappa of at least 0.4); elsewhere its score is withheld.

    Score = 0.6 accuracy + 0.4 latency, each relative to the best run given. Exit status 1 where
    the floor is not reached, or a judge's score is withheld.
    """
    from outrider.strategies.answering import evaluation  # noqa: PLC0415
    from outrider.strategies.answering import page as paging  # noqa: PLC0415

    if page is not None and no_page:
        raise UsageError("Give either --page or --no-page, not both.")
    if floor is not None and not 0 <= floor <= 1:
        raise UsageError(f"--floor has to lie in [0, 1], not {floor:g}.")
    runs = [evaluation.read_run(path) for path in (answers, *(against or ()))]
    with judging.opened(accept_terms=accept_terms) as judge:
        found = evaluation.evaluate(runs, judge, listener=note)
    target = None if no_page else page or answers.with_suffix(".html")
    if target is not None:
        write(target, paging.render(found))
    reached = floor is None or (found[0].overall.accuracy or 0.0) >= floor
    if json:
        print_json(_record(found, judge=judging.name, page=target, floor=floor))
    else:
        show(found)
        if target is not None:
            note(f"page: {target}")
    withheld = warn_withheld(found[0])
    if not reached:
        warn(f"{paging.share(found[0].overall.accuracy)} right is below the floor of {floor:.1%}.")
    if withheld or not reached:
        raise typer.Exit(1)


def write(path: Path, text: str) -> None:
    """Write a page.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The page {path} cannot be written: {error.strerror}.") from error


def show(found: list[Evaluation]) -> None:
    """Figures by subject, the judge, kinds of failures, and the runs side by side."""
    from rich.table import Table  # noqa: PLC0415

    from outrider.strategies.answering.page import kappa, refusals, share  # noqa: PLC0415

    out, first = console(), found[0]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("subject", overflow="fold")
    for heading in ("right", "of", "accuracy", "95% interval", "s/question", "accepted"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in first.subjects:
        low, high = row.interval
        table.add_row(
            row.name,
            str(row.correct),
            str(row.questions),
            share(row.accuracy),
            f"{low:.1%} – {high:.1%}" if row.questions else "–",
            f"{row.seconds:.2f}",
            share(row.acceptance_rate),
            style="bold" if row is first.overall else None,
        )
    out.print(table)
    if (said := refusals(first)) is not None:
        out.print(f"\n{said}")
    if first.agreement:
        out.print("\n[bold]The judge on known answers[/bold]")
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("subject", overflow="fold")
        for heading in ("answers", "agrees", "no verdict", "kappa", "counts"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, agreed in first.agreement.items():
            table.add_row(
                name,
                str(len(agreed.known)),
                str(agreed.agreed),
                str(agreed.undecided),
                kappa(agreed.kappa),
                "yes" if agreed.trusted else "withheld",
            )
        out.print(table)
    if first.failures or first.run.unanswered:
        out.print("\n[bold]Failures[/bold]")
        for failure, answers in first.failures.items():
            out.print(f"{len(answers):5} {failure.value}")
        if first.run.unanswered:
            out.print(f"{len(first.run.unanswered):5} not answered")
    out.print(
        f"\n{_seconds(first.run.total_seconds)} s in all, {first.overall.median_seconds:.2f} s the "
        "median question"
    )
    if len(found) == 1:
        out.print("score: give other runs with --against to stand beside")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("run", overflow="fold")
    for heading in ("accuracy", "seconds", "rel. accuracy", "rel. latency", "score"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        table.add_row(
            one.run.name,
            share(one.overall.accuracy),
            _seconds(one.run.total_seconds),
            f"{one.score.accuracy:.3f}",
            f"{one.score.latency:.3f}",
            f"{one.score.value:.3f}",
        )
    out.print()
    out.print(table)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _record(
    found: list[Evaluation], *, judge: str | None, page: Path | None, floor: float | None
) -> dict[str, Any]:
    return {
        "answers": str(found[0].run.path),
        "judge": judge,
        "floor": floor,
        "page": None if page is None else str(page),
        "runs": [_run_record(one) for one in found],
        "agreement": agreement_record(found[0]),
        "failures": {
            failure.value: [one.answered.id for one in answers]
            for failure, answers in found[0].failures.items()
        },
        "verdicts": [
            {
                "id": one.answered.id,
                "subject": one.answered.subject,
                "gold": one.answered.gold,
                "answer": one.answered.answer,
                "correct": one.correct,
                "by": one.by,
                "reason": one.reason,
                "failure": None if one.failure is None else one.failure.value,
            }
            for one in found[0].graded
        ],
    }


def agreement_record(found: Evaluation) -> dict[str, Any]:
    """How the judge rated known answers, by subject."""
    return {
        name: {
            "answers": len(agreed.known),
            "agreed": agreed.agreed,
            "undecided": agreed.undecided,
            "kappa": agreed.kappa,
            "trusted": agreed.trusted,
        }
        for name, agreed in found.agreement.items()
    }


def _run_record(one: Evaluation) -> dict[str, Any]:
    return {
        "path": str(one.run.path),
        "total_seconds": one.run.total_seconds,
        "unanswered": list(one.run.unanswered),
        "left_out": [answer.id for answer in one.left_out],
        "score": one.score.value,
        "relative_accuracy": one.score.accuracy,
        "relative_latency": one.score.latency,
        "subjects": {row.name: _figures_record(row) for row in one.subjects},
    }


def _figures_record(row: Figures) -> dict[str, Any]:
    low, high = row.interval
    return {
        "questions": row.questions,
        "correct": row.correct,
        "accuracy": row.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "judged": row.judged,
        "seconds": row.seconds,
        "median_seconds": row.median_seconds,
        "tokens": row.tokens,
        "draft_tokens": row.draft_tokens,
        "accepted_tokens": row.accepted_tokens,
        "acceptance_rate": row.acceptance_rate,
    }
