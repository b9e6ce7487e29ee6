"""Conversations as the texts that models behind servers read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

Ask = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]
"""Asks a server something at a path of its root; None where it does not know the path."""

Turns = Sequence[Mapping[str, str]]
"""Messages as the protocol has them, the answer's beginning not among them."""


def by_template(ask: Ask, _model: str, turns: Turns) -> str | None:
    """As llama.cpp renders it."""
    said = ask("apply-template", {"messages": turns})
    return _text(said)


def by_tokens(ask: Ask, model: str, turns: Turns) -> str | None:
    """As vLLM renders it, into tokens whose text it tells.

    Its completions begin a text with the model's first token, if the model has one. Where the
    template begins with it as well, it is left out here.
    """
    said = ask("tokenize", {"model": model, "messages": turns, "add_generation_prompt": True})
    tokens = _tokens(said)
    text = _text(ask("detokenize", {"model": model, "tokens": tokens})) if tokens else None
    if text is None:
        return None
    read = _tokens(ask("tokenize", {"model": model, "prompt": text}))
    if read[:2] == 2 * tokens[:1]:
        first = _text(ask("detokenize", {"model": model, "tokens": tokens[:1]}))
        text = text.removeprefix(first or "")
    return text


Rendering = Literal["template", "tokens"]

RENDERINGS: Final[Mapping[Rendering, Callable[[Ask, str, Turns], str | None]]] = {
    "template": by_template,
    "tokens": by_tokens,
}
"""What each kind of server is asked, by its name in a `Dialect`."""


def _text(said: Mapping[str, Any] | None) -> str | None:
    text = None if said is None else said.get("prompt")
    return text if isinstance(text, str) else None


def _tokens(said: Mapping[str, Any] | None) -> list[Any]:
    tokens = None if said is None else said.get("tokens")
    return tokens if isinstance(tokens, list) else []
