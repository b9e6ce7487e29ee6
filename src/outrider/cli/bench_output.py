"""What the measurements of plans and of servers show alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from outrider.cli.output import show_bar

if TYPE_CHECKING:
    from outrider.lab.contest import Progress
    from outrider.lab.statistics import Interval


@contextmanager
def show_answers() -> Iterator[Progress]:
    """A listener that shows a bar on standard error."""
    with show_bar("warming up") as bar:
        yield lambda done, total: bar(done, total, "answers")


def show_times(interval: Interval | None) -> str:
    """A ratio with its interval."""
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.2f}"
    return f"{interval.value:.2f} ({interval.low:.2f}-{interval.high:.2f})"
