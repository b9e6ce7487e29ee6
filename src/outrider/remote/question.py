"""A request as the protocol writes it, or the sentence that says why it cannot be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from outrider.errors import UsageError
from outrider.remote.dialect import Dialect
from outrider.types import Request, Sampling, Speculation

SEEDS: Final = 2**31 - 1
"""Seeds that every server takes; a larger one is taken modulo this."""

MAX_BIAS: Final = 100.0
"""The largest bias that the protocol knows; servers cut larger ones off."""

PENALTY_WINDOW: Final = 32_768
"""Tokens that penalties look back, where the context is not known."""

_PENALTIES: Final = ("presence_penalty", "frequency_penalty")
_GREEDY: Final = ("penalties", "top_k")
_SAMPLED: Final = ("penalties", "temperature", "min_p", "top_k", "top_p")


@dataclass(frozen=True, slots=True)
class Question:
    """One completion to be asked for.

    Attributes:
        path: behind the server's base address.
        body: the JSON object.
        logprobs: how many best tokens are to come with each; None where none was asked for.
    """

    path: str
    body: Mapping[str, Any]
    logprobs: int | None = None

    @property
    def chat(self) -> bool:
        """Whether it is a conversation."""
        return self.path.startswith("chat")


def write(
    request: Request,
    dialect: Dialect,
    *,
    model: str,
    context: int | None,
    seed: int,
    extra: Mapping[str, Any],
) -> Question:
    """One completion of a request, in the words of a server.

    Args:
        request: what is asked; of its n completions, one.
        dialect: what the server offers.
        model: the name that the server knows its model by.
        context: the longest sequence in tokens, where that is known.
        seed: of the noise.
        extra: further keys, which win.

    Raises:
        UsageError: the server or the protocol has no words for an option, which is named.
    """
    _check(request, dialect)
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        **dialect.ids,
        **_sampling(request.sampling, dialect, context),
    }
    if request.sampling.temperature > 0:
        body["seed"] = seed % SEEDS
    if request.stop:
        body["stop"] = list(request.stop)
    if request.ignore_eos and dialect.ignore_eos:
        body[dialect.ignore_eos] = True
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.logprobs is not None:
        body |= dialect.logprob_ids
    if request.messages is not None:
        body |= _chat(request, dialect)
        path = "chat/completions"
    else:
        body |= _completion(request, dialect)
        path = "completions"
    return Question(path, body | dict(extra), request.logprobs)


def _chat(request: Request, dialect: Dialect) -> dict[str, Any]:
    messages = request.messages or ()
    body: dict[str, Any] = {
        "messages": [{"role": m.role, "content": m.content} for m in messages],
        **dialect.chat,
    }
    if messages[-1].role == "assistant":
        body |= dialect.continues or {}
    if request.logprobs is not None:
        # At least one: llama.cpp takes 0 as no wish for any.
        body |= {"logprobs": True, "top_logprobs": max(request.logprobs, 1)}
    return body


def _completion(request: Request, dialect: Dialect) -> dict[str, Any]:
    prompt = request.prompt if request.tokens is None else list(request.tokens)
    body: dict[str, Any] = {"prompt": prompt}
    if request.max_tokens is None:
        body |= dialect.no_limit or {}
    if request.logprobs is not None:
        body["logprobs"] = max(request.logprobs, 1)
    return body


def _sampling(sampling: Sampling, dialect: Dialect, context: int | None) -> dict[str, Any]:
    """All that the server has a key for is set: its own defaults are none of the request's."""
    greedy = sampling.temperature == 0
    body: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": 1.0 if greedy else sampling.top_p,
    }
    if dialect.top_k:
        body[dialect.top_k] = 1 if greedy else sampling.top_k or dialect.no_top_k
    if dialect.min_p:
        body[dialect.min_p] = 0.0 if greedy else sampling.min_p
    if dialect.repetition_penalty:
        body[dialect.repetition_penalty] = sampling.repetition_penalty
    if dialect.samplers:
        body[dialect.samplers] = list(_GREEDY if greedy else _SAMPLED)
    for name in _PENALTIES:
        if value := getattr(sampling, name):
            body[name] = value
    penalises = sampling.repetition_penalty != 1.0 or any(name in body for name in _PENALTIES)
    if dialect.penalty_window and penalises:
        body[dialect.penalty_window] = context or PENALTY_WINDOW
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias.items()}
    return body


def _check(request: Request, dialect: Dialect) -> None:
    """Raise for what the server would ignore or refuse."""
    sampling = request.sampling
    sampled = sampling.temperature > 0
    last = request.messages[-1].role if request.messages else None
    # What is asked for, whether it can be had, and what to do instead.
    wishes: tuple[tuple[bool, str, bool, str], ...] = (
        (request.constraint is not None, "constraint", False, "leave it out"),
        (request.prompt_logprobs is not None, "prompt_logprobs", False, "leave it out"),
        (_asks(request.speculation), "speculation", False, "set it where the server is started"),
        (request.ignore_eos, "ignore_eos", dialect.ignore_eos is not None, "leave it out"),
        (sampled and sampling.top_k > 0, "top_k", dialect.top_k is not None, "use top_p"),
        (sampled and sampling.min_p > 0, "min_p", dialect.min_p is not None, "use top_p"),
        (
            sampling.repetition_penalty != 1.0,
            "repetition_penalty",
            dialect.repetition_penalty is not None,
            "use frequency_penalty",
        ),
        (request.tokens is not None, "tokens", dialect.token_prompts is not False, "give text"),
        (
            last == "assistant",
            "continuing the assistant's message",
            dialect.continues is not None,
            "give the rendered text as prompt",
        ),
        (
            request.max_tokens is None and request.messages is None,
            "max_tokens=None with a text as prompt",
            dialect.no_limit is not None,
            "give a number",
        ),
        (request.parse_special, "parse_special", dialect.owner != "", "leave it out"),
    )
    for asked, name, offered, remedy in wishes:
        if asked and not offered:
            raise UsageError(f"{name} cannot be had from {dialect.name}; {remedy}.")
    for token, bias in sampling.logit_bias.items():
        if abs(bias) > MAX_BIAS:
            raise UsageError(
                f"logit_bias of token {token} is {bias:g}, and the OpenAI protocol knows none "
                f"beyond {MAX_BIAS:g}."
            )


def _asks(wish: Speculation | None) -> bool:
    """Whether a request wants anything else than what its server does by itself."""
    return wish is not None and wish != Speculation()
