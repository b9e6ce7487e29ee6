"""What goes where: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from outrider.models import Progress
    from outrider.models.download import Listener
    from outrider.types import Choice, Completion, TokenLogprob, Usage


def print_json(values: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(values, ensure_ascii=False, indent=2))


def write(text: str) -> None:
    """A piece of an answer, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


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
def download_progress() -> Iterator[Listener]:
    """A listener that shows a bar on standard error, from the first news of a download on."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress as Bars,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        expand=True,
        transient=True,
    )
    source = ""

    def listen(progress: Progress) -> None:
        nonlocal source
        if progress.source != source:
            source = progress.source
            for task in bars.task_ids:
                bars.remove_task(task)
            resumed = f", resumed at {size(progress.done)}" if progress.done else ""
            bars.start()
            bars.console.print(f"{progress.name} from {source}{resumed}", style="dim")
            # The bytes of earlier attempts are no part of this one's speed.
            bars.add_task(progress.name, total=progress.total, completed=progress.done)
        bars.update(bars.task_ids[0], completed=progress.done, total=progress.total)

    try:
        yield listen
    finally:
        bars.stop()


def size(count: float) -> str:
    """Bytes for people: 98362432 is 98.4 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def summary(usage: Usage) -> str:
    """One line about one answer's speed."""
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    parts = [
        f"{usage.completion_tokens} tokens",
        f"{usage.tokens_per_second:.1f} tokens/s",
        f"first after {usage.first_token_ms:.0f} ms",
        f"prompt {usage.prompt_tokens}{cached}",
    ]
    if usage.draft_tokens:
        parts.append(f"drafts {usage.acceptance_rate:.0%} accepted")
    return " · ".join(parts)


def completion_record(completion: Completion) -> dict[str, Any]:
    """A completion with token ids, counters and the rates derived from them."""
    values: dict[str, Any] = {
        "seed": completion.seed,
        "prompt_tokens": list(completion.prompt_tokens),
        "choices": [choice_record(choice) for choice in completion.choices],
        "record": dict(completion.record),
    }
    if completion.prompt_logprobs is not None:
        values["prompt_logprobs"] = [_logprob_record(p) for p in completion.prompt_logprobs]
    return values


def choice_record(choice: Choice) -> dict[str, Any]:
    """One of a completion's choices."""
    values: dict[str, Any] = {
        "text": choice.text,
        "tokens": list(choice.tokens),
        "finish_reason": choice.finish_reason,
        "usage": usage_record(choice.usage),
    }
    if choice.logprobs is not None:
        values["logprobs"] = [_logprob_record(p) for p in choice.logprobs]
    if choice.error is not None:
        values["error"] = choice.error
    return values


def usage_record(usage: Usage) -> dict[str, Any]:
    """Counters and derived rates."""
    return {
        **asdict(usage),
        "tokens_per_second": usage.tokens_per_second,
        "acceptance_rate": usage.acceptance_rate,
        "mean_accepted_length": usage.mean_accepted_length,
    }


def _logprob_record(value: TokenLogprob) -> dict[str, Any]:
    return {
        "token": value.token,
        "logprob": value.logprob,
        "top": [{"token": token, "logprob": logprob} for token, logprob in value.top],
    }
