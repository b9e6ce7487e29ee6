"""What goes where: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from outrider import models
    from outrider.models.download import Listener
    from outrider.types import Usage


HELD_BACK = 24
"""Characters of a growing word that are held back at most."""

PATIENCE = 0.5
"""Seconds that the loading of a model may take before a bar shows how far it is."""

REDRAWN = 0.5
"""Seconds after which a bar is drawn anew, at the earliest."""

RETOLD = 60.0
"""Seconds after which a line says how far it is where there is no terminal, at the earliest."""


def print_json(values: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    text = json.dumps(values, ensure_ascii=False, indent=2)
    # Lists of numbers on one line. Within a JSON string there is no line end to be mistaken.
    typer.echo(re.sub(r"\[\n[-+.,\d\seE]+\]", lambda m: " ".join(m[0].split()), text))


class AnswerWriter:
    """Writes an answer to standard output as it comes.

    On a terminal no word is broken at the end of a line: the one that is still growing is held
    back. Elsewhere the text goes out as it is.

    Args:
        width: of the terminal in cells; None asks it, and means no wrapping where there is none.
    """

    def __init__(self, width: int | None = None) -> None:
        if width is None and sys.stdout.isatty():
            width = shutil.get_terminal_size().columns
        self._width = width
        self._column = 0
        self._word = ""
        self._painted = ""  # the word with its colours
        self._within = False  # a word whose beginning has been written

    def write(self, text: str, colour: str | None = None) -> None:
        """A piece of it."""
        if self._width is None:
            sys.stdout.write(_paint(text, colour))
        else:
            for part in re.findall(r"\n|[^\S\n]+|\S+", text):
                self._take(part, colour, self._width)
        sys.stdout.flush()

    def finish(self) -> None:
        """The word that was held back, and a new line."""
        self._put_word(self._width or 0)
        sys.stdout.write("\n")
        sys.stdout.flush()
        self._column = 0

    def aside(self, line: str) -> None:
        """A line on standard error; where a terminal shows both, it begins a line of its own."""
        if self._width is not None and sys.stderr.isatty():
            self._put_word(self._width)
            self._within = True
            if self._column:
                sys.stdout.write("\n")
                sys.stdout.flush()
                self._column = 0
        note(line)

    def _take(self, part: str, colour: str | None, width: int) -> None:
        if not part.isspace():
            self._word += part
            self._painted += _paint(part, colour)
            # Scripts without spaces, and long addresses, are not kept waiting.
            if len(self._word) > HELD_BACK:
                self._put_word(width)
                self._within = True
            return
        self._put_word(width)
        self._within = False
        if part == "\n":
            sys.stdout.write(part)
            self._column = 0
        elif self._column + len(part) < width:
            sys.stdout.write(part)
            self._column += len(part)
        else:  # the line is full: the next word begins another, and needs no blank
            self._column = width

    def _put_word(self, width: int) -> None:
        from rich.cells import cell_len  # noqa: PLC0415

        cells = cell_len(self._word)
        full = self._column + cells > width and (cells <= width or self._column == width)
        if cells and self._column and full and not self._within:
            sys.stdout.write("\n")
            self._column = 0
        sys.stdout.write(self._painted)
        self._column += cells
        if width and self._column > width:  # the terminal has broken the line itself
            self._column = self._column % width or width
        self._word = self._painted = ""


def _paint(text: str, colour: str | None) -> str:
    return text if colour is None else typer.style(text, fg=colour)


def has_colours() -> bool:
    """Whether standard output shows colours, and its user wants them (NO_COLOR, FORCE_COLOR)."""
    known = console()
    return known.color_system is not None and not known.no_color


def note(text: str) -> None:
    """A line about what happens, on standard error; dim where that is a terminal."""
    typer.secho(text, dim=True, err=True)


def warn(text: str) -> None:
    """A line that matters, on standard error."""
    typer.secho(text, fg="yellow", err=True)


def console() -> Console:
    """Where tables go: standard output, as wide as the terminal."""
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False)


def facts(title: str) -> Table:
    """A table without lines: names on the left, values on the right."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
    table.title_style = "bold"
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


@contextmanager
def show_progress() -> Iterator[Listener]:
    """A listener that shows bars on standard error.

    A download has one from its first news on; the loading of a model only on a terminal, and once
    it has taken `PATIENCE`.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        expand=True,
        transient=True,
    )
    current: tuple[str, str] | None = None
    begun = 0.0

    def listen(progress: models.Progress) -> None:
        nonlocal current, begun
        loading = progress.phase == "load"
        if current != (progress.phase, progress.source):
            current, begun = (progress.phase, progress.source), monotonic()
            for task in bars.task_ids:
                bars.remove_task(task)
            if not loading:
                resumed = f", resumed at {size(progress.done)}" if progress.done else ""
                bars.start()
                bars.console.print(f"{progress.name} from {progress.source}{resumed}", style="dim")
        if loading and not (bars.console.is_terminal and monotonic() - begun >= PATIENCE):
            return
        if not bars.task_ids:
            bars.start()
            name = f"loading {progress.name}" if loading else progress.name
            # The bytes of earlier attempts are no part of this one's speed.
            bars.add_task(name, total=progress.total, completed=progress.done)
        bars.update(bars.task_ids[0], completed=progress.done, total=progress.total)

    try:
        yield listen
    finally:
        if bars.live.is_started:
            bars.stop()


class Bar(Protocol):
    """What moves a bar on."""

    def __call__(
        self, done: int, total: int, what: str | None = None, left_ms: float | None = None
    ) -> None:
        """Say how far it is, what was done last, and what the rest will take."""


Say = Callable[[str, int, int, str], None]
"""Says of what how much is done of how much, and the time left."""


@contextmanager
def show_bar(title: str, *, in_bytes: bool = False) -> Iterator[Bar]:
    """A bar on standard error, for whatever takes long.

    It is drawn when it is told something, twice a second at most, and never in between: a bar that
    redraws itself would do so while something is measured. The time left is what it is told, or
    else by what the others took. Where there is no terminal, it is a line a minute.

    Args:
        title: what is done, until the bar is told otherwise.
        in_bytes: what is counted are bytes.
    """
    from rich.console import Console  # noqa: PLC0415

    terminal = Console(stderr=True)
    drawing = terminal.is_terminal
    pause, said = (REDRAWN, -math.inf) if drawing else (RETOLD, monotonic())
    begun, first, known = 0.0, 0, (title, 0)
    with _drawn(title, terminal, in_bytes) if drawing else nullcontext(_lines(in_bytes)) as say:

        def tell(
            done: int, total: int, what: str | None = None, left_ms: float | None = None
        ) -> None:
            nonlocal begun, first, known, said
            now = monotonic()
            if known != (known := (what or title, total)):
                begun, first = now, done
            whole = drawing and done >= total
            if now - said < pause and not whole:
                return
            said = now
            if left_ms is None and done > first:
                left_ms = 1000 * (now - begun) * (total - done) / (done - first)
            left = "" if left_ms is None else f"{duration(left_ms)} left"
            say(known[0], done, total, left)

        yield tell


@contextmanager
def _drawn(title: str, terminal: Console, in_bytes: bool) -> Iterator[Say]:
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn() if in_bytes else MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(
        *columns, console=terminal, auto_refresh=False, expand=True, transient=True
    ) as bars:
        task = bars.add_task(title, total=None, left="")
        bars.refresh()

        def say(what: str, done: int, total: int, left: str) -> None:
            bars.update(task, completed=done, total=total, description=what, left=left)
            bars.refresh()

        yield say


def _lines(in_bytes: bool) -> Say:
    def say(what: str, done: int, total: int, left: str) -> None:
        count = f"{size(done)} of {size(total)}" if in_bytes else f"{done}/{total}"
        note(", ".join(filter(None, (f"{what} {count}", left))))

    return say


def duration(ms: float) -> str:
    """Milliseconds for people: 95000 is 1:35."""
    minutes, seconds = divmod(round(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def beginning(text: str, characters: int = 60) -> str:
    """The beginning of a text, as Python writes it, on one line."""
    shown = repr(text[:characters])
    return shown if len(text) <= characters else f"{shown} …"


def size(count: float) -> str:
    """Bytes for people: 98362432 is 98.4 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def summary(usage: Usage, *more: str) -> str:
    """One line about one answer's speed; two on a narrow terminal."""
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    parts = [
        f"{usage.completion_tokens} tokens, {usage.tokens_per_second:.1f}/s",
        f"first after {usage.first_token_ms:.0f} ms",
        f"prompt {usage.prompt_tokens}{cached}",
    ]
    if usage.draft_tokens:
        parts.append(f"drafts {usage.acceptance_rate:.0%} accepted")
    lines, width = [""], shutil.get_terminal_size().columns
    for part in (*parts, *more):
        if lines[-1] and len(lines[-1]) + 3 + len(part) > width:
            lines.append("")
        lines[-1] += f" · {part}" if lines[-1] else part
    return "\n".join(lines)
