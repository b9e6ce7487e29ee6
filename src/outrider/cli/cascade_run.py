"""`outrider cascade run`: answers with as few stages as are worth their cost."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from outrider.cli.cascade_files import (
    Family,
    File,
    PredictorFile,
    Threads,
    WishOptions,
    open_ladder,
    read_predictor,
    read_settings,
)
from outrider.cli.options import (
    AcceptTerms,
    Json,
    PromptOptions,
    SpeculationOptions,
    command,
)
from outrider.cli.output import note, print_json
from outrider.errors import UsageError

if TYPE_CHECKING:
    from outrider.strategies.cascade import CascadeAnswer


@command
def run(
    cascade: File,
    question: Annotated[
        str | None, typer.Argument(help="What to answer; - reads it from standard input.")
    ] = None,
    *,
    prompts: PromptOptions,
    predictor: PredictorFile = None,
    policy: Family = "stopping",
    wishes: WishOptions,
    threads: Threads = None,
    speculation: SpeculationOptions,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Answer questions with as few stages as are worth their cost."""
    from outrider.prompts import Prompt  # noqa: PLC0415
    from outrider.strategies.cascade import Cascade, TrainedPolicy  # noqa: PLC0415

    if (question is None) == (prompts.prompts is None):
        raise UsageError("Give either a question or --prompts FILE.")
    if prompts.limit is not None and prompts.prompts is None:
        raise UsageError("--limit needs --prompts FILE to take from.")
    wish = wishes.wish()
    settings = read_settings(cascade)
    made = read_predictor(cascade, predictor)
    if prompts.prompts is not None:
        many = prompts.read()
    else:
        text = sys.stdin.read().strip() if question == "-" else str(question)
        if not text:
            raise UsageError("The question is empty; write what to answer.")
        many = [Prompt(0, (text,))]
    steered = TrainedPolicy(made, policy, wish)
    with open_ladder(settings, threads, speculation, accept_terms=accept_terms) as ladder:
        whole = Cascade.on(ladder, steered)
        if not json:
            foreseen = steered.expected
            note(
                f"λ = {steered.worth:,.4g} {made.unit}: in training, {foreseen.quality:.1%} right "
                f"at {foreseen.cost:,.4g} {made.unit} a question"
            )
        found: list[tuple[Prompt, int, CascadeAnswer]] = []
        for prompt, answers in zip(many, whole.converse_many(p.turns for p in many), strict=True):
            for turn, answer in enumerate(answers):
                found.append((prompt, turn, answer))
                if not json:
                    if prompts.prompts is not None:
                        note(f"[{prompt.index}] {prompt.turns[turn]}")
                    typer.echo(answer.text.strip())
                    note(_how(answer, made.unit))
        if json:
            print_json(
                {
                    "lambda": None if math.isinf(steered.worth) else steered.worth,
                    "unit": made.unit,
                    "policy": policy,
                    "answers": [
                        {"id": p.id, "turn": turn, "question": p.turns[turn], **a.record()}
                        for p, turn, a in found
                    ],
                }
            )
        elif len(found) > 1:
            cost = sum(answer.cost for *_, answer in found) / len(found)
            note(f"{len(found)} answers, {cost:,.4g} {made.unit} each")


def _how(answer: CascadeAnswer, unit: str) -> str:
    """One line about how a cascade came to an answer."""
    asked = " → ".join(
        f"{a.stage} {score:.0%}" for a, score in zip(answer.asked, answer.scores, strict=True)
    )
    return f"{answer.complexity} · {asked} · from {answer.stage} · {answer.cost:,.4g} {unit}"
