"""`outrider lab run` and `lab retry`: experiments are measured."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outrider.cli.lab_output import show_report
from outrider.cli.options import (
    AcceptTerms,
    CacheOptions,
    MachineOptions,
    PromptOptions,
    Raw,
    SamplingOptions,
    SpeculationOptions,
    command,
)
from outrider.cli.output import note, show_bar
from outrider.cli.session import load_model

if TYPE_CHECKING:
    from outrider.lab.run_folder import RunFolder
    from outrider.llm import LLM

QUICK_PROMPTS = 13
QUICK_TOKENS = 32
MAX_TOKENS = 96
REPEATS = 3
DRAFTERS = ("mixed", "recycle", "suffix", "ngram", "early_exit")
ALL = "all"


@command
def run(
    *,
    experiments: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPERIMENT",
            help="Names from `outrider lab list`, or `all`: every one but `peers`, which first "
            "installs other engines. Options follow a colon, as in temperature:length=8.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="The folder for measurements and report; it must not hold a run yet.",
        ),
    ],
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help=f"A first look: {QUICK_PROMPTS} prompts, one a category, each asked once, for "
            f"{QUICK_TOKENS} tokens; and fewer values of what varies.",
        ),
    ] = False,
    machine: MachineOptions,
    prompts: PromptOptions,
    drafter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A drafter to compare; may be given several times. Experiments with a single "
            f"drafter take the first. [default: {', '.join(DRAFTERS)}]",
        ),
    ] = None,
    draft_model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="A model that drafts; it comes first among the drafters."
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="How often every prompt is asked in every setting. "
            f"[default: {REPEATS}; quick: 1]",
        ),
    ] = None,
    raw: Raw = False,
    sampling: SamplingOptions,
    cache: CacheOptions,
    accept_terms: AcceptTerms = False,
) -> None:
    """Run experiments and write their report.

    The folder gets the configuration, every measurement as it is made, plots, and the report as
    Markdown and as one HTML page. A run that is interrupted goes on with `outrider lab retry DIR`.
    """
    from outrider.drafters import quantized  # noqa: PLC0415
    from outrider.errors import UsageError  # noqa: PLC0415
    from outrider.lab import plots, runs  # noqa: PLC0415
    from outrider.lab.experiment import Setup  # noqa: PLC0415
    from outrider.lab.variants import formats  # noqa: PLC0415

    plots.check()
    names = runs.all_experiments() if experiments == [ALL] else experiments
    runs.load_experiments(names)
    settings = sampling.settings()
    max_tokens = settings.pop("max_tokens", QUICK_TOKENS if quick else MAX_TOKENS)
    if max_tokens < 2:
        raise UsageError(
            f"--max-tokens has to be at least 2, not {max_tokens}: speed is measured from the "
            "first token to the last."
        )
    if repeats is not None and repeats < 1:
        raise UsageError(f"--repeats has to be at least 1, not {repeats}.")
    drafters = tuple(drafter or DRAFTERS)
    if draft_model is not None:
        drafters = (f"model:draft_model={draft_model}", *drafters)
    many = prompts.read(QUICK_PROMPTS if quick else None)
    with load_model(machine, cache, SpeculationOptions(), accept_terms=accept_terms) as llm:
        setup = Setup(
            model=machine.model,
            prompts=tuple(many),
            drafters=drafters,
            repeats=repeats or (1 if quick else REPEATS),
            max_tokens=max_tokens,
            seed=settings.pop("seed", 0),
            raw=raw or not llm.has_chat_template,
            max_streams=llm.max_streams,
            context=llm.context,
            quick=quick,
            settings=settings,
            layers=llm.engine.layers if llm.engine.capabilities.layers else 0,
            copy_drafts=quantized.possible(llm.engine),
            formats=formats(llm),
        )
        given = {
            "experiments": experiments,
            "quick": quick,
            "machine": asdict(machine),
            "cache": asdict(cache),
            "prompts": prompts.name,
            "limit": prompts.limit,
            "drafters": drafter,
            "draft_model": draft_model,
            "repeats": repeats,
            **sampling.settings(),
        }
        folder = runs.begin(output, llm, names, setup, given)
        _measure(llm, folder)


@command
def retry(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")],
    accept_terms: AcceptTerms = False,
) -> None:
    """Go on with a run that was interrupted, and write its report.

    What has been measured stays; the rest is measured with the same model, prompts and settings.
    """
    from outrider.lab import plots, runs  # noqa: PLC0415
    from outrider.lab.run_folder import RunFolder  # noqa: PLC0415

    plots.check()
    folder = RunFolder(directory)
    runs.setup_of(folder)
    given = folder.description["given"]
    with load_model(
        MachineOptions(**given["machine"]),
        CacheOptions(**given["cache"]),
        SpeculationOptions(),
        accept_terms=accept_terms,
    ) as llm:
        _measure(llm, folder)


def _measure(llm: LLM, folder: RunFolder) -> None:
    """Measure what is left, and write the report."""
    from outrider.lab import report as pages  # noqa: PLC0415
    from outrider.lab import runs  # noqa: PLC0415

    try:
        with show_bar("warming up") as bar:
            runs.go_on(llm, folder, lambda p: bar(p.done, p.total, p.what, p.left_ms))
    except KeyboardInterrupt:
        note(f"Interrupted; `outrider lab retry {folder.path}` goes on.")
        raise
    show_report(pages.story([folder], folder.path))
