"""`outrider pack`: a profile, a model and all they need, in one archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outrider.cli.options import AcceptTerms, Json
from outrider.cli.output import console, print_json, show_progress, size
from outrider.models.catalogue import DEFAULT_MODEL
from outrider.sizes import parse_size

OUTPUT = Path("submission.zip")

SHOWN = 4
"""Parts of the archive that are shown, the greatest first."""


def pack(
    profile: Annotated[
        str,
        typer.Argument(metavar="PROFILE", help="The profile: step-by-step, plain, or a TOML file."),
    ] = "step-by-step",
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Where the archive goes.")
    ] = OUTPUT,
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="A name of the catalogue, hf:owner/repo/file.gguf, or a GGUF file.",
        ),
    ] = DEFAULT_MODEL,
    draft_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A model that drafts; packed too.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="How to speculate, as `outrider tune` wrote it."),
    ] = None,
    max_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Bytes the archive may have, such as 500MB.")
    ] = "1GB",
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Pack a profile and its model with all that a run needs.

    The unpacked archive answers with `python3 run.py QUESTIONS -o ANSWERS.jsonl`, on the same
    platform and version of Python, without a network and without installing anything.
    """
    from outrider import models  # noqa: PLC0415
    from outrider.plan import Plan  # noqa: PLC0415
    from outrider.strategies.answering import bundle  # noqa: PLC0415
    from outrider.strategies.answering.profile_file import load_profile  # noqa: PLC0415

    allowed = parse_size(max_size)
    how = load_profile(profile)
    if plan is not None:
        Plan.load(plan)
    named = {"model": model} | ({} if draft_model is None else {"draft_model": draft_model})
    with show_progress() as listener:
        files = {
            option: models.ensure(name, accept_terms=accept_terms, progress=listener)
            for option, name in named.items()
        }
    packed = bundle.pack(how, files, output, max_size=allowed, plan=plan)
    if json:
        print_json(
            {"path": str(packed.path), "size": packed.size, "parts": packed.parts}
            | {"manifest": packed.manifest}
        )
        return
    out = console()
    needs = f"{packed.manifest['implementation']} {packed.manifest['python']}"
    out.print(f"{packed.path}: {size(packed.size)} of {size(allowed)}")
    for name, count in list(packed.parts.items())[:SHOWN]:
        out.print(f"  {name} {size(count)}", style="dim")
    out.print(f"It runs with {needs} on {packed.manifest['platform']}:")
    out.print(f"  unzip {packed.path.name} && python3 run.py QUESTIONS -o ANSWERS.jsonl")
