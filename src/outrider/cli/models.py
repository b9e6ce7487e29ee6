"""`outrider pull` and `outrider list`: models on disk."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from outrider.cli.options import AcceptTerms, Json, command
from outrider.cli.output import console, print_json, show_progress, size


@command
def pull(
    name: Annotated[
        str, typer.Argument(help="A name of the catalogue or hf:owner/repo/file.gguf.")
    ],
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Fetch a model, or go on where a download stopped."""
    from outrider import models  # noqa: PLC0415

    with show_progress() as listener:
        path = models.ensure(name, accept_terms=accept_terms, progress=listener)
    model = next((m for m in models.installed() if m.path == path), None)
    if json:
        print_json(_record(model) if model else {"name": name, "path": str(path)})
    else:
        typer.echo(path)


@command
def list_models(json: Json = False) -> None:
    """Show the known models and those in the cache."""
    from outrider import models  # noqa: PLC0415

    installed = {model.name: model for model in models.installed()}
    catalogue = {entry.name: entry for entry in models.entries()}
    if json:
        rows = [
            {
                "name": name,
                "title": catalogue[name].title if name in catalogue else None,
                "licence": catalogue[name].licence if name in catalogue else None,
                "size": catalogue[name].size if name in catalogue else None,
                "installed": name in installed,
                **(_record(installed[name]) if name in installed else {}),
            }
            for name in {**catalogue, **installed}
        ]
        print_json({"cache": str(models.cache_directory()), "models": rows})
        return
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("licence")
    table.add_column("state")
    for name in {**catalogue, **installed}:
        entry, model = catalogue.get(name), installed.get(name)
        bytes_ = model.size if model else entry.size if entry else None
        state = "here" if model else "needs --accept-terms" if entry and entry.terms else "to pull"
        table.add_row(name, size(bytes_) if bytes_ else "?", entry.licence if entry else "", state)
    console().print(table)
    for model in installed.values():
        # A path is for copying: it is not wrapped.
        console().print(f"\n{model.name}\n  {model.path}", soft_wrap=True, markup=False)


def _record(model: Any) -> dict[str, Any]:
    return {
        "name": model.name,
        "path": str(model.path),
        "size": model.size,
        "sha256": model.sha256,
        "source": model.source,
    }
