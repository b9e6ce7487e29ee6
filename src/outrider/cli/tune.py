"""`outrider tune`: how to speculate with this model, on this machine, for these prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outrider.cli.options import (
    AcceptTerms,
    Json,
    MachineOptions,
    PromptOptions,
    Raw,
    SamplingOptions,
    command,
)
from outrider.cli.output import console, note, print_json, show_bar, show_progress, warn
from outrider.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from outrider.lab.statistics import Interval
    from outrider.lab.tuning import Tuning
    from outrider.lab.verdict import Trial

MAX_TOKENS = 128
OUTPUT = Path("plan.json")
SHOWN_SIZES = (1, 2, 3, 4, 6, 8, 12, 16)


@command
def tune(
    *,
    machine: MachineOptions,
    prompts: PromptOptions,
    drafter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Try this drafter; may be given several times. [default: ngram, suffix, recycle, "
            "mixed, and early_exit and quantized where they run]",
        ),
    ] = None,
    draft_model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Try drafting with this model too."),
    ] = None,
    verification: Annotated[
        str, typer.Option(metavar="NAME", help="Which drafted tokens stand.")
    ] = "coupled",
    repeats: Annotated[
        int, typer.Option(metavar="N", help="How often the best plans are measured.")
    ] = 3,
    best: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="How many plans to measure, one a drafter. [default: 3, and what was named]",
        ),
    ] = None,
    raw: Raw = False,
    sampling: SamplingOptions,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Where the plan goes.")
    ] = OUTPUT,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Find out how to speculate here, and write it to a plan's file.

    Measures what passes cost, lets every drafter answer one half of the prompts, predicts the
    speed-up of each plan from that, and measures the best few on the other half, in turn with plain
    decoding. Then it says what to use and what to expect, or not to speculate here, and why.
    `generate` and `chat` take the file with `--plan`.

    Exit status 1 where a plan that has to say what plain decoding says does not; no plan is written
    then.
    """
    from outrider import models  # noqa: PLC0415
    from outrider.lab.tuning import Wish  # noqa: PLC0415
    from outrider.lab.tuning import tune as find  # noqa: PLC0415
    from outrider.lab.tuning_record import record  # noqa: PLC0415
    from outrider.llm import LLM, load  # noqa: PLC0415

    _check_output(output)
    many = prompts.read()
    settings = sampling.settings()
    wish = Wish(
        drafters=tuple(drafter) if drafter else None,
        draft_model=draft_model,
        verification=verification,
        max_tokens=settings.pop("max_tokens", MAX_TOKENS),
        repeats=repeats,
        best=best,
        raw=raw,
        seed=settings.pop("seed", 0),
        sampling=settings,
    )
    with show_progress() as listener:
        path = models.ensure(machine.model, accept_terms=accept_terms, progress=listener)
        model = load(path, threads=machine.threads, kernel=machine.kernel, progress=listener)
    with LLM(model) as llm:
        with show_bar("warming up") as bar:
            found = find(llm, many, wish, progress=lambda what, done, total: bar(done, total, what))
        given = {
            "model": machine.model,
            "prompts": prompts.name,
            "limit": prompts.limit,
            "drafters": drafter,
            "draft_model": draft_model,
            "best": best,
            **sampling.settings(),
        }
        resolved = {
            "repeats": repeats,
            "max_tokens": wish.max_tokens,
            "seed": wish.seed,
            "sampling": settings,
            "raw": raw or not llm.has_chat_template,
        }
        values = record(llm, found, given, resolved)
    for figures in found.figures.values():
        for text in figures.notes:
            warn(f"{figures.plan.name}: {text}")
    for what, why in found.left_out:
        note(f"not available: {what}: {why}")
    if json:
        print_json(values)
    else:
        _print(found, values)
    if not found.identical:
        warn("A plan says something else than plain decoding: `outrider certify` shows where.")
        raise typer.Exit(1)
    replaced = output.exists()
    replace(found.verdict.plan, record=values).save(output)
    note(f"plan {'replaced' if replaced else 'written'}: {output}")


def _check_output(path: Path) -> None:
    """Raise now for a file that could not be written after all the measuring."""
    if path.is_dir():
        raise UsageError(f"--output {path} is a directory; name a file in it.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no directory {path.parent} to write {path.name} to; make it.")


# ------------------------------------------------------------------------------------ people


def _print(found: Tuning, values: dict[str, Any]) -> None:
    out = console()
    temperature = values["sampling"].get("temperature", 0.0)
    parts = (
        Path(values["model"]).name,
        f"{len(found.fitted)} + {len(found.measured)} prompts",
        "greedy" if temperature == 0 else f"temperature {temperature:g}",
        f"{values['max_tokens']} tokens",
    )
    out.print(" · ".join(parts), style="bold")
    out.print()
    out.print(_costs(values["cost"]))
    out.print()
    out.print(_plans(found))
    out.print(
        "\ntokens: gained a step. step: what it takes, in plain ones. even: the acceptance at "
        "which it breaks even. predicted from one half of the prompts, measured on the other: "
        "times plain decoding. (low-high): 95% interval over prompts.",
        style="dim",
    )
    trial = found.verdict.trial
    if trial is not None:
        figures = found.figures[trial.plan.name]
        without = figures.without_looping
        out.print(
            f"{figures.looping_share:.0%} of the measured answers repeat themselves; "
            + ("none are left without them." if without is None else "")
            + ("" if without is None else f"without them {_times(without)}."),
            style="dim",
        )
    out.print(f"\n[bold]{found.verdict.text}[/bold]")


def _costs(cost: dict[str, Any]) -> Table:
    """What passes take by their rows."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("rows of a pass", style="dim", no_wrap=True)
    for size in SHOWN_SIZES:
        table.add_column(str(size), justify="right", no_wrap=True)
    for name, key in (("ms, measured alone", "curve_ms"), ("ms, in answers", "answers_ms")):
        table.add_row(name, *(_ms(cost[key][str(size)]) for size in SHOWN_SIZES))
    return table


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _plans(found: Tuning) -> Table:
    """What was predicted of plans, and what was measured."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
    table.add_column("plan", overflow="fold")
    for heading in ("tokens", "step", "accepted", "even", "predicted", "measured"):
        table.add_column(heading, justify="right", no_wrap=True)
    for trial in _shown(found.trials):
        prediction = trial.prediction
        limit = prediction.break_even
        drafts = prediction.acceptance_rate or limit != 0.0
        table.add_row(
            trial.plan.name,
            f"{prediction.tokens_per_pass:.2f}",
            f"{prediction.step:.2f}",
            f"{prediction.acceptance_rate:.0%}" if drafts else "-",
            ("never" if limit is None else f"{limit:.0%}") if drafts else "-",
            f"{prediction.speedup.value:.2f}",
            _times(trial.measured),
            style="bold" if trial.plan.name == found.verdict.plan.name else None,
        )
    return table


def _shown(trials: Sequence[Trial]) -> list[Trial]:
    """Of each drafter with each controller the best, in the order given."""
    seen: dict[tuple[str, str], Trial] = {}
    for trial in trials:
        seen.setdefault((trial.plan.drafter, trial.plan.controller), trial)
    return list(seen.values())


def _times(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.2f}"
    return f"{interval.value:.2f} ({interval.low:.2f}-{interval.high:.2f})"
