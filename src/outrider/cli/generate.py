"""`outrider generate`: one answer as it streams, or many at once."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outrider.cli.options import (
    AcceptTerms,
    CacheOptions,
    DraftLines,
    Json,
    MachineOptions,
    PromptOptions,
    Raw,
    SamplingOptions,
    SpeculationOptions,
    System,
    command,
)
from outrider.cli.output import AnswerWriter, note, print_json, summary, warn
from outrider.cli.records import completion_record
from outrider.cli.session import load_model, model_record
from outrider.errors import SamplingError, UsageError

if TYPE_CHECKING:
    from outrider.cli.draft_view import DraftView
    from outrider.llm import LLM
    from outrider.prompts import Prompt
    from outrider.types import Completion, Message


@command
def generate(
    prompt: Annotated[
        str | None, typer.Argument(help="What to answer; - reads it from standard input.")
    ] = None,
    *,
    machine: MachineOptions,
    prompts: PromptOptions,
    sampling: SamplingOptions,
    system: System = None,
    raw: Raw = False,
    n: Annotated[
        int | None, typer.Option("-n", metavar="N", help="Completions of each prompt.")
    ] = None,
    logprobs: Annotated[
        int | None,
        typer.Option(metavar="K", help="Report log-probabilities, with the K best tokens."),
    ] = None,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Go on after the model's end of text.")
    ] = False,
    cache: CacheOptions,
    speculation: SpeculationOptions,
    draft_debug: DraftLines = False,
    show_drafts: Annotated[
        bool,
        typer.Option(
            "--show-drafts",
            help="Show which drafter each token came from, and at the end what drafting brought.",
        ),
    ] = False,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Answer a prompt, or a file of prompts."""
    from outrider.cli.draft_view import DraftView  # noqa: PLC0415
    from outrider.prompts import Prompt  # noqa: PLC0415

    if (prompt is None) == (prompts.prompts is None):
        raise UsageError("Give either a prompt or --prompts FILE.")
    if prompts.limit is not None and prompts.prompts is None:
        raise UsageError("--limit needs --prompts FILE to take from.")
    if logprobs is not None and not json:
        raise UsageError("--logprobs needs --json, which has a place for them.")
    if show_drafts and json:
        raise UsageError(
            "--show-drafts shows an answer to people, and --json to programs; leave one of them "
            "out. The counters are in the JSON too."
        )
    if raw and system is not None:
        raise UsageError("--system needs the chat template, which --raw leaves out.")
    settings = sampling.settings()
    settings |= {} if n is None else {"n": n}
    settings |= {} if logprobs is None else {"logprobs": logprobs}
    settings |= {"ignore_eos": True} if ignore_eos else {}
    if prompts.prompts is not None:
        many = prompts.read()
    else:
        # A shell's own line end is no part of what was said.
        text = sys.stdin.read().removesuffix("\n") if prompt == "-" else str(prompt)
        if not text:
            raise UsageError("The prompt is empty; write what to answer.")
        many = [Prompt(0, (text,))]

    with load_model(machine, cache, speculation, accept_terms=accept_terms) as llm:
        chat = llm.has_chat_template and not raw
        if system is not None and not chat:
            raise UsageError(f"--system needs a chat template, and {machine.model} has none.")
        if not chat and any(len(p.turns) > 1 for p in many):
            raise UsageError("Prompts of several turns need a model's chat template.")
        view = DraftView(llm.tokenizer, debug=draft_debug, show=show_drafts)
        start = time.perf_counter()
        if prompts.prompts is not None:
            done = _answer_many(llm, many, settings, view, chat=chat, system=system, show=not json)
        else:
            done = [(many[0], 0, _answer_one(llm, many[0], settings, view, chat, system, not json))]
        seconds = time.perf_counter() - start
        completions = [completion for _, _, completion in done]
        if json:
            print_json(_record(llm, machine.model, settings, done, seconds))
        elif prompts.prompts is not None:
            _summarise(completions, seconds)
        view.finish(completions)
    failed = [c.error for _, _, completion in done for c in completion.choices if c.error]
    if failed:
        raise SamplingError(failed[0])


def _messages(system: str | None, text: str) -> tuple[Message, ...]:
    from outrider.types import Message  # noqa: PLC0415

    first = () if system is None else (Message("system", system),)
    return (*first, Message("user", text))


def _answer_one(
    llm: LLM,
    prompt: Prompt,
    settings: dict[str, Any],
    view: DraftView,
    chat: bool,
    system: str | None,
    show: bool,
) -> Completion:
    """The only prompt's answer, written while it comes."""
    (text,) = prompt.turns
    stream = llm.stream(_messages(system, text) if chat else text, **settings)
    alone = settings.get("n", 1) == 1
    writer = AnswerWriter()
    for event in stream:
        view.take(event, writer if show and alone else None)
    completion = stream.completion
    if show:
        if alone:
            writer.finish()
        else:
            for index in range(len(completion.choices)):
                note(f"[{index}]")
                view.write_kept(index)
        for choice in completion.choices:
            note(summary(choice.usage))
    return completion


def _answer_many(
    llm: LLM,
    prompts: list[Prompt],
    settings: dict[str, Any],
    view: DraftView,
    *,
    chat: bool,
    system: str | None,
    show: bool,
) -> list[tuple[Prompt, int, Completion]]:
    """Every turn of every prompt, first turns first; a prompt, its turn and the answer."""
    from outrider.sampling import derive_seed, draw_seed  # noqa: PLC0415
    from outrider.settings import make_request  # noqa: PLC0415
    from outrider.types import Message  # noqa: PLC0415

    seed = settings.get("seed", llm.seed)
    seed = draw_seed() if seed is None else seed
    said: dict[int, tuple[Message, ...]] = {}
    done: list[tuple[Prompt, int, Completion]] = []
    for turn in range(max(len(prompt.turns) for prompt in prompts)):
        asked = [prompt for prompt in prompts if len(prompt.turns) > turn]
        requests = []
        for prompt in asked:
            content: str | tuple[Message, ...] = prompt.turns[turn]
            if chat and turn == 0:
                content = _messages(system, prompt.turns[0])
            elif chat:
                content = (*said[prompt.index], Message("user", prompt.turns[turn]))
            # The first turn's seed is the one that `generate_many` gives the same file.
            path = (prompt.index, turn) if turn else (prompt.index,)
            requests.append(make_request(content, settings | {"seed": derive_seed(seed, *path)}))
        answers = llm.generate_many(requests, listener=lambda _, event: view.take(event))
        for prompt, request, completion in zip(asked, requests, answers, strict=True):
            said[prompt.index] = (*(request.messages or ()), Message("assistant", completion.text))
            done.append((prompt, turn, completion))
            if show:
                _show(prompt, turn, completion, view)
    return done


def _show(prompt: Prompt, turn: int, completion: Completion, view: DraftView) -> None:
    label = prompt.category or ""
    note(f"[{prompt.index}] {label}{': ' if label else ''}{_first_line(prompt.turns[turn])}")
    for index, choice in enumerate(completion.choices):
        view.write_kept(index)
        if choice.error:
            warn(choice.error)
    typer.echo()


def _first_line(text: str, width: int = 60) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _summarise(completions: list[Completion], seconds: float) -> None:
    usages = [choice.usage for completion in completions for choice in completion.choices]
    tokens = sum(usage.completion_tokens for usage in usages)
    note(
        f"{len(completions)} answers · {tokens} tokens · {tokens / seconds:.1f} tokens/s in all · "
        f"{seconds:.1f} s"
    )


def _record(
    llm: LLM,
    model: str,
    settings: dict[str, Any],
    done: list[tuple[Prompt, int, Completion]],
    seconds: float,
) -> dict[str, Any]:
    completions = []
    for prompt, turn, completion in done:
        about = {"index": prompt.index, "id": prompt.id, "category": prompt.category}
        about |= {"turn": turn, "prompt": prompt.turns[turn]}
        completions.append(about | completion_record(completion))
    usages = [choice.usage for _, _, completion in done for choice in completion.choices]
    tokens = sum(usage.completion_tokens for usage in usages)
    return {
        **model_record(llm, model),
        "settings": settings,
        "completions": completions,
        "seconds": seconds,
        "prompt_tokens": sum(len(completion.prompt_tokens) for _, _, completion in done),
        "completion_tokens": tokens,
        "tokens_per_second": tokens / seconds,
    }
