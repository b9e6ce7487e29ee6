"""The options of the command line, each defined once, and how a command takes a group of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from outrider.errors import UsageError
from outrider.models.catalogue import DEFAULT_MODEL
from outrider.sizes import parse_size

if TYPE_CHECKING:
    from outrider.plan import Plan
    from outrider.prompts import Prompt

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
AcceptTerms = Annotated[
    bool, typer.Option("--accept-terms", help="Accept the model's terms of use.")
]
Limit = Annotated[
    int | None,
    typer.Option(metavar="N", help="Take only N of them, evenly over their categories."),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="The same seed gives the same text. [default: drawn; in answer, bench, tune and "
        "the lab, 0]",
    ),
]
Floor = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Fail unless at least this share is right. [default: none; with --check 0.1]",
    ),
]
System = Annotated[
    str | None,
    typer.Option("--system", metavar="TEXT", help="The system message to begin with."),
]

Raw = Annotated[
    bool,
    typer.Option("--raw", help="Continue the text as it stands, without the chat template."),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", help="Threads to compute with. [default: physical cores]"),
]
Context = Annotated[
    int | None,
    typer.Option(
        metavar="TOKENS",
        help="Longest sequence, prompt included. [default: what the model was trained for]",
    ),
]
DraftLines = Annotated[
    bool,
    typer.Option(
        "--draft-debug", help="Say on standard error how much of each draft was accepted."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOptions:
    """Which model, and on what part of the machine."""

    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="A name of the catalogue, hf:owner/repo/file.gguf, or a GGUF file.",
        ),
    ] = DEFAULT_MODEL
    threads: Threads = None
    kernel: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Instruction set to use. [default: the best one here]"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """How much is kept of how many conversations."""

    context: Context = None
    max_streams: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Completions computed at the same time, at most. [default: 16]"
        ),
    ] = None
    cache_budget: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory for the key-value cache, such as 512MB or 2GiB. [default: 1GiB or more]",
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """What was given, as arguments of `LLM`."""
        given = _given(self)
        if self.cache_budget is not None:
            given["cache_budget"] = parse_size(self.cache_budget)
        return given


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptOptions:
    """Many prompts instead of one."""

    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPTS",
            help="JSON lines with `turns`, `prompt`, `question` or `problem`, or plain text, a "
            "prompt a line; or a set by name: gsm8k, humaneval, mmlu, math500, aime24, "
            "truthfulqa, arithmetic:count=50, hf:owner/name:split and others. Measurements take "
            "26 of our own where none is named, two a category; --limit 104 takes all of them.",
        ),
    ] = None
    limit: Limit = None

    def read(self, limit: int | None = None) -> list[Prompt]:
        """The prompts.

        Args:
            limit: how many, where the user does not say.
        """
        from outrider.tasks import load_prompts  # noqa: PLC0415

        return load_prompts(self.prompts, limit if self.limit is None else self.limit)

    @property
    def name(self) -> str:
        """What records call them."""
        return self.prompts or "built in"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """Servers instead of a model here."""

    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Ask this server of the OpenAI protocol, URL or URL#MODEL, and no model here; may "
            "be given several times, and the others are held against the first.",
        ),
    ] = None

    def refuse(self, **others: Any) -> None:
        """Raise for options beside an endpoint that are for models here.

        Args:
            others: what was given of each such option, by its name; groups of options are looked
                through.

        Raises:
            UsageError: one was given that is not its default.
        """
        for name, value in others.items():
            if is_dataclass(value) and not isinstance(value, type):
                self.refuse(
                    **{
                        f.name: getattr(value, f.name)
                        for f in fields(value)
                        if getattr(value, f.name) != f.default
                    }
                )
            elif value:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for a model here, and --endpoint asks a "
                    "server; leave one of them out."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """How tokens are chosen, and when to end."""

    max_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Tokens to generate, at most. [default: 256; in a chat and in think, what fits; "
            "in bench and tune, 128; in the lab, 96 or, quick, 32]",
        ),
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(metavar="T", help="0 always takes the likeliest token. [default: 0]"),
    ] = None
    top_p: Annotated[
        float | None,
        typer.Option(metavar="P", help="Keep the likeliest tokens that together reach P."),
    ] = None
    top_k: Annotated[
        int | None, typer.Option(metavar="K", help="Keep the K likeliest tokens; 0 keeps all.")
    ] = None
    min_p: Annotated[
        float | None,
        typer.Option(metavar="P", help="Keep tokens at least P times as likely as the likeliest."),
    ] = None
    repetition_penalty: Annotated[
        float | None, typer.Option(metavar="X", help="Above 1: avoid tokens that were there.")
    ] = None
    presence_penalty: Annotated[
        float | None, typer.Option(metavar="X", help="Above 0: avoid tokens of the answer.")
    ] = None
    frequency_penalty: Annotated[
        float | None, typer.Option(metavar="X", help="The same, for every time one occurred.")
    ] = None
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="End before this text; may be given several times."),
    ] = None
    seed: Seed = None

    def settings(self) -> dict[str, Any]:
        """What was given, as settings of `LLM.generate`."""
        given = _given(self)
        if self.stop is not None:
            given["stop"] = tuple(self.stop)
        return given


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeculationOptions:
    """Whether something cheap rides ahead, and what."""

    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="How to speculate, as `outrider tune` wrote it."),
    ] = None
    drafter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What rides ahead, such as ngram; none decodes plainly. [default: mixed]",
        ),
    ] = None
    draft_model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The model that drafts; the drafter is then `model`."),
    ] = None
    num_draft_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens to draft at a time, at most."),
    ] = None
    verification: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which drafted tokens stand. [default: coupled]"),
    ] = None
    controller: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What decides how many tokens to draft. [default: cost]"),
    ] = None
    no_speculation: Annotated[
        bool, typer.Option("--no-speculation", help="Decode plainly, whatever else is set.")
    ] = False

    def settings(self) -> dict[str, Any]:
        """What was given, as arguments of `LLM`."""
        given = _given(self)
        return given | ({"speculation": False} if given.pop("no_speculation") else {})

    def record(self) -> dict[str, Any]:
        """What was given, for records: a plan by what its file says."""
        plan = {} if self.plan is None else {"plan": asdict(self._plan())}
        return self.settings() | plan

    def check(self, *, here: bool, lossless: bool = False) -> None:
        """Raise for what cannot be honoured.

        Args:
            here: whether any of the models is computed here.
            lossless: whether answers have to be those of plain decoding.

        Raises:
            UsageError: something was given, and all models are servers'; or other answers would
                come of it; or the plan's file is none.
        """
        if self.settings() and not here:
            raise UsageError(
                "How tokens are drafted can be said of a model here, and a server decides that "
                "itself; leave the options of speculation out."
            )
        verification = self.verification or self._plan().verification
        if lossless and verification != "coupled":
            raise UsageError(
                f"Under the verification {verification!r} a model says other things than plainly, "
                "and what was learnt of its answers would not hold; leave it out."
            )

    def _plan(self) -> Plan:
        from outrider.plan import Plan  # noqa: PLC0415

        return Plan() if self.plan is None else Plan.load(self.plan)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function with groups of options a command that Typer understands.

    A parameter whose annotation is a dataclass of this module stands for that class's fields: they
    become the command's options, and the function is given the instance made of their values.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type, tuple[str, ...]]] = {}
    hints = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        kind = hints[parameter.name]
        if not (isinstance(kind, type) and is_dataclass(kind)):
            parameters.append(parameter.replace(annotation=kind, kind=parameter.KEYWORD_ONLY))
            continue
        kinds = get_type_hints(kind, include_extras=True)
        groups[parameter.name] = (kind, tuple(f.name for f in fields(kind)))
        parameters += (
            inspect.Parameter(
                f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=kinds[f.name]
            )
            for f in fields(kind)
        )

    def run(**values: Any) -> None:
        for name, (kind, members) in groups.items():
            values[name] = kind(**{member: values.pop(member) for member in members})
        function(**values)

    update_wrapper(run, function)
    del run.__wrapped__  # type: ignore[attr-defined]  # its signature is not this one's
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return run


def _given(options: Any) -> dict[str, Any]:
    values = ((f.name, getattr(options, f.name)) for f in fields(options))
    return {name: value for name, value in values if value is not None}
