"""`outrider bench speed --endpoint`: servers against one another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from outrider.cli.bench_output import show_answers, show_times
from outrider.cli.options import PromptOptions
from outrider.cli.output import beginning, console, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from outrider.lab.servers import ServerFigures
    from outrider.lab.speed_bench import Figures

SHOWN = 3
"""Differences of a server that are shown; `--json` has them all."""


def bench_servers(
    endpoints: Sequence[str],
    prompts: PromptOptions,
    settings: dict[str, Any],
    *,
    repeats: int,
    concurrency: int,
    raw: bool,
    json: bool,
) -> None:
    """Measure them, and show what was found."""
    from outrider.generators import open_server  # noqa: PLC0415
    from outrider.lab import server_record, servers  # noqa: PLC0415

    many = prompts.read()
    with ExitStack() as stack, show_answers() as listener:
        asked = [stack.enter_context(open_server(endpoint)) for endpoint in endpoints]
        samples = servers.contest_of_servers(
            asked,
            many,
            repeats=repeats,
            concurrency=concurrency,
            raw=raw,
            progress=listener,
            **settings,
        )
        found = servers.summarise(asked, samples, temperature=settings.get("temperature", 0.0))
    resolved = {
        "prompts": len(many),
        "repeats": repeats,
        "concurrency": concurrency,
        "raw": raw,
        "sampling": settings,
    }
    given = {
        "endpoints": [figures.name for figures in found],
        "prompts": prompts.name,
        "limit": prompts.limit,
    }
    values = server_record.record(found, samples, given, resolved)
    if json:
        print_json(values)
    else:
        _print(found, values)


def _print(found: Sequence[ServerFigures], values: dict[str, Any]) -> None:
    out = console()
    temperature = values["sampling"].get("temperature", 0.0)
    parts = [
        f"{values['prompts']} prompts × {values['repeats']}",
        "greedy" if temperature == 0 else f"temperature {temperature:g}",
        f"{values['sampling']['max_tokens']} tokens",
        f"{values['concurrency']} at a time",
    ]
    out.print(" · ".join(parts), style="bold")
    for number, figures in enumerate(found, start=1):
        out.print(f"[dim]{number}[/dim]  {figures.name}  {figures.software}", overflow="fold")
    out.print()
    out.print(_speeds(found))
    out.print()
    out.print(_answers(found))
    out.print(
        "\n(low-high): 95% interval over prompts. end to end, first: from the question on, "
        "the first time that it is asked. accepted: of the drafted tokens, cached: of the "
        "prompts'; - where the server does not say. looping: answers that say 8 words three times. "
        "same: prompts on which a server says what the first one does.",
        style="dim",
    )
    for number, figures in enumerate(found, start=1):
        for difference in figures.differences[:SHOWN]:
            out.print(
                f"\nprompt {difference.prompt}, after {difference.position} characters", style="dim"
            )
            out.print(f"1: {beginning(difference.first)}", markup=False)
            out.print(f"{number}: {beginning(difference.other)}", markup=False)
        if len(figures.differences) > SHOWN:
            out.print(f"… and {len(figures.differences) - SHOWN} more of server {number}")
    if verdict := values["verdict"]:
        out.print(f"\n[bold]{verdict}[/bold]")


def _speeds(found: Sequence[ServerFigures]) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("server", overflow="fold")
    for heading in ("tokens/s", "times 1", "end to end", "accepted"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, figures in enumerate(found, start=1):
        if number > 1:
            table.add_row()
        table.add_row(str(number), *_cells(figures.overall), style="bold")
        for name, of_category in figures.categories.items():
            table.add_row(f"  {name}", *_cells(of_category))
    return table


def _answers(found: Sequence[ServerFigures]) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("answers", overflow="fold")
    for heading in ("first, ms", "tokens", "cached", "looping", "same"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, figures in enumerate(found, start=1):
        same = figures.compared - len(figures.differences)
        table.add_row(
            str(number),
            f"{figures.first_token_ms:.0f}",
            str(figures.overall.usage.completion_tokens),
            f"{figures.cached_share:.0%}" if figures.cached_share else "-",
            f"{figures.looping_share:.0%}",
            f"{same} of {figures.compared}" if figures.compared else "-",
        )
    return table


def _cells(figures: Figures) -> Sequence[str]:
    usage, end_to_end = figures.usage, figures.end_to_end_speedup
    return (
        f"{figures.tokens_per_second:.1f}",
        show_times(figures.speedup),
        f"{end_to_end.value:.2f}" if end_to_end else "-",
        f"{usage.acceptance_rate:.0%}" if usage.draft_tokens else "-",
    )
