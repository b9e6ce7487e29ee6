"""What the measurements of plans and of servers show alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outrider.lab.contest import Progress
    from outrider.lab.statistics import Interval


@contextmanager
def show_answers() -> Iterator[Progress]:
    """A listener that shows a bar on standard error."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        expand=True,
        transient=True,
    ) as bar:
        task = bar.add_task("warming up", total=None)
        yield lambda done, total: bar.update(
            task, completed=done, total=total, description="answers"
        )


def show_times(interval: Interval | None) -> str:
    """A ratio with its interval."""
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.2f}"
    return f"{interval.value:.2f} ({interval.low:.2f}-{interval.high:.2f})"
