"""How a run of questions looks: while it goes, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Any

from outrider.cli.output import console, note, warn

if TYPE_CHECKING:
    from pathlib import Path

    from outrider.strategies.answering.checks import Check
    from outrider.strategies.answering.evaluation import Evaluation
    from outrider.strategies.answering.pipeline import Outcome
    from outrider.strategies.answering.run import News
    from outrider.strategies.answering.summary import SubjectSummary

EVERY = 10.0
"""Seconds between two lines of progress where no terminal shows a bar."""

FEW = 20
"""Questions before which nobody can say how long the rest will take."""

SHOWN = 5
"""Reasons that are shown of questions without an answer."""


@contextmanager
def progress(total: int) -> Iterator[Callable[[News, int], None]]:
    """A listener that shows on standard error how far the run is and when it will end."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from outrider.strategies.answering.run import Warmed  # noqa: PLC0415

    terminal = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=terminal,
        expand=True,
        transient=True,
    )
    task = bar.add_task("answering", total=total)
    begun = spoke = monotonic()
    first: int | None = None  # done before this part of the run

    def listen(news: News, done: int) -> None:
        nonlocal spoke, first
        if isinstance(news, Warmed):
            note(
                f"{news.subject}: prefix computed once, {news.tokens - news.cached} tokens in "
                f"{news.prefill_ms:.0f} ms"
            )
            return
        if first is None:
            first = done - 1
            if first:
                note(f"going on after {first} of {total} questions")
        bar.update(task, completed=done)
        now = monotonic()
        if not terminal.is_terminal and (now - spoke >= EVERY or done == total):
            spoke = now
            text = f"{done} of {total} questions, {now - begun:.0f} s"
            if done - first >= FEW:
                left = (now - begun) / (done - first) * (total - done)
                text += f", about {left:.0f} s left"
            note(text)

    if not terminal.is_terminal:
        yield listen
        return
    with bar:
        yield listen


def show(outcome: Outcome, output: Path) -> None:
    """A table by subject, what sharing saved, and what stayed unanswered."""
    from rich.table import Table  # noqa: PLC0415

    out = console()
    table = Table(box=None, pad_edge=False, header_style="dim", collapse_padding=True)
    table.add_column("subject", overflow="fold")
    headings = (
        "asked",
        "found",
        "failed",
        "cut",
        "s each",
        "tokens",
        "shared",
        "first ms",
        "drafts",
    )
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in outcome.summaries:
        table.add_row(*_cells(one), style="bold" if one is outcome.summaries[-1] else None)
    out.print(table)
    out.print(
        "\nfound: an answer stands in the text; cut: ended at the token limit; s each: from asking "
        "to the last token, in company; shared: prompt tokens from the cache; first ms: from start "
        "to first token, in company; drafts: drafted tokens that were accepted",
        style="dim",
    )
    if (saved := outcome.facts.more.get("sharing")) is not None:
        total, computed = saved["prompt_tokens"], saved["computed_tokens"]
        out.print(
            f"\nPrompts: {total} tokens, of which {computed} were computed "
            f"({total / computed:.1f} times fewer). Prefixes took {saved['warm_ms'] / 1000:.1f} s "
            f"once; each prompt by itself would have taken {saved['alone_ms'] / 1000:.1f} s in all."
        )
    shortened = outcome.summaries[-1].shortened
    if (deadline := outcome.facts.more.get("deadline")) is not None:
        kept = "kept" if outcome.facts.total_seconds <= deadline else "missed"
        out.print(
            f"\nDeadline of {deadline:g} s {kept}: {outcome.facts.total_seconds:.1f} s. "
            f"{shortened} questions had a smaller budget than their subject allows."
        )
    total = outcome.facts.total_seconds
    out.print(
        f"\n{len(outcome.answers)} answers in {output}: {total:.1f} s, "
        f"{total / max(len(outcome.answers), 1):.2f} s a question"
        + (f"; {outcome.continued} were there before." if outcome.continued else ".")
    )
    for left in outcome.unanswered[:SHOWN]:
        warn(f"question {left.question.id} is unanswered: {left.reason}")
    if outcome.unanswered:
        warn(
            f"{len(outcome.unanswered)} questions are unanswered; the same command asks them again."
        )
    for failed in [answer for answer in outcome.answers if answer.error][:SHOWN]:
        warn(f"question {failed.id} failed: {failed.error}")


def show_grades(found: Evaluation, page: Path) -> None:
    """What was right, as `outrider evaluate` shows it, and the page with the failures."""
    from outrider.cli import evaluate  # noqa: PLC0415
    from outrider.strategies.answering.page import render  # noqa: PLC0415

    console().print()
    evaluate.show([found])
    evaluate.write(page, render([found]))
    note(f"page: {page}")


def show_checks(checks: Sequence[Check]) -> None:
    """Each condition with what was found."""
    out = console()
    if checks:
        out.print("\n[bold]Conditions[/bold]")
    for one in checks:
        mark = "[green]passed[/green]" if one.passed else "[red]failed[/red]"
        out.print(f"{mark} {one.name}: {one.text}")


def record(outcome: Outcome, found: Evaluation | None, checks: Sequence[Check]) -> dict[str, Any]:
    """The same as one object."""
    from outrider.cli.evaluate import agreement_record  # noqa: PLC0415

    values = {
        **asdict(outcome.facts),
        "answers": len(outcome.answers),
        "continued": outcome.continued,
        "seconds": outcome.seconds,
        "unanswered": [{"id": one.question.id, "reason": one.reason} for one in outcome.unanswered],
        "warmed": [asdict(one) for one in outcome.warmed],
        "subjects": [
            asdict(one) | {"cached_share": one.cached_share, "acceptance_rate": one.acceptance_rate}
            for one in outcome.summaries
        ],
    }
    if found is not None:
        values["accuracy"] = {row.name: row.accuracy for row in found.subjects}
        values["left_out"] = [answer.id for answer in found.left_out]
        values["agreement"] = agreement_record(found)
    if checks:
        values["checks"] = [asdict(one) for one in checks]
    return values


def _cells(one: SubjectSummary) -> tuple[str, ...]:
    rate = one.acceptance_rate
    return (
        one.name,
        str(one.questions),
        str(one.found),
        str(one.failed),
        str(one.cut),
        f"{one.seconds:.1f}",
        str(one.tokens),
        f"{one.cached_share:.0%}",
        f"{one.prefill_ms:.0f}",
        "-" if rate is None else f"{rate:.0%}",
    )
