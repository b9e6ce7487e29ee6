"""`outrider certify --endpoint`: whether servers say the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from outrider.cli.options import PromptOptions
from outrider.cli.output import beginning, console, print_json, show_bar

if TYPE_CHECKING:
    from outrider.certify.servers import ServerCell, ServerCertificate, ServerFailure

SHOWN = 3
"""Failures of a server that are printed; `--json` has them all."""


def certify_endpoints(
    endpoints: Sequence[str],
    prompts: PromptOptions,
    *,
    raw: bool,
    max_tokens: int,
    concurrency: int,
    json: bool,
) -> None:
    """Ask them, show what was found, and end with its exit status."""
    from outrider.certify.servers import certify_servers  # noqa: PLC0415
    from outrider.generators import open_server  # noqa: PLC0415

    many = prompts.read()
    with ExitStack() as stack, show_bar("certifying") as bar:
        servers = [stack.enter_context(open_server(endpoint)) for endpoint in endpoints]
        found = certify_servers(
            servers,
            many,
            raw=raw,
            max_tokens=max_tokens,
            concurrency=concurrency,
            progress=bar,
        )
    if json:
        print_json(
            _record(found)
            | {
                "prompts": len(many),
                "raw": raw,
                "max_tokens": max_tokens,
                "concurrency": concurrency,
            }
        )
    else:
        _print(found)
    if found.exit_status:
        raise typer.Exit(found.exit_status)


def _record(found: ServerCertificate) -> dict[str, Any]:
    return {
        "first": found.first,
        "exit_status": found.exit_status,
        "unsteady": list(found.unsteady),
        "servers": [_cell_record(cell) for cell in found.cells],
    }


def _cell_record(cell: ServerCell) -> dict[str, Any]:
    """What the server does not count is null."""
    values = asdict(cell) | {"server": cell.software, "status": cell.status}
    del values["software"]
    if not cell.counts_drafts:
        values |= {"accepted": None, "rejected": None}
    return values


def _print(found: ServerCertificate) -> None:
    from rich.table import Table  # noqa: PLC0415

    out = console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("server", overflow="fold")
    for heading in ("answers", "tokens", "accepted", "rejected"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for number, cell in enumerate(found.cells, start=1):
        out.print(f"[dim]{number}[/dim]  {cell.endpoint}  {cell.software}", overflow="fold")
        drafts = (cell.accepted, cell.rejected) if cell.counts_drafts else ("-", "-")
        table.add_row(
            str(number),
            *map(str, (cell.checked, cell.tokens, *drafts)),
            _outcome(cell) if number > 1 else "",
        )
    out.print()
    out.print(table)
    out.print(
        "\nanswers: greedy, compared as texts with the first server's. accepted, rejected: drafted "
        "tokens; - where the server drafts none or does not say.",
        style="dim",
    )
    if found.unsteady:
        out.print(
            f"The first server does not repeat its own answer to prompt "
            f"{', '.join(map(str, found.unsteady))}; what others say there shows nothing."
        )
    for number, cell in enumerate(found.cells, start=1):
        for failure in cell.failures[:SHOWN]:
            _print_failure(number, failure)
        if len(cell.failures) > SHOWN:
            out.print(f"… and {len(cell.failures) - SHOWN} more of server {number}")


def _outcome(cell: ServerCell) -> str:
    from outrider.certify import ENOUGH  # noqa: PLC0415

    if cell.failures:
        return f"{cell.status} ({len(cell.failures)} answers)"
    few = f" (fewer than {ENOUGH} accepted or rejected)" if cell.status == "inconclusive" else ""
    return f"{cell.status}{few}"


def _print_failure(number: int, failure: ServerFailure) -> None:
    out = console()
    difference = failure.difference
    out.print(f"\n[bold]prompt {difference.prompt}[/bold], after {difference.position} characters")
    out.print(f"1: {beginning(difference.first)}", markup=False)
    out.print(f"{number}: {beginning(difference.other)}", markup=False)
    if failure.margin is not None:
        out.print(
            f"Server 1 has its best two tokens there {failure.margin:.4f} apart in "
            "log-probability.",
            style="dim",
        )
