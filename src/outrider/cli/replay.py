"""`outrider replay`: what speculation would have brought to logged answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outrider.cli.options import AcceptTerms, Json, command
from outrider.cli.output import console, note, print_json, show_progress
from outrider.cli.values import parse_cost
from outrider.errors import OutriderError, UsageError
from outrider.models.catalogue import DEFAULT_MODEL

if TYPE_CHECKING:
    from outrider.replay import Logged, Ridden
    from outrider.theory import RowsCost

COST = Path(__file__).parents[1] / "data" / "cost.json"
"""The cost of passes of the default model on the machine of the records."""

BUILT_IN = "the default model's, as measured once"

WITHOUT_LOGITS = "mixed:sources=ngram+suffix"
"""The part of the drafter `mixed` that needs no logits."""

PEERS = ("ngram", "suffix")
"""Drafters that other engines have too, though only as chains."""


@command
def replay(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG.jsonl",
            help="JSON lines with `prompt` or `messages`, and `output` or `completion`.",
        ),
    ],
    *,
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            "--tokenizer",
            metavar="MODEL",
            help="Whose tokenizer to use, named as in `generate`; only its metadata is read.",
        ),
    ] = DEFAULT_MODEL,
    drafter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Replay this drafter; may be given several times. [default: all that need no "
            "model]",
        ),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="CURVE",
            help="Costs of a pass over 1, 2, ... rows, in any unit, or the file that "
            "`outrider bench engine --json` wrote. [default: the default model's, as measured]",
        ),
    ] = None,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Show what speculation would have brought to logged answers.

    The free drafters ride along a log of prompts and answers, without a model: the tokens they
    would have gained a pass, the speed-up that a cost curve predicts for 1 to 16 streams, the
    acceptance at which it breaks even, and what to tell vLLM and llama.cpp where it pays.
    """
    from outrider import models, theory  # noqa: PLC0415
    from outrider.models.gguf import GgufFile  # noqa: PLC0415
    from outrider.replay import read_log, ride  # noqa: PLC0415
    from outrider.settings import messages  # noqa: PLC0415
    from outrider.text import ChatTemplate, Tokenizer, encode_chat  # noqa: PLC0415
    from outrider.text.chat import TEMPLATE  # noqa: PLC0415

    curve = theory.rows_cost(parse_cost(cost or str(COST)))
    with show_progress() as listener:
        path = models.ensure(model, accept_terms=accept_terms, progress=listener)
    metadata = GgufFile(path).metadata
    tokenizer = Tokenizer.from_metadata(metadata)

    def chat(conversation: Sequence[Mapping[str, str]]) -> Sequence[int]:
        if TEMPLATE not in metadata:
            raise UsageError(f"{log} holds messages, and {model} has no template to write them by.")
        return encode_chat(tokenizer, ChatTemplate.from_metadata(metadata), messages(conversation))

    answers = read_log(log, prompt=tokenizer.encode_prompt, output=tokenizer.encode, chat=chat)
    for logged in answers:
        for token in (*logged.prompt, *logged.output):
            tokenizer.token_name(token)
    ridden, left_out = [], []
    for spec in drafter or _candidates():
        try:
            ridden.append(ride(answers, spec, vocab_size=tokenizer.vocab_size))
        except OutriderError as error:
            if drafter:
                raise
            left_out.append((spec, str(error)))
    chains = [ride(answers, spec, vocab_size=tokenizer.vocab_size, trees=False) for spec in PEERS]
    values = _record(answers, ridden, chains, left_out, curve)
    values = {"log": str(log), "model": model, "cost": cost or BUILT_IN, **values}
    if json:
        print_json(values)
    else:
        _print(values)


def _candidates() -> list[str]:
    from outrider import registry  # noqa: PLC0415
    from outrider.drafters.instruments import INSTRUMENTS  # noqa: PLC0415

    left_out = ("none", *INSTRUMENTS)
    return [name for name in registry.names("drafters") if name not in left_out] + [WITHOUT_LOGITS]


def _record(
    answers: list[Logged],
    ridden: list[Ridden],
    chains: list[Ridden],
    left_out: list[tuple[str, str]],
    v: RowsCost,
) -> dict[str, Any]:
    from outrider.replay import BATCHES, WORTH, llamacpp_flags, vllm_config  # noqa: PLC0415

    drafters = [_drafter_record(one, v) for one in ridden]
    best = max(
        ({"drafter": d["drafter"], **d["speedups"][0]} for d in drafters),
        key=lambda found: float(found["speedup"]),
        default=None,
    )
    pays = best is not None and best["speedup"] >= WORTH
    peers = []
    for one in chains:
        found = one.best(v, 1)
        k, speedup = found.num_draft_tokens, found.speedup(v, 1)
        if speedup >= WORTH:
            peers.append(
                {
                    "drafter": one.drafter,
                    "num_draft_tokens": k,
                    "speedup": speedup,
                    "vllm": vllm_config(one.drafter, k),
                    "llamacpp": llamacpp_flags(one.drafter, k),
                }
            )
    return {
        "answers": len(answers),
        "tokens": sum(len(logged.output) for logged in answers),
        "batches": list(BATCHES),
        "drafters": drafters,
        "left_out": [{"drafter": spec, "why": why} for spec, why in left_out],
        "best": best if pays else None,
        "verdict": _verdict(best, drafters, pays=pays),
        "peers": peers,
    }


def _drafter_record(ridden: Ridden, v: RowsCost) -> dict[str, Any]:
    from outrider.replay import BATCHES  # noqa: PLC0415

    speedups = []
    for batch in BATCHES:
        best = ridden.best(v, batch)
        speedups.append(
            {
                "batch": batch,
                "num_draft_tokens": best.num_draft_tokens,
                "speedup": best.speedup(v, batch),
                "acceptance_rate": best.acceptance_rate,
                "break_even": best.break_even(v, batch),
            }
        )
    return {
        "drafter": ridden.drafter,
        "by_length": [
            {
                "num_draft_tokens": one.num_draft_tokens,
                "passes": one.passes,
                "drafted": one.drafted,
                "accepted": one.accepted,
                "tokens_per_pass": one.tokens_per_pass,
                "acceptance_rate": one.acceptance_rate,
                "break_even": one.break_even(v, 1),
                "speedup": one.speedup(v, 1),
            }
            for one in ridden.by_length
        ],
        "speedups": speedups,
    }


def _verdict(best: dict[str, Any] | None, drafters: list[dict[str, Any]], *, pays: bool) -> str:
    """What to do, in words."""
    from outrider.replay import WORTH  # noqa: PLC0415

    if best is None:
        return "No drafter could be replayed."
    if not pays:
        limit = best["break_even"]
        needs = "no acceptance would do" if limit is None else f"it would need {limit:.0%}"
        return (
            f"Do not speculate on such answers: the best, {best['drafter']} with "
            f"K = {best['num_draft_tokens']}, accepts {best['acceptance_rate']:.0%} of its tokens, "
            f"and {needs} to break even."
        )
    mine = next(d for d in drafters if d["drafter"] == best["drafter"])
    upto = [s["batch"] for s in mine["speedups"] if s["speedup"] >= WORTH]
    return (
        f"Use {best['drafter']} with K = {best['num_draft_tokens']}: {best['speedup']:.2f} times "
        f"plain decoding at one stream. It accepts {best['acceptance_rate']:.0%} of its tokens and "
        f"breaks even at {best['break_even']:.0%}; it pays up to {max(upto)} streams."
    )


def _print(values: dict[str, Any]) -> None:
    from rich.table import Table  # noqa: PLC0415

    out = console()
    out.print(
        f"{values['answers']} answers, {values['tokens']} tokens; costs of passes: "
        f"{values['cost']}\n"
    )
    for drafter in values["drafters"]:
        out.print(f"[bold]{drafter['drafter']}[/bold]")
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("K", "tokens a pass", "accepted", "break-even", "speed-up"):
            table.add_column(heading, justify="right")
        for row in drafter["by_length"]:
            limit = row["break_even"]
            table.add_row(
                str(row["num_draft_tokens"]),
                f"{row['tokens_per_pass']:.2f}",
                f"{row['acceptance_rate']:.1%}",
                "never" if limit is None else f"{limit:.1%}",
                f"{row['speedup']:.2f}",
            )
        out.print(table)
        out.print()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("speed-up (best K) by streams", overflow="fold")
    for batch in values["batches"]:
        table.add_column(str(batch), justify="right", no_wrap=True)
    for drafter in values["drafters"]:
        found = drafter["speedups"]
        cells = (f"{one['speedup']:.2f} ({one['num_draft_tokens']})" for one in found)
        table.add_row(drafter["drafter"], *cells)
    out.print(table)
    out.print(f"\n{values['verdict']}")
    for peer in values["peers"]:
        out.print(
            f"\nAs chains, {peer['drafter']} with K = {peer['num_draft_tokens']}: "
            f"{peer['speedup']:.2f} times, by the same costs."
        )
        out.print(f"vLLM: --speculative-config '{dumps(peer['vllm'])}'", soft_wrap=True)
        if peer["llamacpp"]:
            out.print(f"llama.cpp: {peer['llamacpp']}", soft_wrap=True)
    for left in values["left_out"]:
        note(f"left out: {left['drafter']}: {left['why']}")
