"""A conversation as one text: the model's own chat template, in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NoReturn

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from outrider.errors import ModelFileError, UsageError
from outrider.text.tokenizer import Tokenizer
from outrider.text.vocabulary import BOS_ID, EOS_ID, TOKENS, special_ids
from outrider.types import Message

TEMPLATE = "tokenizer.chat_template"

_PRIVATE_USE = range(0x100000, 0x10FFFE)
"""Characters without a meaning, from which stand-ins are taken."""


class ChatTemplate:
    """Renders messages the way the model was trained to read them.

    The template is a program that came with the file: it runs in a sandbox, with the same helpers
    and settings as in transformers (`raise_exception`, `strftime_now`, `tojson`, loop controls,
    `generation` blocks, blocks trimmed of their own line ends).
    """

    def __init__(
        self, source: str | None, *, bos_token: str | None = None, eos_token: str | None = None
    ) -> None:
        """Compile a template.

        Args:
            source: the template; None for a model that has none, which refuses every message.
            bos_token: name of the begin-of-text token.
            eos_token: name of the end-of-text token.

        Raises:
            ModelFileError: the template is not valid Jinja.
        """
        # Jinja tells undefined from None, and templates ask: a missing token is left undefined.
        tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self._variables = {name: token for name, token in tokens.items() if token is not None}
        self._template = None
        if source is None:
            return
        try:
            self._template = _environment().from_string(source)
        except TemplateSyntaxError as error:
            raise ModelFileError(
                f"{TEMPLATE} is not a valid template: {error.message} (line {error.lineno})."
            ) from error
        except RecursionError as error:
            raise ModelFileError(f"{TEMPLATE} is nested too deeply to be compiled.") from error

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> ChatTemplate:
        """The chat template of a GGUF file; a file without one refuses every message.

        Raises:
            ModelFileError: the template is not valid Jinja, or a special token does not exist.
        """
        source = metadata.get(TEMPLATE)
        if source is not None and not isinstance(source, str):
            raise ModelFileError(f"{TEMPLATE} has to be a string, not {type(source).__name__}.")
        tokens = metadata.get(TOKENS, ())
        special = special_ids(metadata, len(tokens))
        bos, eos = (tokens[special[key]] if key in special else None for key in (BOS_ID, EOS_ID))
        return cls(source, bos_token=bos, eos_token=eos)

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        continue_last: bool = False,
    ) -> str:
        """The conversation as one text.

        Args:
            messages: in order; at least one.
            add_generation_prompt: end with the opening of the assistant's next turn.
            continue_last: the last message is the assistant's and unfinished: end exactly after
                its content, so that the model goes on with it. `add_generation_prompt` is then
                not needed and has no effect.

        Raises:
            UsageError: the model has no template, the template refuses the messages, or the last
                message cannot be continued.
        """
        if not continue_last:
            return self._run(messages, add_generation_prompt)
        last = messages[-1] if messages else None
        if last is None or last.role != "assistant":
            raise UsageError("Only a conversation that ends with the assistant can be continued.")
        (mark,) = _unused_characters(1, _texts(messages))
        marked = [*messages[:-1], Message(last.role, last.content + mark)]
        text, found, _ = self._run(marked, False).rpartition(mark)
        if not found:
            raise UsageError(
                "This model's chat template rewrites the assistant's last message, so it cannot "
                "be continued; end the conversation with the user's message."
            )
        return text.replace(mark, "")

    def _run(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        if self._template is None:
            raise UsageError(
                f"This model's file has no chat template ({TEMPLATE}); give it a prompt instead "
                "of messages."
            )
        try:
            return self._template.render(
                messages=[{"role": m.role, "content": m.content} for m in messages],
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
                **self._variables,
            )
        # A template is someone else's program: whatever it raises, the messages did not suit it.
        except Exception as error:
            reason = str(error) if isinstance(error, TemplateError) else repr(error)
            raise UsageError(
                f"The model's chat template refuses these messages: {reason.rstrip('.')}."
            ) from error


def encode_chat(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = True,
    continue_last: bool = False,
    parse_special: bool = False,
) -> list[int]:
    """The conversation as token ids; BOS is added where wanted and not written by the template.

    Control tokens that the template writes are tokens; the same names inside a message are plain
    text, so nobody can end a turn or open another from within one. To that end every character of
    the messages with which some control token begins is replaced by a stand-in, which becomes
    itself again once the control tokens are found. If the template looks at such characters, so
    that the stand-ins change what it writes, only those are replaced that begin a whole control
    token, or the beginning of one at a message's end; a template that looks at these sees the
    stand-ins.

    Args:
        tokenizer: of the same model.
        template: of the same model.
        messages: in order; at least one.
        add_generation_prompt: as in `ChatTemplate.render`.
        continue_last: as in `ChatTemplate.render`.
        parse_special: read control tokens inside messages as such.

    Raises:
        UsageError: as `ChatTemplate.render` and `Tokenizer.encode`.
    """

    def render(messages: Sequence[Message]) -> str:
        return template.render(
            messages, add_generation_prompt=add_generation_prompt, continue_last=continue_last
        )

    text = render(messages)
    if parse_special:
        return tokenizer.with_bos(tokenizer.encode(text, parse_special=True))

    characters = tokenizer.control_initials
    stand_ins = _unused_characters(len(characters), [text, *_texts(messages)])
    guard = {ord(c): s for c, s in zip(characters, stand_ins, strict=True)}
    plain = {ord(s): c for c, s in zip(characters, stand_ins, strict=True)}

    guarded = render(_map_content(messages, lambda content: content.translate(guard)))
    if guarded.translate(plain) != text:
        guarded = render(
            _map_content(messages, lambda c: _guard_names(c, tokenizer.control_names, guard))
        )
    return tokenizer.with_bos(tokenizer.encode_guarded(guarded, plain))


def _guard_names(content: str, names: Iterable[str], guard: Mapping[int, str]) -> str:
    """Replace the first character of every name, and of a name begun at the content's end."""
    characters = list(content)
    for name in names:
        start = content.find(name)
        while start >= 0:
            characters[start] = guard[ord(name[0])]
            start = content.find(name, start + 1)
        for length in range(1, len(name)):
            if content.endswith(name[:length]):
                characters[-length] = guard[ord(name[0])]
    return "".join(characters)


def _map_content(messages: Sequence[Message], change: Callable[[str], str]) -> list[Message]:
    # Templates compare roles, and write <|user|> with one; a plain word holds no control token.
    return [
        Message(m.role if m.role.isalnum() else change(m.role), change(m.content)) for m in messages
    ]


def _texts(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        yield message.role
        yield message.content


def _unused_characters(count: int, texts: Iterable[str]) -> list[str]:
    """Private-use characters that stand in none of the texts.

    Raises:
        UsageError: there are not enough.
    """
    used = set[str]().union(*texts)
    unused = list(islice((c for c in map(chr, _PRIVATE_USE) if c not in used), count))
    if len(unused) < count:
        raise UsageError("The messages hold every private-use character of plane 16; remove some.")
    return unused


class _GenerationBlocks(Extension):
    """`{% generation %}` marks what the assistant wrote, for training; its content is kept."""

    tags = {"generation"}  # noqa: RUF012  (the base class declares it so)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _GenerationBlocks],
    )
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.filters["tojson"] = _tojson
    return environment


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(layout: str) -> str:
    return datetime.now().strftime(layout)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as transformers writes it: characters as they are, nothing escaped for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
