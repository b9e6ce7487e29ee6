"""`outrider quantize`: a copy of a model with its weights in another type."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outrider.cli.options import AcceptTerms, Json, command
from outrider.cli.output import console, print_json, show_bar, show_progress, size

if TYPE_CHECKING:
    from outrider.models.quantize import Conversion


@command
def quantize(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="A name of the catalogue, hf:owner/repo/file.gguf, or a GGUF file."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    *,
    type_: Annotated[str, typer.Option("--type", metavar="TYPE", help="F16, Q8_0, Q4_0 or Q4_1.")],
    pure: Annotated[
        bool,
        typer.Option(
            "--pure", help="Convert the token embedding and the output layer to a 4-bit type too."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Write a copy of a model with its matrices in another type.

    With a 4-bit type, a token embedding or output layer of 8 bits or more stays or becomes Q8_0.
    Vectors stay as they are. More bits than the source has are called widened: they bring nothing
    back that an earlier conversion has lost.
    """
    from outrider import models  # noqa: PLC0415
    from outrider.models.quantize import quantize as convert  # noqa: PLC0415

    with show_progress() as listener:
        path = models.ensure(source, accept_terms=accept_terms, progress=listener)
    with show_bar(f"{path.name} to {type_}", in_bytes=True) as bar:
        plan = convert(path, out, type_, pure=pure, force=force, progress=bar)
    if json:
        tensors = [{**asdict(c), "widened": c.widened} for c in plan]
        print_json(
            {
                "in": str(path),
                "out": str(out),
                "bytes_before": path.stat().st_size,
                "bytes_after": out.stat().st_size,
                "tensors": tensors,
            }
        )
    else:
        _print(path, out, plan)


def _print(source: Path, out: Path, plan: list[Conversion]) -> None:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim", show_footer=True)
    table.add_column("tensors", str(len(plan)), justify="right")
    table.add_column("from")
    table.add_column("to")
    table.add_column("before", size(source.stat().st_size), justify="right")
    table.add_column("after", size(out.stat().st_size), justify="right")
    table.add_column("")
    for before, after in sorted({(c.source, c.target) for c in plan}):
        same = [c for c in plan if (c.source, c.target) == (before, after)]
        table.add_row(
            str(len(same)),
            before,
            after,
            size(sum(c.bytes_before for c in same)),
            size(sum(c.bytes_after for c in same)),
            "copied" if before == after else "widened" if same[0].widened else "",
        )
    console().print(table)
    # A path is for copying: it is not wrapped.
    console().print(f"\n{out}", soft_wrap=True, markup=False)
