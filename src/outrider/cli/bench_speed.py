"""`outrider bench speed`: plans against plain decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outrider.cli.bench_output import show_answers, show_times
from outrider.cli.bench_servers import bench_servers
from outrider.cli.options import (
    AcceptTerms,
    CacheOptions,
    EndpointOptions,
    Json,
    MachineOptions,
    PromptOptions,
    Raw,
    SamplingOptions,
    SpeculationOptions,
    command,
)
from outrider.cli.output import console, note, print_json, warn
from outrider.cli.session import load_model

if TYPE_CHECKING:
    from rich.table import Table

    from outrider.lab.speed_bench import Figures, SpeedBench

MAX_TOKENS = 128
MAX_STREAMS = 16
DEFAULT = "default"


@command
def speed(
    *,
    machine: MachineOptions,
    servers: EndpointOptions,
    prompts: PromptOptions,
    plan: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLAN",
            help="Measure this: a plan's file, a drafter, or drafter/controller; may be given "
            "several times. [default: the model's default plan]",
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(metavar="N", help="How often every prompt is answered by every plan."),
    ] = 3,
    streams: Annotated[
        int,
        typer.Option(
            "--streams",
            "--concurrency",
            metavar="N",
            help="Prompts that are asked at the same moment.",
        ),
    ] = 1,
    warm: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPTS",
            help="Let drafters learn from these prompts at the beginning of every repetition; "
            "other ones than those measured.",
        ),
    ] = None,
    cold: Annotated[
        bool,
        typer.Option(
            "--cold",
            help="Begin every answer with empty drafters. [default: every repetition of all "
            "prompts begins with empty drafters]",
        ),
    ] = False,
    raw: Raw = False,
    sampling: SamplingOptions,
    cache: CacheOptions,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the speed-ups by category, as .png, .svg or .pdf."),
    ] = None,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Measure how many times as fast as plain decoding plans are, or servers as the first one.

    Every plan answers every prompt in turn. Every repetition begins with empty drafters, which
    learn from one prompt to the next as they do in use; no prompt is cached. Speed-ups come with
    95% intervals over prompts. Speed is decode speed, first to last token; the speed from the
    question to the last token stands beside it.

    With --endpoint the servers of those addresses take the place of plans. They cannot be made to
    forget, so the speed from the question on is the first repetition's.

    Exit status 1 where a plan that has to say what plain decoding says does not.
    """
    settings = sampling.settings()
    settings = {**settings, "max_tokens": settings.get("max_tokens", MAX_TOKENS)}
    settings["seed"] = settings.get("seed", 0)
    if servers.endpoint:
        servers.refuse(
            machine=machine,
            plan=plan,
            warm=warm,
            cold=cold,
            cache=cache,
            plot=plot,
            accept_terms=accept_terms,
        )
        bench_servers(
            servers.endpoint,
            prompts,
            settings,
            repeats=repeats,
            concurrency=streams,
            raw=raw,
            json=json,
        )
        return
    from outrider.lab import speed_bench, speed_plot, speed_record  # noqa: PLC0415
    from outrider.lab.contest import PLAIN, contest  # noqa: PLC0415
    from outrider.plan import Plan  # noqa: PLC0415
    from outrider.tasks import load_prompts  # noqa: PLC0415

    if plot is not None:
        speed_plot.check(plot)
    many = prompts.read()
    warming = load_prompts(warm) if warm else []
    # None is the default plan, which the model knows once it is loaded.
    named = [None if text == DEFAULT else Plan.parse(text) for text in plan or [DEFAULT]]
    room = cache
    if room.max_streams is None:
        room = replace(room, max_streams=max(streams, MAX_STREAMS))
    with load_model(machine, room, SpeculationOptions(), accept_terms=accept_terms) as llm:
        plans = [PLAIN, *(llm.plan if parsed is None else parsed for parsed in named)]
        bandwidth = [_bandwidth(llm.model.facts["threads"])]
        with show_answers() as listener:
            samples = contest(
                llm,
                plans,
                many,
                repeats=repeats,
                streams=streams,
                cold=cold,
                warm=warming,
                raw=raw,
                progress=listener,
                **settings,
            )
        bandwidth.append(_bandwidth(llm.model.facts["threads"]))
        found = speed_bench.summarise(plans, samples, temperature=settings.get("temperature", 0.0))
        resolved = {
            "prompts": len(many),
            "repeats": repeats,
            "streams": streams,
            "cold": cold,
            "warm": len(warming),
            "raw": raw or not llm.has_chat_template,
            "context": llm.context,
            "sampling": settings,
            "verdict": speed_bench.verdict(found),
            "memory_bandwidth_gb_s": max(bandwidth),
            "memory_bandwidth_gb_s_range": [min(bandwidth), max(bandwidth)],
        }
        given = {
            "model": machine.model,
            "prompts": prompts.name,
            "limit": prompts.limit,
            "plans": plan or [DEFAULT],
            "cold": cold,
            "warm": warm,
            **sampling.settings(),
            **cache.settings(),
        }
        values = speed_record.record(llm, found, given, resolved)
    for figures in found.plans:
        for text in figures.notes:
            warn(f"{figures.plan.name}: {text}")
    if json:
        print_json(values)
    else:
        _print(found, values)
    if plot is not None:
        speed_plot.draw(found, plot, _title(values))
        note(f"drawn: {plot}")
    if not found.identical:
        raise typer.Exit(1)


def _bandwidth(threads: int) -> float:
    """GB a second that so many threads read, now."""
    from outrider.lab.environment import engine  # noqa: PLC0415

    return float(engine(threads)["memory_bandwidth_gb_s"])


# ------------------------------------------------------------------------------------ people


def _title(values: dict[str, Any]) -> str:
    """What was measured, in a line."""
    sampling = values["sampling"]
    temperature = sampling.get("temperature", 0.0)
    parts = [
        Path(values["model"]).name,
        f"{values['prompts']} prompts × {values['repeats']}",
        "greedy" if temperature == 0 else f"temperature {temperature:g}",
        f"{sampling['max_tokens']} tokens",
        f"{values['streams']} stream{'s' if values['streams'] > 1 else ''}",
    ]
    if values["cold"]:
        parts.append("each begun cold")
    if values["warm"]:
        parts.append(f"warmed on {values['warm']} other prompts")
    return " · ".join(parts)


def _print(found: SpeedBench, values: dict[str, Any]) -> None:
    out = console()
    out.print(_title(values), style="bold")
    out.print()
    out.print(_speeds(found))
    out.print()
    out.print(_steps(found))
    out.print(
        "\n(low-high): 95% interval over prompts. end to end: from the question on. length: tokens "
        "gained a pass. ms a step: an answer's part of each. saved: seconds of decoding against "
        "plain; est.: as the cost curve puts it. looping: answers that say 8 tokens three times; "
        "else: the speed-up without them.",
        style="dim",
    )
    out.print(f"\n[bold]{values['verdict']}[/bold]")


def _speeds(found: SpeedBench) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("plan", overflow="fold")
    for heading in ("tokens/s", "times plain", "end to end", "length", "accepted"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, figures in enumerate(found.plans):
        if number:
            table.add_row()
        table.add_row(figures.plan.name, *_cells(figures.overall), style="bold")
        for name, of_category in figures.categories.items():
            table.add_row(f"  {name}", *_cells(of_category))
    return table


def _cells(figures: Figures) -> Sequence[str]:
    usage = figures.usage
    end_to_end = figures.end_to_end_speedup
    return (
        f"{figures.tokens_per_second:.1f}",
        show_times(figures.speedup),
        f"{end_to_end.value:.2f}" if end_to_end else "-",
        f"{usage.mean_accepted_length:.2f}",
        f"{usage.acceptance_rate:.0%}" if usage.draft_tokens else "-",
    )


def _steps(found: SpeedBench) -> Table:
    from rich.table import Table  # noqa: PLC0415

    from outrider.lab.speed_bench import PHASES  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("ms a step", overflow="fold")
    for heading in (*PHASES, "rows", "saved", "est.", "looping", "else"):
        table.add_column(heading, justify="right", no_wrap=True)
    for figures in found.plans:
        overall, without = figures.overall, figures.without_looping
        table.add_row(
            figures.plan.name,
            *(f"{overall.phase_ms(phase):.2f}" for phase in PHASES),
            f"{overall.rows_per_step:.1f}",
            f"{figures.saved_ms / 1000:.1f}",
            f"{figures.estimated_ms / 1000:.1f}",
            f"{figures.looping_share:.0%}",
            f"{without.value:.2f}" if without else "-",
        )
    return table
