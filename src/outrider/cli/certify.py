"""`outrider certify`: whether speculation says what plain decoding says."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outrider.cli.certify_servers import certify_endpoints
from outrider.cli.options import (
    AcceptTerms,
    EndpointOptions,
    Json,
    MachineOptions,
    PromptOptions,
    Raw,
    command,
)
from outrider.cli.output import console, note, print_json, show_bar, show_progress, warn
from outrider.errors import UsageError

if TYPE_CHECKING:
    from outrider.certify import Cell, Certificate, Failure, Said, Setting, Wish
    from outrider.llm import Model
    from outrider.prompts import Prompt
    from outrider.text import Tokenizer

MAX_TOKENS = 128
SEEDS = (1, 2, 3)
SHOWN = 3
"""Failures of a cell that are printed in full; `--json` has them all."""


@command
def certify(
    *,
    machine: MachineOptions,
    servers: EndpointOptions,
    concurrency: Annotated[
        int,
        typer.Option(metavar="N", help="Prompts that a server is asked at the same moment."),
    ] = 1,
    prompts: PromptOptions,
    raw: Raw = False,
    max_tokens: Annotated[
        int, typer.Option(metavar="N", help="Tokens of an answer, at most.")
    ] = MAX_TOKENS,
    drafter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Certify this drafter; may be given several times. [default: all that run here]",
        ),
    ] = None,
    controller: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="With this controller; may be given several times. [default: fixed and cost]",
        ),
    ] = None,
    verification: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Under this verification; may be given several times. [default: coupled]",
        ),
    ] = None,
    num_draft_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens to draft at a time. [default: 8 for fixed]"),
    ] = None,
    temperature: Annotated[
        list[float] | None,
        typer.Option(metavar="T", help="May be given several times. [default: 0 and 1]"),
    ] = None,
    top_p: Annotated[
        float, typer.Option(metavar="P", help="Of sampled answers: see `generate`.")
    ] = 0.95,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N", help="Of sampled answers; may be given several times. [default: 1, 2, 3]"
        ),
    ] = None,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch",
            help="In mixed batches, with random cancellations and evictions from a small cache.",
        ),
    ] = False,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Certify that speculation says what plain decoding says.

    Every drafter with every controller, greedily and sampled, token for token; rejection by a test
    of its distribution; lossy verification by how far it leads away. Half of the drafted tokens
    are salt: known answers, and random tokens among them, so that few answers test much.

    With --endpoint the servers of those addresses are asked, greedily, and their answers held
    against the first one's, and that one's against what it says when it is asked again.

    Exit status: 0 where all is as it should be, 1 where something differs, 2 where a setting has
    fewer than 200 accepted or 200 rejected tokens and so shows nothing.
    """
    if servers.endpoint:
        servers.refuse(
            machine=machine,
            drafter=drafter,
            controller=controller,
            verification=verification,
            num_draft_tokens=num_draft_tokens,
            temperature=temperature,
            seed=seed,
            batch=batch,
            accept_terms=accept_terms,
        )
        certify_endpoints(
            servers.endpoint,
            prompts,
            raw=raw,
            max_tokens=max_tokens,
            concurrency=concurrency,
            json=json,
        )
        return
    if concurrency != 1:
        raise UsageError("--concurrency is for servers; give --endpoint, or leave it out.")
    from outrider import models  # noqa: PLC0415
    from outrider.certify import Wish  # noqa: PLC0415
    from outrider.certify import certify as compare  # noqa: PLC0415
    from outrider.llm import load  # noqa: PLC0415

    wish = Wish(
        drafters=tuple(drafter) if drafter else None,
        controllers=tuple(controller) if controller else None,
        verifications=tuple(verification) if verification else ("coupled",),
        temperatures=tuple(temperature) if temperature else (0.0, 1.0),
        top_p=top_p,
        seeds=tuple(seed) if seed else SEEDS,
        max_tokens=max_tokens,
        num_draft_tokens=num_draft_tokens,
        batch=batch,
    )
    many = prompts.read()
    with show_progress() as listener:
        path = models.ensure(machine.model, accept_terms=accept_terms, progress=listener)
        model = load(path, threads=machine.threads, kernel=machine.kernel, progress=listener)
    tokens = _encode(model, many, raw=raw)
    with show_bar("certifying") as bar:
        found = compare(
            model.engine,
            tokens,
            wish,
            stop_tokens=model.tokenizer.stop_ids,
            progress=bar,
        )
    if json:
        asked = {"from": prompts.name, "count": len(tokens)}
        print_json(_record(found, wish, machine.model, model, asked))
    else:
        _print(found, wish, model.tokenizer)
    if found.exit_status:
        raise typer.Exit(found.exit_status)


def _encode(model: Model, prompts: list[Prompt], *, raw: bool) -> list[tuple[int, list[int]]]:
    """The first turn of each prompt as tokens, with its index in the file."""
    from outrider.text import encode_chat  # noqa: PLC0415
    from outrider.types import Message  # noqa: PLC0415

    tokenizer, template = model.tokenizer, model.template
    encoded = []
    for prompt in prompts:
        if template is None or raw:
            tokens = tokenizer.encode_prompt(prompt.turns[0])
        else:
            tokens = list(encode_chat(tokenizer, template, (Message("user", prompt.turns[0]),)))
        if not tokens:
            raise UsageError(f"Prompt {prompt.index} has no tokens; leave it out.")
        encoded.append((prompt.index, tokens))
    return encoded


# ----------------------------------------------------------------------------------- records


def _record(
    found: Certificate, wish: Wish, name: str, model: Model, prompts: dict[str, Any]
) -> dict[str, Any]:
    from outrider.lab.environment import machine, versions  # noqa: PLC0415

    text = model.tokenizer
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "model": name,
        "fingerprint": model.fingerprint,
        **model.facts,
        "prompts": prompts,
        "wish": asdict(wish),
        "identical": found.identical,
        "exit_status": found.exit_status,
        "checked": sum(cell.checked for cell in found.cells),
        "tokens": sum(cell.tokens for cell in found.cells),
        "failures": [_failure_record(failure, text) for failure in found.failures],
        "cells": [_cell_record(cell) for cell in found.cells],
        "left_out": [{"what": what, "why": why} for what, why in found.left_out],
        "cache_tokens": found.room,
        "cancelled": found.cancelled,
    }


def _cell_record(cell: Cell) -> dict[str, Any]:
    values: dict[str, Any] = {
        **asdict(cell.setting),
        "status": cell.status,
        "checked": cell.checked,
        "tokens": cell.tokens,
        "accepted": cell.accepted,
        "rejected": cell.rejected,
        "accepted_of_drafter": cell.own,
        "failures": len(cell.failures),
        "notes": sorted(cell.notes),
    }
    if cell.chi_square is not None:
        from outrider.certify import chi_square_bound  # noqa: PLC0415

        values |= asdict(cell.chi_square)
        values["bound"] = chi_square_bound(cell.chi_square.degrees)
    if cell.divergence is not None:
        values |= asdict(cell.divergence)
    return values


def _failure_record(failure: Failure, tokenizer: Tokenizer) -> dict[str, Any]:
    return asdict(failure) | {
        "plain_text": tokenizer.decode(failure.plain_continues),
        "speculative_text": tokenizer.decode(failure.speculative_continues),
    }


# ------------------------------------------------------------------------------------ people


def _print(found: Certificate, wish: Wish, tokenizer: Tokenizer) -> None:
    from rich.table import Table  # noqa: PLC0415

    out = console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("drafter, controller", overflow="fold")
    for heading in ("T", "answers", "tokens", "accepted", "own", "rejected"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for cell in found.cells:
        counts = (cell.checked, cell.tokens, cell.accepted, cell.own, cell.rejected)
        table.add_row(
            _parts(cell.setting),
            f"{cell.setting.temperature:g}",
            *map(str, counts),
            _outcome(cell),
        )
    out.print(table)
    out.print(
        "\naccepted, rejected: drafted tokens, salt included; own: accepted ones of the drafter."
    )
    if wish.batch:
        room = "" if found.room is None else f", a cache of {found.room} tokens"
        out.print(f"Mixed batches: {found.cancelled} completions cancelled{room}.")
    for what, why in found.left_out:
        note(f"left out: {what}: {why}")
    for cell in found.cells:
        for text in sorted(cell.notes):
            warn(f"{cell.setting.drafter}: {text}")
        for failure in cell.failures[:SHOWN]:
            _print_failure(failure, tokenizer)
        if len(cell.failures) > SHOWN:
            out.print(f"… and {len(cell.failures) - SHOWN} more with these parts")


def _parts(setting: Setting) -> str:
    rule = "" if setting.verification == "coupled" else f", {setting.verification}"
    return f"{setting.drafter}, {setting.controller}{rule}"


def _outcome(cell: Cell) -> str:
    from outrider.certify import ENOUGH, chi_square_bound  # noqa: PLC0415

    text: str = cell.status
    if cell.failures:
        text += f" ({len(cell.failures)} answers)"
    if cell.chi_square is not None:
        degrees = cell.chi_square.degrees
        bound = chi_square_bound(degrees)
        text += f": χ² {cell.chi_square.statistic:.1f}, at most {bound:.1f}, {degrees} degrees"
    if cell.divergence is not None:
        text += (
            f": {cell.divergence.different:.1%} of tokens differ, "
            f"log-probability {cell.divergence.logprob_change:+.3f}"
        )
    if cell.status == "inconclusive":
        text += f" (fewer than {ENOUGH} accepted or rejected)"
    return text


def _print_failure(failure: Failure, tokenizer: Tokenizer) -> None:
    setting = failure.setting
    out = console()
    out.print(
        f"\n[bold]{_parts(setting)}, temperature {setting.temperature:g}[/bold]: {failure.why}"
    )
    out.print(
        f"prompt {failure.prompt}, seed {failure.seed}, after {failure.position} tokens",
        style="dim",
    )
    sides = (
        ("plain", failure.plain, failure.plain_continues),
        ("speculative", failure.speculative, failure.speculative_continues),
    )
    for name, said, continues in sides:
        out.print(f"{name + ':':12} {_said(said, tokenizer)}", markup=False)
        out.print(f"{'':12} {tokenizer.decode(continues)!r}", markup=False)


def _said(said: Said | None, tokenizer: Tokenizer) -> str:
    if said is None:
        return "has ended"
    text = (
        f"token {said.token} {tokenizer.decode([said.token])!r}, "
        f"logit {said.logit:.4f}, log-probability {said.logprob:.4f}"
    )
    if abs(said.logprob - said.logprob_then) > 1e-6:
        text += f" ({said.logprob_then:.4f} in the pass in which it came)"
    return text
