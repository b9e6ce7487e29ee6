"""`outrider bench`: measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from outrider.cli.bench_speed import speed
from outrider.cli.bench_thinking import thinking
from outrider.cli.options import Json, MachineOptions, command
from outrider.cli.output import console, print_json, show_progress, size

if TYPE_CHECKING:
    from rich.table import Table

    from outrider.engines.native import NativeEngine
    from outrider.lab.engine_bench import ContextBench, EngineBench

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
        list[int] | None,
        typer.Option(
            metavar="TOKENS",
            help="Tokens of history behind the measured rows; may be given several times. "
            "[default: 256]",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(metavar="N", help="How often everything is measured.")
    ] = 7,
    all_kernels: Annotated[
        bool,
        typer.Option(
            "--all-kernels",
            help="Measure all kernels of this machine side by side, but for the scalar reference.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Measure passes, prefill and decoding.

    Milliseconds of a pass over 1 to 32 rows and what they go to, tokens a second of prefill and of
    plain decoding, alone and of several sequences at once, and the share of the memory's bandwidth
    that decoding reaches.
    """
    from rich.console import Console  # noqa: PLC0415

    from outrider import models  # noqa: PLC0415
    from outrider.engines.native import NativeEngine, fast_kernels  # noqa: PLC0415
    from outrider.lab import engine_bench, engine_record  # noqa: PLC0415

    with show_progress() as listener:
        path = models.ensure(machine.model, progress=listener)

        def load(kernel: str | None) -> NativeEngine:
            return NativeEngine(path, threads=machine.threads, kernel=kernel, progress=listener)

        native = load(machine.kernel)
        kernels = [
            native if name == native.kernel else load(name)
            for name in (fast_kernels() if all_kernels else ())
        ]
    with Console(stderr=True).status("warming up") as status:
        measured = engine_bench.measure(
            native,
            contexts=context or [256],
            repeats=repeats,
            kernels=kernels,
            progress=lambda done: status.update(f"measuring, {done} of {repeats + 1} rounds"),
        )
    if json:
        print_json(engine_record.record(native, measured, machine.model))
    else:
        _print(native, measured)


app.command("speed")(speed)
app.command("thinking")(thinking)


def _print(native: NativeEngine, measured: EngineBench) -> None:
    out = console()
    out.print(
        f"[bold]{native.file.name}[/bold]  {size(native.file_bytes)} a pass · {native.kernel} · "
        f"{native.threads} threads · median of {measured.repeats}"
    )
    for context in measured.contexts:
        lowered = f" (the most that leaves room, of {context.asked})"
        out.print(
            f"\n[bold]{context.context} tokens of history[/bold]"
            f"{lowered if context.context < context.asked else ''}\n"
        )
        out.print(_rows_table(context))
        out.print()
        out.print(_decoding_table(measured, context))
    out.print()
    table = _facts()
    table.add_row(
        "prefill", f"{measured.prefill_rate:.0f}", f"tokens/s over {measured.prefill_tokens}"
    )
    table.add_row("bandwidth", f"{measured.bandwidth / 1e9:.1f}", "GB/s at best")
    out.print(table)
    if measured.kernels:
        out.print(f"\n[bold]kernels[/bold], {measured.contexts[0].context} tokens of history\n")
        out.print(_kernels_table(measured))


def _rows_table(context: ContextBench) -> Table:
    curve = context.curve
    phases = list(curve.phases_ms[1])
    table = _columns("rows", "ms", "min", "max", "ratio", *phases)
    for rows, ms in curve.rows_ms.items():
        table.add_row(
            str(rows),
            *(f"{value:.2f}" for value in (ms.median, ms.low, ms.high, curve.ratios[rows])),
            *(f"{curve.phases_ms[rows][phase]:.2f}" for phase in phases),
        )
    return table


def _decoding_table(measured: EngineBench, context: ContextBench) -> Table:
    table = _facts()
    table.add_row(
        "decode",
        f"{context.decode_rate:.1f}",
        f"tokens/s, {context.decode_ms.median:.2f} ms each "
        f"({context.decode_ms.low:.2f} to {context.decode_ms.high:.2f})",
    )
    table.add_row(
        "share reached",
        f"{context.share.median:.0%}",
        f"of the bandwidth beside it ({context.bandwidth.median / 1e9:.1f} GB/s), "
        f"{measured.share_of_best(context):.0%} of the best",
    )
    for count, rate in context.streams.items():
        table.add_row(f"{count} streams" if count > 1 else "1 stream", f"{rate:.1f}", "tokens/s")
    return table


def _kernels_table(measured: EngineBench) -> Table:
    rows = list(next(iter(measured.kernels.values())).curve.rows_ms)
    table = _columns("kernel", *(f"{count} rows, ms" for count in rows), "prefill, tokens/s")
    for name, kernel in measured.kernels.items():
        table.add_row(
            name,
            *(f"{kernel.curve.rows_ms[count].median:.2f}" for count in rows),
            f"{measured.rate_of_prefill(kernel.prefill_ms):.0f}",
        )
    return table


def _columns(*headings: str) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _facts() -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column()
    return table
