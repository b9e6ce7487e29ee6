"""A tokenizer built from nothing but the metadata of a GGUF file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from outrider.errors import ModelFileError, UsageError
from outrider.text.byte_level import byte_level
from outrider.text.partition import NamedTokens
from outrider.text.sentencepiece import sentencepiece
from outrider.text.vocabulary import (
    BOS_ID,
    CONTROL_TYPES,
    EOS_ID,
    STOP_IDS,
    STOP_NAMES,
    TokenType,
    Vocabulary,
    flag,
    special_ids,
    string,
    tokens_of,
)

MODEL = "tokenizer.ggml.model"
ADD_BOS = "tokenizer.ggml.add_bos_token"

_MODELS: dict[str, Callable[[Mapping[str, Any]], Vocabulary]] = {
    "gpt2": byte_level,
    "llama": sentencepiece,
}
"""One function for each supported `tokenizer.ggml.model`."""


class Tokenizer:
    """Text to token ids and back, as llama.cpp does it on the same file.

    Attributes:
        vocab_size: number of tokens.
        bos: id of the begin-of-text token, or None.
        eos: id of the end-of-text token, or None.
        add_bos: a prompt begins with `bos`.
        stop_ids: tokens that end generation: end of text, of turn, of message.
        missing_bytes: bytes that the vocabulary has no token for; `encode` leaves them out, as
            llama.cpp does. SmolLM2 lacks some control characters, and nothing that valid text
            outside the planes 4 to 11 needs. A SentencePiece vocabulary that lacks some writes
            its unknown token instead.
        space_prefix: a space is put in front of every text, as SentencePiece does where the file
            asks for it, and `decode` takes it away again.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        bos: int | None,
        eos: int | None,
        add_bos: bool,
        stop_ids: frozenset[int],
    ) -> None:
        self.vocab_size = len(vocabulary.names)
        self.bos = bos
        self.eos = eos
        self.add_bos = add_bos
        self.stop_ids = stop_ids
        self.missing_bytes = vocabulary.missing_bytes
        self.space_prefix = vocabulary.space_prefix
        self._names = vocabulary.names
        self._types = vocabulary.types
        self._content = vocabulary.content
        self._encode_words = vocabulary.encode
        self._user_defined = self._named(frozenset({TokenType.USER_DEFINED}))
        self._special = self._named(CONTROL_TYPES | {TokenType.USER_DEFINED})
        self.control_names = self._special.names - self._user_defined.names
        self.control_initials = sorted({name[0] for name in self.control_names})

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer of a GGUF file.

        Args:
            metadata: the file's keys and values; strings as str, arrays as sequences.

        Raises:
            ModelFileError: a key is missing, inconsistent or not supported; it is named.
        """
        kind = string(metadata, MODEL)
        if kind not in _MODELS:
            raise ModelFileError(
                f"{MODEL} is {kind!r}, which is not supported; known: {', '.join(_MODELS)}."
            )
        vocabulary = _MODELS[kind](metadata)
        special = special_ids(metadata, len(vocabulary.names))
        bos = special.get(BOS_ID)
        add_bos = flag(metadata, ADD_BOS, vocabulary.add_bos)
        if add_bos and bos is None:
            raise ModelFileError(f"Prompts are to begin with BOS, but the file has no {BOS_ID}.")
        control = tokens_of(vocabulary.types, {TokenType.CONTROL})
        named = (token for token in control if vocabulary.names[token] in STOP_NAMES)
        given = (special[key] for key in STOP_IDS if key in special)
        return cls(
            vocabulary,
            bos=bos,
            eos=special.get(EOS_ID),
            add_bos=add_bos,
            stop_ids=frozenset({*given, *named}),
        )

    def encode(
        self, text: str, *, parse_special: bool = False, continues: bool = False
    ) -> list[int]:
        """The ids of a text; nothing is put in front of it or after it.

        Args:
            text: any text.
            parse_special: read the names of control tokens, such as <|im_end|>, as those tokens
                instead of as plain text. User-defined tokens are always read as themselves.
            continues: the text goes on from one before it, so that no space comes in between even
                where `space_prefix` puts one in front of whole texts.

        Raises:
            UsageError: the text holds half a surrogate pair, which no encoding has.
        """
        names = self._special if parse_special else self._user_defined
        return self._encode_pieces(names.cut(text), continues=continues)

    def same_ids(self, other: Tokenizer) -> bool:
        """Whether the ids of one mean the same to the other, as far as both vocabularies go."""
        length = min(self.vocab_size, other.vocab_size)
        return self is other or (
            list(self._names[:length]) == list(other._names[:length])
            and bool((self._types[:length] == other._types[:length]).all())
        )

    def encode_prompt(self, text: str, *, parse_special: bool = False) -> list[int]:
        """As `encode`, beginning with BOS where the model wants it and the text has none.

        Raises:
            UsageError: as `encode`.
        """
        return self.with_bos(self.encode(text, parse_special=parse_special))

    def encode_guarded(self, text: str, plain: Mapping[int, str]) -> list[int]:
        """As `encode` with `parse_special`, but for characters that cannot begin a control token.

        Args:
            text: in which some characters were replaced by stand-ins.
            plain: the ordinal of each stand-in and the character it stands for, as
                `str.translate` wants it.

        Raises:
            UsageError: as `encode`.
        """
        pieces: list[str | int] = []
        for piece in self._special.cut(text):
            if isinstance(piece, str):
                pieces += self._user_defined.cut(piece.translate(plain))
            else:
                pieces.append(piece)
        return self._encode_pieces(pieces)

    def with_bos(self, tokens: list[int]) -> list[int]:
        """The tokens, after BOS where the model wants it and they do not have it."""
        if self.add_bos and self.bos is not None and tokens[:1] != [self.bos]:
            return [self.bos, *tokens]
        return tokens

    def decode(self, tokens: Iterable[int], *, continues: bool = False) -> str:
        """The text of tokens; bytes that are not UTF-8 become U+FFFD.

        Args:
            tokens: in order.
            continues: the tokens go on from a text before them, so a space that the first begins
                with is one between words and stays, even where `space_prefix` puts one in front
                of whole texts.

        Raises:
            UsageError: an id outside the vocabulary.
        """
        pieces = list(map(self.token_bytes, tokens))
        if self.space_prefix and not continues and pieces:
            pieces[0] = pieces[0].removeprefix(b" ")
        return b"".join(pieces).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """What a token adds to a text: its bytes, none for a control token.

        Raises:
            UsageError: an id outside the vocabulary.
        """
        if 0 <= token < self.vocab_size:
            return self._content(token)
        raise self._outside(token)

    def token_name(self, token: int) -> str:
        """A token as the file spells it, control tokens included.

        Raises:
            UsageError: an id outside the vocabulary.
        """
        if 0 <= token < self.vocab_size:
            return self._names[token]
        raise self._outside(token)

    def token_type(self, token: int) -> TokenType:
        """What kind of token it is.

        Raises:
            UsageError: an id outside the vocabulary.
        """
        if 0 <= token < self.vocab_size:
            return TokenType(self._types[token])
        raise self._outside(token)

    def _outside(self, token: int) -> UsageError:
        return UsageError(
            f"Token id {token} lies outside the vocabulary, whose ids go from 0 to "
            f"{self.vocab_size - 1}."
        )

    def _named(self, types: frozenset[TokenType]) -> NamedTokens:
        return NamedTokens({self._names[token]: token for token in tokens_of(self._types, types)})

    def _encode_pieces(self, pieces: Iterable[str | int], *, continues: bool = False) -> list[int]:
        tokens: list[int] = []
        prefix = " " if self.space_prefix else ""
        after_token = not continues
        for piece in pieces:
            if isinstance(piece, int):
                tokens.append(piece)
                after_token = True
                continue
            try:
                piece.encode()
            except UnicodeEncodeError as error:
                raise UsageError(
                    f"The text holds half a surrogate pair, {error.object[error.start]!r}; "
                    "replace it with a whole character."
                ) from error
            tokens += self._encode_words(prefix + piece if after_token else piece)
            after_token = False
        return tokens
