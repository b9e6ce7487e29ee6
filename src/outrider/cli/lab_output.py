"""What a report of the lab says, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from outrider.cli.output import console

if TYPE_CHECKING:
    from outrider.lab.report import Report


def show_report(report: Report) -> None:
    """Show what each experiment found, and then what it comes to."""
    for chapter in report.chapters:
        _show(chapter.title, [" ".join(chapter.section.findings)])
    show_conclusion(report)


def show_conclusion(report: Report) -> None:
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
