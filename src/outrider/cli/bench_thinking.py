"""`outrider bench thinking`: two models that think together against the large one alone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from outrider.cli.options import AcceptTerms, Json, SpeculationOptions, command
from outrider.cli.output import note, print_json, warn
from outrider.cli.pair import PairOptions, Side, open_pair
from outrider.cli.thinking_summary import summary_lines
from outrider.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outrider.lab.thinking_bench import Answer, Arm
    from outrider.tasks import Task

DEFAULT_TASK: Final = "aime25.yaml"


@command
def thinking(
    *,
    pair: PairOptions,
    task_config: Annotated[
        str,
        typer.Option(
            "--task-config",
            "--aime-config",
            metavar="TASK",
            help="The problems: a task file in the shape of SkyThought's, a file of questions, a "
            "set of the hub as hf:owner/name:split, or the name of a task such as svamp or "
            "arithmetic:count=50.",
        ),
    ] = DEFAULT_TASK,
    num_problems: Annotated[int, typer.Option(metavar="N", help="Take the first N problems.")] = 5,
    num_runs: Annotated[int, typer.Option(metavar="N", help="Answers to each problem.")] = 5,
    test_mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="large and small measure one model alone, spec the two together, both large and "
            "spec. With the same --output, one mode after the other gives one comparison.",
        ),
    ] = "both",
    temperature: Annotated[
        float, typer.Option(metavar="T", help="0 always takes the likeliest token.")
    ] = 0.6,
    top_p: Annotated[
        float, typer.Option(metavar="P", help="Keep the likeliest tokens that together reach P.")
    ] = 0.95,
    top_k: Annotated[
        int, typer.Option(metavar="K", help="Keep the K likeliest tokens; 0 keeps all.")
    ] = 20,
    max_tokens: Annotated[
        int, typer.Option(metavar="N", help="Tokens of an answer, at most.")
    ] = 32768,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed, the same answers.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the figures go. [default: benchmark_results/speedup_benchmark_TIME.json]",
        ),
    ] = None,
    speculation: SpeculationOptions,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Measure thinking with two models against the large one alone, graded.

    Latency, tokens a second, tokens, the large model's share of them, how often it was called,
    accuracy, and the share of rejected work. Both arms answer in turn, with the same seeds. Answers
    are written as they come; a benchmark that was cut off goes on with the same --output.
    """
    from outrider.generators import is_address  # noqa: PLC0415
    from outrider.lab.thinking_bench import MODES, Setup, measure, room  # noqa: PLC0415
    from outrider.lab.thinking_record import (  # noqa: PLC0415
        Journal,
        default_output,
        fingerprint,
        record,
        sidecar,
        write,
    )
    from outrider.types import Sampling  # noqa: PLC0415

    if test_mode not in MODES:
        raise unknown_name("test mode", test_mode, MODES)
    for name, value in (("--num-problems", num_problems), ("--num-runs", num_runs)):
        if value < 1:
            raise UsageError(f"{name} has to be at least 1, not {value}.")
    arms = MODES[test_mode]
    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, seed=seed)
    task = load_task(task_config, num_problems)
    config = pair.thinking()
    alone: dict[str, tuple[Side, ...]] = {"large": ("large",), "small": ("small",)}
    needed = alone.get(test_mode, ("small", "large"))
    path = output or default_output(datetime.now())
    notes: list[str] = []
    with open_pair(pair, config, needed, speculation, accept_terms=accept_terms) as (
        names,
        models,
    ):
        setup = Setup(
            task=task,
            runs=num_runs,
            config=config,
            sampling=sampling,
            max_tokens=max_tokens,
            models=models,
        )
        fits = room(setup, arms)
        if fits < 1:
            raise UsageError("A problem fills the context; raise --context or take others.")
        if fits < max_tokens:
            notes.append(
                f"max_tokens of {max_tokens} do not fit the context and are clipped to {fits}"
            )
            setup = setup.clipped(fits)
        if any(is_address(names[side]) for side in needed):
            notes.append(
                "nobody can empty a server's prefix cache, so its times are those of what its "
                "cache holds from earlier answers"
            )
        for text in notes:
            warn(f"{text}.")
        measured = {
            "num_problems": len(task.problems),
            "num_runs": num_runs,
            "target_model": names["large"],
            "speculative_model": names["small"],
            "task": task_config,
            "problems": fingerprint(task),
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "seed": seed,
            "max_tokens": setup.max_tokens,
            "max_tokens_asked": max_tokens,
            "context": pair.context,
            "threads": pair.threads,
            "token_speculation": not speculation.no_speculation,
            "drafting": speculation.record(),
            "thinking": config.record(),
        }
        journal = Journal(path, measured, arms)
        if journal.resumed:
            note(f"going on after {journal.resumed} answers of {sidecar(path)}")
        try:
            for answer in measure(setup, arms, journal.answers):
                journal.add(answer)
                note(_progress(answer, setup.task, num_runs))
        except KeyboardInterrupt:
            again = f"--output {path}"
            note(f"cut off; the same command with {again} goes on ({sidecar(path)})")
            raise
    timestamp = f"{datetime.now():%Y%m%d_%H%M%S}"
    values = record(measured, journal.answers, timestamp, notes)
    write(path, values)
    if json:
        print_json(values)
    else:
        for line in summary_lines(journal.answers):
            typer.echo(line)
    if measured["target_model"] == measured["speculative_model"]:
        warn("Both models are the same, so these figures say nothing about a speed-up.")
    note(f"written: {path}")


def load_task(text: str, count: int) -> Task:
    """The first problems of a task: a file, one that comes with Outrider, or a name.

    Raises:
        UsageError: there is no such task, it has fewer problems, or its answers cannot be graded.
    """
    from dataclasses import replace  # noqa: PLC0415

    from outrider import tasks  # noqa: PLC0415
    from outrider.strategies.thinking.config import PUBLISHED  # noqa: PLC0415

    shipped = PUBLISHED / text
    here = shipped if Path(text).name == text and shipped.is_file() else None
    task = tasks.load(str(here) if here is not None and not Path(text).exists() else text)
    if len(task.problems) < count:
        raise UsageError(
            f"{text} has {len(task.problems)} problems; give --num-problems {len(task.problems)}."
        )
    task = replace(task, problems=task.problems[:count])
    for problem in task.problems:
        # What grading lacks shows now, not after the first answer.
        task.grade(problem, "Final Answer: 0")
    return task


def _progress(answer: Answer, task: Task, runs: int) -> str:
    """A line about an answer that has come."""
    arm: dict[Arm, str] = {
        "large_model": "large",
        "small_model": "small",
        "speculative_thinking": "spec",
    }
    share = f", {answer.large_model_ratio:.0%} large" if answer.arm not in _ALONE else ""
    return (
        f"{arm[answer.arm]:<5} problem {answer.problem + 1}/{len(task.problems)} "
        f"run {answer.run + 1}/{runs}: {answer.latency:.2f} s, {answer.total_tokens} tokens"
        f"{share}, {'right' if answer.correct else 'wrong'}"
    )


_ALONE: Final[Sequence[Arm]] = ("large_model", "small_model")
