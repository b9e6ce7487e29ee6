"""Settings by their flat names: temperature=0.7 instead of Sampling(temperature=0.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypedDict

from outrider.errors import UsageError, unknown_name
from outrider.sampling import derive_seed, draw_seed
from outrider.types import Constraint, Message, Request, Sampling, Speculation

Prompt = str | Request | Sequence[Message | Mapping[str, str]]
"""Text to continue as it stands, a conversation, or a whole request."""


class Settings(TypedDict, total=False):
    """What `LLM`'s methods take by keyword; see `Sampling`, `Request` and `Speculation`.

    `speculation` is a `Speculation`, or False to decode plainly.
    """

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[int, float]
    seed: int | None
    max_tokens: int | None
    stop: str | Sequence[str]
    ignore_eos: bool
    n: int
    logprobs: int | None
    prompt_logprobs: int | None
    constraint: Constraint | None
    parse_special: bool
    speculation: Speculation | bool
    drafter: str | None
    num_draft_tokens: int | None
    verification: str
    controller: str | None


_SAMPLING = frozenset(field.name for field in fields(Sampling))
_SPECULATION = frozenset(field.name for field in fields(Speculation)) - {"enabled"}


def make_request(prompt: Prompt | None, settings: Mapping[str, Any]) -> Request:
    """A request made of a prompt and flat settings; settings win over those of a request.

    Args:
        prompt: None where `tokens` are among the settings.
        settings: keys of `Settings`, or `tokens`.

    Raises:
        UsageError: a setting does not exist (the nearest one is named) or has no valid value.
    """
    known = {*Settings.__annotations__, "tokens"}
    for name in settings:
        if name not in known:
            raise unknown_name("setting", name, known)
    values = {k: v for k, v in settings.items() if k not in _SAMPLING | _SPECULATION}
    base: Request | None = None
    if isinstance(prompt, Request):
        base = prompt
    elif isinstance(prompt, str):
        values["prompt"] = prompt
    elif prompt is not None:
        values["messages"] = messages(prompt)
    if isinstance(stop := values.get("stop"), str):
        values["stop"] = (stop,)
    elif stop is not None:
        values["stop"] = tuple(stop)
    if "tokens" in values:
        values["tokens"] = tuple(values["tokens"])
    sampling = {k: v for k, v in settings.items() if k in _SAMPLING}
    if sampling:
        values["sampling"] = replace(base.sampling if base else Sampling(), **sampling)
    wish = values.pop("speculation", base.speculation if base else None)
    if isinstance(wish, bool):
        wish = Speculation(enabled=wish)
    if speculation := {k: v for k, v in settings.items() if k in _SPECULATION}:
        wish = replace(wish or Speculation(), **speculation)
    values["speculation"] = wish
    return replace(base, **values) if base else Request(**values)


def make_requests(
    prompts: Iterable[Prompt], settings: Mapping[str, Any], seed: int | None
) -> Iterator[Request]:
    """Requests made of many prompts, each with a seed of its own.

    Args:
        prompts: as in `make_request`.
        settings: as in `make_request`; a seed among them is that of all.
        seed: of all, where the settings have none; None draws one. Each request's is derived from
            it by the request's index; one that has a seed already keeps it.

    Raises:
        UsageError: as in `make_request`.
    """
    given = settings.get("seed")
    seed = seed if given is None else given
    seed = draw_seed() if seed is None else seed
    rest = {name: value for name, value in settings.items() if name != "seed"}
    for index, prompt in enumerate(prompts):
        request = make_request(prompt, rest)
        if request.sampling.seed is None:
            own = replace(request.sampling, seed=derive_seed(seed, index))
            request = replace(request, sampling=own)
        yield request


def messages(conversation: Sequence[Message | Mapping[str, str]]) -> tuple[Message, ...]:
    """Messages, some of them perhaps as {"role": …, "content": …}.

    Raises:
        UsageError: one is neither, or has other keys.
    """
    made = []
    for message in conversation:
        if isinstance(message, Mapping):
            for key in message:
                if key not in {"role", "content"}:
                    raise unknown_name("message key", key, ("role", "content"))
            made.append(Message(message.get("role", ""), message.get("content", "")))
        elif isinstance(message, Message):
            made.append(message)
        else:
            raise UsageError(
                "A conversation is a list of messages with a role and a content, "
                f"but this has {message!r} in it."
            )
    return tuple(made)
