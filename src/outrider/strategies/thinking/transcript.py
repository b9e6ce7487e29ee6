"""The text so far as each of two models has it.

A text is continued from token ids where a model has a tokenizer here, and from raw text where it is
behind a server; a conversation is rendered once, at the beginning. What the other model wrote is
appended: its own ids where the two vocabularies are the same, else the ids of that stretch alone.
So the ids a model has computed never change, and its prefix cache holds them.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Protocol, runtime_checkable

from outrider.errors import UsageError
from outrider.llm import LLM
from outrider.text import ChatTemplate, Tokenizer, encode_chat
from outrider.types import Generator, Message, Request

_Utf8Decoder = codecs.getincrementaldecoder("utf-8")

TEMPLATES: Final = {
    "chatml": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "plain": "{% for m in messages %}{{ m.content + '\\n\\n' }}{% endfor %}",
}
"""Chat templates by name: of Qwen, SmolLM2 and others, and for models that only continue texts."""


@dataclass(frozen=True, slots=True)
class Atom:
    """The least that a model writes: a token, or what a server sends at once.

    Attributes:
        text: that it completes.
        token: its id; None where only text comes.
        count: of tokens.
    """

    text: str
    token: int | None = None
    count: int = 1


@dataclass(slots=True)
class Text:
    """A piece of text with the tokens that wrote it.

    Attributes:
        text: all of it.
        tokens: the author's ids; empty where only text came.
        count: of tokens.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    count: int = 0

    def add(self, atom: Atom) -> None:
        """Go on."""
        self.text += atom.text
        self.count += atom.count
        if atom.token is not None:
            self.tokens.append(atom.token)


@runtime_checkable
class Renderer(Protocol):
    """A server that can show a conversation as its model reads it."""

    def render(self, messages: Sequence[Message]) -> str | None:
        """The text of a prompt; None where the server does not say."""
        ...


class Transcript(Protocol):
    """The text so far, as one model has it."""

    def request(self) -> Request:
        """Asks for what comes next."""
        ...

    def append_own(self, piece: Text) -> None:
        """Take in what this model has written."""
        ...

    def append_foreign(self, piece: Text, *, same_ids: bool) -> None:
        """Take in what another has written.

        Args:
            piece: the text and the other's ids.
            same_ids: these mean the same to this model.
        """
        ...

    def copy(self) -> Transcript:
        """Another that goes its own way."""
        ...


class TokenTranscript:
    """The text so far as token ids.

    Args:
        tokenizer: of the model.
        tokens: of the beginning.
    """

    def __init__(self, tokenizer: Tokenizer, tokens: Sequence[int]) -> None:
        self.tokenizer = tokenizer
        self.tokens = list(tokens)

    def request(self) -> Request:
        """Asks for what comes next."""
        return Request(tokens=tuple(self.tokens))

    def append_own(self, piece: Text) -> None:
        """Take in the ids that this model has chosen."""
        self.tokens += piece.tokens

    def append_foreign(self, piece: Text, *, same_ids: bool) -> None:
        """Take in another's ids where they mean the same here, else the ids of its text."""
        if same_ids and piece.tokens:
            self.tokens += piece.tokens
        else:
            self.tokens += self.tokenizer.encode(piece.text, continues=True)

    def copy(self) -> TokenTranscript:
        """Another that goes its own way."""
        return TokenTranscript(self.tokenizer, self.tokens)


class TextTranscript:
    """The text so far as text, for servers that continue raw completions.

    Args:
        text: of the beginning.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def request(self) -> Request:
        """Asks for what comes next."""
        return Request(prompt=self.text)

    def append_own(self, piece: Text) -> None:
        """Take in what this model has written."""
        self.text += piece.text

    def append_foreign(self, piece: Text, *, same_ids: bool) -> None:
        """Take in what another has written."""
        self.text += piece.text

    def copy(self) -> TextTranscript:
        """Another that goes its own way."""
        return TextTranscript(self.text)


def whole(piece: Text, tokenizer: Tokenizer | None) -> Text:
    """The piece without tokens at its end that begin a character and do not complete it."""
    tokens = list(piece.tokens)
    while tokenizer is not None and tokens:
        decoder = _Utf8Decoder(errors="replace")
        # No character has more than four bytes, so what came before these tokens is of no concern.
        decoder.decode(b"".join(map(tokenizer.token_bytes, tokens[-4:])))
        if not decoder.getstate()[0]:
            break
        tokens.pop()
    return Text(piece.text, tokens, piece.count)


def begin_transcript(
    generator: Generator,
    template: str | None,
    messages: Sequence[Message] | None,
    prompt: str,
    *,
    parse_special: bool = False,
) -> Transcript:
    """What a model has of a text before anything is written.

    Args:
        generator: the model.
        template: as in `ThinkingConfig.small_template`.
        messages: a conversation; None continues `prompt` as it stands.
        prompt: where there is no conversation.
        parse_special: read control tokens in the user's text as such.

    Raises:
        UsageError: the template is not valid or refuses the messages; or the model is behind a
            server that does not say what its template is, and none was given.
        EndpointError: a server that is asked for its template cannot be reached.
    """
    tokenizer = tokenizer_of(generator)
    if messages is None:
        if tokenizer is None:
            return TextTranscript(prompt)
        return TokenTranscript(
            tokenizer, tokenizer.encode_prompt(prompt, parse_special=parse_special)
        )
    own = generator.model.template if isinstance(generator, LLM) else None
    if template is not None:
        own = _compiled(TEMPLATES.get(template, template))
    elif own is None and isinstance(generator, LLM):
        own = _compiled(TEMPLATES["plain"])
    if own is None:
        text = generator.render(messages) if isinstance(generator, Renderer) else None
        if text is not None:
            return TextTranscript(text)
        raise UsageError(
            "A server continues raw text, and this one does not say how its model reads a "
            "conversation, so the chat template has to be named, as small_template or "
            f"large_template: one of {', '.join(TEMPLATES)}, or Jinja."
        )
    if tokenizer is None:
        return TextTranscript(own.render(messages))
    return TokenTranscript(
        tokenizer, encode_chat(tokenizer, own, messages, parse_special=parse_special)
    )


@cache
def _compiled(template: str) -> ChatTemplate:
    """A template, compiled once: that takes as long as a model's answer of a token."""
    return ChatTemplate(template)


def tokenizer_of(generator: Generator) -> Tokenizer | None:
    """The model's tokenizer where it runs here; None behind a server."""
    return generator.tokenizer if isinstance(generator, LLM) else None
