"""`outrider bench`: measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from outrider.cli.options import Json, MachineOptions, command
from outrider.cli.output import console, print_json, show_progress, size

if TYPE_CHECKING:
    from outrider.engines.native import NativeEngine
    from outrider.lab.engine_bench import EngineBench

app = typer.Typer(
    help="Measure how fast things are on this machine.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def root() -> None:
    """Measure how fast things are on this machine."""


@app.command("engine")
@command
def engine(
    machine: MachineOptions,
    context: Annotated[
        int, typer.Option(metavar="TOKENS", help="Tokens of history behind the measured rows.")
    ] = 256,
    repeats: Annotated[
        int, typer.Option(metavar="N", help="How often everything is measured.")
    ] = 7,
    json: Json = False,
) -> None:
    """Measure passes, prefill and decoding.

    Milliseconds of a pass over 1 to 32 rows, tokens a second of prefill and of plain decoding, and
    the share of the memory's bandwidth that decoding reaches.
    """
    from rich.console import Console  # noqa: PLC0415

    from outrider import models  # noqa: PLC0415
    from outrider.engines.native import NativeEngine  # noqa: PLC0415
    from outrider.lab import engine_bench  # noqa: PLC0415

    with show_progress() as listener:
        path = models.ensure(machine.model, progress=listener)
        native = NativeEngine(
            path, threads=machine.threads, kernel=machine.kernel, progress=listener
        )
    with Console(stderr=True).status("warming up") as status:
        measured = engine_bench.measure(
            native,
            context=context,
            repeats=repeats,
            progress=lambda done: status.update(f"measuring, {done} of {repeats + 1} rounds"),
        )
    if json:
        print_json(engine_bench.record(native, measured, machine.model))
    else:
        _print(native, measured)


def _print(native: NativeEngine, measured: EngineBench) -> None:
    from rich.table import Table  # noqa: PLC0415

    out = console()
    out.print(
        f"[bold]{native.file.name}[/bold]  {size(native.file_bytes)} a pass · {native.kernel} · "
        f"{native.threads} threads · {measured.context} tokens of history · "
        f"median of {measured.repeats}"
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("rows", "ms", "min", "max", "against 1 row"):
        table.add_column(heading, justify="right")
    one = measured.rows_ms[1].median
    for rows, ms in measured.rows_ms.items():
        table.add_row(
            str(rows),
            f"{ms.median:.2f}",
            f"{ms.low:.2f}",
            f"{ms.high:.2f}",
            f"{ms.median / one:.2f}",
        )
    out.print()
    out.print(table)
    out.print()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column()
    table.add_row(
        "prefill", f"{measured.prefill_rate:.0f}", f"tokens/s over {measured.prefill_tokens}"
    )
    table.add_row(
        "decode",
        f"{measured.decode_rate:.1f}",
        f"tokens/s, {measured.decode_ms.median:.2f} ms each "
        f"({measured.decode_ms.low:.2f} to {measured.decode_ms.high:.2f})",
    )
    table.add_row("bandwidth", f"{measured.bandwidth / 1e9:.1f}", "GB/s")
    table.add_row("share reached", f"{measured.bandwidth_share:.0%}", "of it, by decoding")
    out.print(table)
