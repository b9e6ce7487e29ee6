"""`outrider doctor`: what this machine and this installation are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from outrider.cli.options import Json, MachineOptions, command
from outrider.cli.output import console, facts, note, print_json, show_progress, size
from outrider.errors import DownloadError

if TYPE_CHECKING:
    from outrider.engines.native import NativeEngine


@command
def doctor(machine: MachineOptions, json: Json = False) -> None:
    """Show what this machine and this installation are.

    The machine, the engine's kernels and the memory's bandwidth, versions, the models in the
    cache, and of one model how its weights were repacked and what a pass costs.
    """
    from outrider import models  # noqa: PLC0415
    from outrider.lab import environment  # noqa: PLC0415

    values: dict[str, Any] = {
        "machine": environment.machine(),
        "engine": environment.engine(machine.threads, machine.kernel),
        "versions": environment.versions(),
        "compiler": environment.compiler(),
        "cache": {
            "path": str(models.cache_directory()),
            "free_bytes": environment.free_disk_bytes(models.cache_directory()),
        },
        "models": [
            {"name": m.name, "path": str(m.path), "size": m.size} for m in models.installed()
        ],
    }
    try:
        path = models.ensure(machine.model, offline=True)
    except DownloadError:
        values["model"] = None
    else:
        values["model"] = _model(machine, path)
    if json:
        print_json(values)
    else:
        _print(values)
        if values["model"] is None:
            note(f"\n{machine.model} is not here; `outrider pull {machine.model}` fetches it.")


def _model(options: MachineOptions, path: Path) -> dict[str, Any]:
    """The model as the engine has it."""
    from outrider.engines.native import NativeEngine, fast_kernels  # noqa: PLC0415

    with show_progress() as listener:
        engine = NativeEngine(
            path, threads=options.threads, kernel=options.kernel, progress=listener
        )
        best = fast_kernels()[0]
        better = None
        if engine.kernel != best:
            better = NativeEngine(path, threads=options.threads, kernel=best, progress=listener)
    metadata = engine.file.metadata
    return {
        "name": options.model,
        "path": str(path),
        "title": engine.file.name,
        "architecture": metadata.get("general.architecture"),
        "fingerprint": engine.file.fingerprint(),
        "file_bytes": engine.file_bytes,
        "weight_bytes": engine.weight_bytes,
        "cache_bytes_per_token": engine.token_bytes,
        "layers": engine.layers,
        "context": engine.context,
        "vocab_size": engine.vocab_size,
        "repacked": engine.repacked,
        "better_kernel": better and {"name": better.kernel, "rows_ms": _rows_ms(better)},
        "cost": {
            "rows_ms": _rows_ms(engine),
            "context_ms_per_1000_tokens": engine.cost.first_row_ms,
            "sampling_ms": engine.cost.sampling_ms,
        },
    }


def _rows_ms(engine: NativeEngine) -> dict[str, float]:
    """Milliseconds of passes, by their rows."""
    return dict(zip(map(str, engine.cost.rows), engine.cost.base_ms, strict=True))


def _passes(rows_ms: dict[str, float]) -> str:
    return ", ".join(f"{rows} → {ms:.1f}" for rows, ms in rows_ms.items())


def _print(values: dict[str, Any]) -> None:
    out = console()
    machine, engine, versions = values["machine"], values["engine"], values["versions"]

    table = facts("Machine")
    table.add_row("processor", machine["processor"])
    table.add_row(
        "cores", f"{machine['physical_cores']} physical, {machine['logical_cores']} logical"
    )
    table.add_row("memory", f"{size(machine['free_memory_bytes'])} free")
    table.add_row("system", machine["system"])
    out.print(table)

    table = facts("\nEngine")
    table.add_row("threads", str(engine["threads"]))
    table.add_row("kernel", f"{engine['kernel']}, of {', '.join(engine['kernels'])}")
    table.add_row("bandwidth", f"{engine['memory_bandwidth_gb_s']:.1f} GB/s")
    out.print(table)

    table = facts("\nVersions")
    table.add_row("outrider", f"{versions['outrider']} on Python {versions['python']}")
    others = (f"{k} {v}" for k, v in versions.items() if k not in {"outrider", "python"})
    table.add_row("libraries", ", ".join(others))
    table.add_row("compiler", values["compiler"] or "none found (needed only to build)")
    out.print(table)

    table = facts("\nModels")
    table.add_row("cache", f"{values['cache']['path']}, {size(values['cache']['free_bytes'])} free")
    for model in values["models"]:
        table.add_row(model["name"], size(model["size"]))
    out.print(table)

    model = values["model"]
    if model is not None:
        table = facts(f"\n{model['name']}")
        table.add_row("file", model["path"])
        table.add_row("is", f"{model['title']} ({model['architecture']}), {model['fingerprint']}")
        table.add_row("context", f"{model['context']} tokens, {model['vocab_size']} in vocabulary")
        table.add_row(
            "weights",
            f"{size(model['weight_bytes'])} in memory; a pass reads {size(model['file_bytes'])} of "
            "the file",
        )
        table.add_row("cache", f"{size(model['cache_bytes_per_token'])} a token")
        for kind, count in model["repacked"].items():
            table.add_row("repacked", f"{kind}: {count} tensor{'s' if count > 1 else ''}")
        cost = model["cost"]
        table.add_row("pass", _passes(cost["rows_ms"]))
        table.add_row("", "rows → ms, measured when first loaded")
        better = model["better_kernel"]
        if better is not None:
            table.add_row("better", f"the kernel {better['name']} would take")
            table.add_row("", _passes(better["rows_ms"]))
        table.add_row("attention", f"{cost['context_ms_per_1000_tokens']:.2f} ms per 1000 tokens")
        table.add_row("sampling", f"{cost['sampling_ms'] * 1000:.0f} µs a token")
        out.print(table)
