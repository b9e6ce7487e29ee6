"""What a server streams, chunk by chunk, as pieces of a completion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from outrider.errors import EndpointError
from outrider.types import UNKNOWN_TOKEN, TokenLogprob

DONE: Final = "[DONE]"

_TOKEN_ID: Final = "token_id:"


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk of an answer.

    Attributes:
        text: of the answer.
        reasoning: text that the server keeps apart from the answer.
        tokens: ids, where the server gives them.
        logprobs: of the tokens, where asked for and given.
        prompt_tokens: the prompt's ids, where the server gives them.
        finish: why the answer ended, in the server's word.
        usage: counters, as the protocol has them.
        timings: llama.cpp's times and counters.
    """

    text: str = ""
    reasoning: str = ""
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_tokens: tuple[int, ...] = ()
    finish: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)


def read(data: str, source: str) -> Piece:
    """The piece in an event's data.

    Args:
        data: JSON.
        source: the server, for messages.

    Raises:
        EndpointError: it is no chunk of a completion, or it is an error's message.
    """
    try:
        chunk = json.loads(data)
    except ValueError as error:
        raise EndpointError(f"{source} sent what is not JSON: {data[:80]!r}.") from error
    if not isinstance(chunk, dict):
        raise EndpointError(f"{source} sent no part of an answer: {data[:80]!r}.")
    if chunk.get("error"):
        raise EndpointError(f"{source} failed: {message(chunk) or 'it does not say why'}.")
    try:
        return _piece(chunk)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise EndpointError(f"{source} sent no part of an answer: {data[:80]!r}.") from error


def message(body: object) -> str:
    """The sentence of an error's JSON, in the forms that servers use; empty where there is none."""
    while isinstance(body, dict):
        body = next((body[k] for k in ("error", "message", "detail") if body.get(k)), "")
    if isinstance(body, list):  # FastAPI: a list of what is wrong with which field
        found = [e for e in body if isinstance(e, dict)]
        body = "; ".join(
            f"{'.'.join(map(str, e.get('loc', ())[1:]))}: {e.get('msg', '')}" for e in found
        )
    return " ".join(str(body or "").split()).rstrip(".")


def _piece(chunk: Mapping[str, Any]) -> Piece:
    choices: Sequence[Mapping[str, Any]] = chunk.get("choices") or ()
    choice: Mapping[str, Any] = choices[0] if choices else {}
    delta: Mapping[str, Any] = choice.get("delta") or {}
    logprobs = _logprobs(choice.get("logprobs") or {})
    tokens = tuple(map(int, choice.get("token_ids") or ()))
    if not tokens and all(entry.token != UNKNOWN_TOKEN for entry in logprobs):
        tokens = tuple(entry.token for entry in logprobs)
    prompt = choice.get("prompt_token_ids") or chunk.get("prompt_token_ids") or ()
    return Piece(
        text=str(choice.get("text") or delta.get("content") or ""),
        reasoning=str(delta.get("reasoning_content") or delta.get("reasoning") or ""),
        tokens=tokens,
        logprobs=logprobs,
        prompt_tokens=tuple(map(int, prompt)),
        finish=choice.get("finish_reason"),
        usage=chunk.get("usage") or {},
        timings=chunk.get("timings") or {},
    )


def _logprobs(values: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    """Of a chat, and of llama.cpp always, `content`; of other completions parallel lists."""
    if values.get("content"):
        return tuple(
            TokenLogprob(
                _id(entry),
                float(entry["logprob"]),
                tuple((_id(top), float(top["logprob"])) for top in entry.get("top_logprobs") or ()),
            )
            for entry in values["content"]
        )
    tokens, own = values.get("tokens") or (), values.get("token_logprobs") or ()
    tops = values.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        TokenLogprob(
            _id({"token": token}),
            float(logprob),
            tuple((_id({"token": t}), float(value)) for t, value in (top or {}).items()),
        )
        for token, logprob, top in zip(tokens, own, tops, strict=True)
        if logprob is not None
    )


def _id(entry: Mapping[str, Any]) -> int:
    """A token's id; the protocol gives its text alone, and some servers more."""
    if "id" in entry:
        return int(entry["id"])
    text = str(entry.get("token", ""))
    return int(text.removeprefix(_TOKEN_ID)) if text.startswith(_TOKEN_ID) else UNKNOWN_TOKEN
