"""`outrider memory`: how much memory models need, before any is loaded."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outrider.cli.options import Json, command
from outrider.cli.output import console, print_json, size
from outrider.cli.theory_tables import titled_table
from outrider.cli.values import parse_count, show_count
from outrider.errors import UsageError
from outrider.models.catalogue import DEFAULT_MODEL
from outrider.sizes import parse_size

if TYPE_CHECKING:
    from outrider.theory.memory import Load, Memory, ModelMemory, ModelSizes

CONTEXT = 4096
NUM_DRAFT_TOKENS = 8
PARTS = ("weights", "cache", "scratch", "total")


@command
def memory(
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="A GGUF file, a name of the catalogue, a config.json, or hf:owner/repo, of which "
            f"only the configuration is fetched. [default: {DEFAULT_MODEL}]",
        ),
    ] = None,
    draft_model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A second, smaller model that drafts for it."),
    ] = None,
    target_params: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Instead of --model: its parameters, such as 70B. Its layers are taken to be "
            "those of published models of that size.",
        ),
    ] = None,
    draft_params: Annotated[
        str | None,
        typer.Option(metavar="N", help="Instead of --draft-model: its parameters, such as 7B."),
    ] = None,
    context: Annotated[
        int, typer.Option(metavar="N", help="Tokens of each stream, prompt and answer together.")
    ] = CONTEXT,
    streams: Annotated[
        int,
        typer.Option(
            "--streams", "--batch", metavar="N", help="Completions computed at the same time."
        ),
    ] = 1,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="Format of the weights, such as BF16, Q4_K or AWQ. [default: what the model has; "
            "of parameters alone, F16]",
        ),
    ] = None,
    draft_weights: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="Format of the draft model's weights, where it is another one."
        ),
    ] = None,
    bits: Annotated[
        float | None, typer.Option(metavar="B", help="Bits a weight, instead of --weights.")
    ] = None,
    cache_bits: Annotated[float, typer.Option(metavar="B", help="Bits of a key or value.")] = 16.0,
    num_draft_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Tokens drafted at a time, at most. "
            f"[default: {NUM_DRAFT_TOKENS} with a draft model]",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Say what fits this much memory, such as 16GB."),
    ] = None,
    json: Json = False,
) -> None:
    """Calculate the memory that a model needs, alone and with a second one that drafts.

    It adds up weights, key-value cache and scratch of both, and says what the draft model comes to
    beside the target alone. Nothing is loaded, and no weights are fetched.
    """
    from outrider.theory import memory as formulas  # noqa: PLC0415

    target_bits = _bits(weights, bits)
    draft_bits = _bits(draft_weights, None) if draft_weights is not None else target_bits
    target, draft = _models(
        (model, draft_model), (target_params, draft_params), (target_bits, draft_bits), cache_bits
    )
    if draft_weights is not None and draft is None:
        raise UsageError("--draft-weights is for a draft model, and there is none.")
    if num_draft_tokens is None:
        num_draft_tokens = NUM_DRAFT_TOKENS if draft is not None else 0
    load = formulas.Load(context=context, streams=streams, num_draft_tokens=num_draft_tokens)
    found = formulas.memory(target, draft, load)
    values: dict[str, Any] = {
        "context": context,
        "streams": streams,
        "num_draft_tokens": num_draft_tokens,
        "target": _record(target, found.target),
        "draft": draft and found.draft and _record(draft, found.draft),
        "alone": _bytes(found.alone),
        "total_bytes": found.total,
        "overhead": found.overhead if draft else 0.0,
        "assumed": target_params is not None,
    }
    if target_params is not None:
        params = target.params + (draft.params if draft else 0.0)
        values["rule_of_thumb_cache_bytes"] = formulas.COURSE_CACHE_BYTES * params * streams
    if budget is not None:
        values["fits"] = _fits(parse_size(budget), target, draft, load)
    if json:
        print_json(values)
    else:
        _print(values, found)


def _bits(weights: str | None, bits: float | None) -> float | None:
    from outrider.models.sizes import bits_of  # noqa: PLC0415

    if weights is not None and bits is not None:
        raise UsageError("Give either a format of the weights or --bits, not both.")
    return bits if weights is None else bits_of(weights)


def _models(
    names: tuple[str | None, str | None],
    params: tuple[str | None, str | None],
    bits: tuple[float | None, float | None],
    cache_bits: float,
) -> tuple[ModelSizes, ModelSizes | None]:
    """The target and the draft, each by its name or by its parameters."""
    from outrider.models.sizes import read_sizes  # noqa: PLC0415
    from outrider.theory.memory import typical_sizes  # noqa: PLC0415

    found: list[ModelSizes | None] = []
    for role, name, count, of_weight in zip(("target", "draft"), names, params, bits, strict=True):
        if name is not None and count is not None:
            raise UsageError(f"Give the {role} either as a model or by --{role}-params, not both.")
        if count is not None:
            sizes = typical_sizes(
                parse_count(f"--{role}-params", count),
                bits=16.0 if of_weight is None else of_weight,
                cache_bits=cache_bits,
            )
            found.append(replace(sizes, name=f"{show_count(sizes.params)} parameters"))
        elif name is not None or role == "target":
            found.append(read_sizes(name or DEFAULT_MODEL, bits=of_weight, cache_bits=cache_bits))
        else:
            found.append(None)
    target, draft = found
    assert target is not None
    return target, draft


def _fits(budget: int, target: ModelSizes, draft: ModelSizes | None, load: Load) -> dict[str, Any]:
    """What fits a budget, with the draft and without."""
    from outrider.theory import memory as formulas  # noqa: PLC0415

    plain = replace(load, num_draft_tokens=0)

    def most(draft: ModelSizes | None, load: Load) -> dict[str, Any]:
        needed = formulas.memory(target, draft, load).total
        return {
            "fits": needed <= budget,
            "missing_bytes": max(needed - budget, 0.0),
            "largest_context": formulas.largest_context(budget, target, draft, load),
            "largest_streams": formulas.largest_streams(budget, target, draft, load),
        }

    return {
        "budget_bytes": budget,
        "alone": most(None, plain),
        "with_draft": most(draft, load) if draft is not None else None,
    }


def _record(model: ModelSizes, needed: ModelMemory) -> dict[str, Any]:
    return {
        "name": model.name,
        "params": model.params,
        "weights": model.weights,
        "cache_bytes_per_token": model.token_bytes,
        **_bytes(needed),
    }


def _bytes(needed: ModelMemory) -> dict[str, float]:
    return {
        **{f"{part}_bytes": count for part, count in asdict(needed).items()},
        "total_bytes": needed.total,
    }


# ------------------------------------------------------------------------------------ people


def _print(values: dict[str, Any], found: Memory) -> None:
    out = console()
    streams, context = values["streams"], values["context"]
    columns = {"target": found.target}
    if found.draft is not None:
        columns["draft"] = found.draft
    table = titled_table(f"Memory for {_load(streams, context)}")
    table.add_column("")
    for heading in (*columns, *(("together", "alone") if found.draft else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    for part in PARTS:
        cells = [getattr(needed, part) for needed in columns.values()]
        if found.draft is not None:
            cells += [sum(cells), getattr(found.alone, part)]
        table.add_row(part, *map(size, cells), style="bold" if part == "total" else None)
    out.print(table)
    out.print()
    for role in columns:
        model = values[role]
        out.print(
            f"{role}: {model['name']}, {show_count(model['params'])} weights, "
            f"{model['weights']}; {size(model['cache_bytes_per_token'])} of cache a token"
        )
    if found.draft is not None:
        share = values["draft"]["cache_bytes_per_token"] / values["target"]["cache_bytes_per_token"]
        out.print(
            f"\n[bold]The draft needs {found.overhead:.1%} more than the target alone[/bold]; "
            f"its cache is {share:.0%} of the target's."
        )
    if values["assumed"]:
        out.print(
            "\nLayers, heads and vocabulary are assumed: those of published models of that size "
            "with 8 key-value heads of 128. The rule of thumb of 0.1 GB a thousand million "
            f"parameters and stream would put the cache at "
            f"{size(values['rule_of_thumb_cache_bytes'])}, whatever the context.",
            style="dim",
        )
    if "fits" in values:
        _print_fits(values)


def _print_fits(values: dict[str, Any]) -> None:
    out, fits = console(), values["fits"]
    out.print(f"\n[bold]In {size(fits['budget_bytes'])}[/bold]")
    for label, key in (("with the draft", "with_draft"), ("the target alone", "alone")):
        if fits[key] is not None:
            out.print(f"{label}: {_what_fits(fits[key], values)}")


def _what_fits(fits: dict[str, Any], values: dict[str, Any]) -> str:
    streams, context = values["streams"], values["context"]
    if fits["largest_context"] is None:
        return (
            f"does not fit, however short the context: {size(fits['missing_bytes'])} too much "
            f"for {_load(streams, context)}."
        )
    each = " each" if streams > 1 else ""
    most = [f"{_streams(streams)} of up to {fits['largest_context']} tokens{each}"]
    if fits["largest_streams"] is not None:
        most.append(f"up to {_streams(fits['largest_streams'])} of {context} tokens")
    if fits["fits"]:
        return f"fits; {', or '.join(most)}."
    return f"{size(fits['missing_bytes'])} too much; what fits is {', or '.join(most)}."


def _load(streams: int, context: int) -> str:
    return f"{_streams(streams)} of {context} tokens"


def _streams(count: int) -> str:
    return f"{count} stream{'s' if count != 1 else ''}"
