"""A tokenizer built from nothing but the metadata of a GGUF file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from tokenizers import Tokenizer as WordTokenizer
from tokenizers import models

from outrider.errors import ModelFileError, UsageError
from outrider.text.pretokenizers import SCHEMES, byte_alphabet, pre_tokenizer

MODEL = "tokenizer.ggml.model"
PRE = "tokenizer.ggml.pre"
TOKENS = "tokenizer.ggml.tokens"
TOKEN_TYPES = "tokenizer.ggml.token_type"
MERGES = "tokenizer.ggml.merges"
ADD_BOS = "tokenizer.ggml.add_bos_token"
BOS_ID = "tokenizer.ggml.bos_token_id"
EOS_ID = "tokenizer.ggml.eos_token_id"

_STOP_IDS = (EOS_ID, "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
_STOP_NAMES = frozenset(
    {
        "<|endoftext|>",
        "<|im_end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end|>",
        "<|end_of_text|>",
        "<end_of_turn>",
        "<end_of_utterance>",
        "<｜end▁of▁sentence｜>",
    }
)
"""Tokens that end a turn or a text, whether or not the file's keys point at them."""


class TokenType(IntEnum):
    """What a token is, as GGUF numbers it."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


_CONTROL = frozenset({TokenType.CONTROL, TokenType.UNKNOWN})
"""Types whose tokens plain text never becomes and whose names never show in a text."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What one kind of tokenizer model makes of the file's tokens.

    Attributes:
        names: the tokens as the file spells them.
        types: TokenType of each.
        content: the bytes that each adds to a text; control tokens add none.
        missing_bytes: bytes that no token stands for.
        encode: ids of a text in which no token is special.
        add_bos: whether prompts begin with BOS where the file does not say.
    """

    names: Sequence[str]
    types: Sequence[int]
    content: Sequence[bytes]
    missing_bytes: frozenset[int]
    encode: Callable[[str], list[int]]
    add_bos: bool


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
            outside the planes 4 to 11 needs.
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
        self._names = vocabulary.names
        self._types = vocabulary.types
        self._content = vocabulary.content
        self._encode_words = vocabulary.encode
        self._user_defined = self._longest_first(frozenset({TokenType.USER_DEFINED}))
        self._special = self._longest_first(_CONTROL | {TokenType.USER_DEFINED})
        self.control_names = frozenset(self._special) - frozenset(self._user_defined)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer of a GGUF file.

        Args:
            metadata: the file's keys and values; strings as str, arrays as sequences.

        Raises:
            ModelFileError: a key is missing, inconsistent or not supported; it is named.
        """
        kind = _string(metadata, MODEL)
        if kind not in _MODELS:
            raise ModelFileError(
                f"{MODEL} is {kind!r}, which is not supported; known: {', '.join(_MODELS)}."
            )
        vocabulary = _MODELS[kind](metadata)
        special = special_ids(metadata, len(vocabulary.names))
        bos = special.get(BOS_ID)
        add_bos = bool(metadata.get(ADD_BOS, vocabulary.add_bos))
        if add_bos and bos is None:
            raise ModelFileError(f"Prompts are to begin with BOS, but the file has no {BOS_ID}.")
        named = (
            token
            for token, name in enumerate(vocabulary.names)
            if name in _STOP_NAMES and vocabulary.types[token] == TokenType.CONTROL
        )
        given = (special[key] for key in _STOP_IDS if key in special)
        return cls(
            vocabulary,
            bos=bos,
            eos=special.get(EOS_ID),
            add_bos=add_bos,
            stop_ids=frozenset({*given, *named}),
        )

    def encode(self, text: str, *, parse_special: bool = False) -> list[int]:
        """The ids of a text; nothing is put in front of it or after it.

        Args:
            text: any text.
            parse_special: read the names of control tokens, such as <|im_end|>, as those tokens
                instead of as plain text. User-defined tokens are always read as themselves.

        Raises:
            UsageError: the text holds half a surrogate pair, which no encoding has.
        """
        names = self._special if parse_special else self._user_defined
        return self._encode_pieces(_partition(text, names))

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
        for piece in _partition(text, self._special):
            if isinstance(piece, str):
                pieces += _partition(piece.translate(plain), self._user_defined)
            else:
                pieces.append(piece)
        return self._encode_pieces(pieces)

    def with_bos(self, tokens: list[int]) -> list[int]:
        """The tokens, after BOS where the model wants it and they do not have it."""
        if self.add_bos and self.bos is not None and tokens[:1] != [self.bos]:
            return [self.bos, *tokens]
        return tokens

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; bytes that are not UTF-8 become U+FFFD.

        Raises:
            UsageError: an id outside the vocabulary.
        """
        return b"".join(map(self.token_bytes, tokens)).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """What a token adds to a text: its bytes, none for a control token.

        Raises:
            UsageError: an id outside the vocabulary.
        """
        if 0 <= token < self.vocab_size:
            return self._content[token]
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

    def _longest_first(self, types: frozenset[TokenType]) -> dict[str, int]:
        chosen = [t for t, kind in enumerate(self._types) if kind in types and self._names[t]]
        chosen.sort(key=lambda token: len(self._names[token].encode()), reverse=True)
        return {self._names[token]: token for token in chosen}

    def _encode_pieces(self, pieces: Iterable[str | int]) -> list[int]:
        tokens: list[int] = []
        for piece in pieces:
            if isinstance(piece, int):
                tokens.append(piece)
                continue
            try:
                piece.encode()
            except UnicodeEncodeError as error:
                raise UsageError(
                    f"The text holds half a surrogate pair, {error.object[error.start]!r}; "
                    "replace it with a whole character."
                ) from error
            tokens += self._encode_words(piece)
        return tokens


def _partition(text: str, names: Mapping[str, int]) -> list[str | int]:
    """Cut a text at names of tokens; a name takes its place before every name after it.

    Names come longest first, so that of two that overlap the longer is found, wherever it starts.
    """
    pieces: list[str | int] = [text] if text else []
    for name, token in names.items():
        if name in text:
            pieces = [part for piece in pieces for part in _cut(piece, name, token)]
    return pieces


def _cut(piece: str | int, name: str, token: int) -> Iterator[str | int]:
    if isinstance(piece, int):
        yield piece
        return
    first, *rest = piece.split(name)
    if first:
        yield first
    for part in rest:
        yield token
        if part:
            yield part


def _byte_level_bpe(metadata: Mapping[str, Any]) -> Vocabulary:
    """Byte-level BPE (Radford et al. 2019); `tokenizer.ggml.model` is "gpt2"."""
    pre = _string(metadata, PRE)
    if pre not in SCHEMES:
        raise ModelFileError(
            f"{PRE} is {pre!r}, which is not supported; known: {', '.join(sorted(SCHEMES))}."
        )
    scheme = SCHEMES[pre]
    names = _strings(metadata, TOKENS)
    types = _token_types(metadata, names)
    # Plain text must never become a control token, so merging does not know these.
    mergeable = {
        name: token
        for token, (name, kind) in enumerate(zip(names, types, strict=True))
        if kind not in _CONTROL and name
    }
    merges = _merges(metadata, mergeable)
    alphabet = byte_alphabet()
    missing = [byte for byte, character in enumerate(alphabet) if character not in mergeable]

    words = WordTokenizer(models.BPE(mergeable, merges, ignore_merges=scheme.ignore_merges))
    words.pre_tokenizer = pre_tokenizer(scheme, [alphabet[byte] for byte in missing])

    def encode(text: str) -> list[int]:
        ids: list[int] = words.encode(text, add_special_tokens=False).ids
        return ids

    return Vocabulary(
        names, types, _contents(names, types), frozenset(missing), encode, scheme.add_bos
    )


_MODELS: dict[str, Callable[[Mapping[str, Any]], Vocabulary]] = {"gpt2": _byte_level_bpe}
"""One function for each supported `tokenizer.ggml.model`."""


def _contents(names: Sequence[str], types: Sequence[int]) -> list[bytes]:
    """The bytes of each token of a byte-level vocabulary.

    A token spelled with characters outside the byte alphabet stands for itself, as in Hugging
    Face's byte-level decoder.
    """
    alphabet = byte_alphabet()
    to_byte = {ord(character): byte for byte, character in enumerate(alphabet)}
    outside = {point: 0xFFFF for point in range(256) if point not in to_byte}
    table = {**to_byte, **outside}

    def content(name: str, kind: int) -> bytes:
        if kind == TokenType.NORMAL:
            try:
                return name.translate(table).encode("latin-1")
            except UnicodeEncodeError:
                return name.encode()
        return name.encode() if kind == TokenType.USER_DEFINED else b""

    return list(map(content, names, types))


def _token_types(metadata: Mapping[str, Any], names: Sequence[str]) -> list[int]:
    types = np.asarray(_required(metadata, TOKEN_TYPES)).tolist()
    if not isinstance(types, list):
        raise ModelFileError(f"{TOKEN_TYPES} has to be an array, not {types!r}.")
    if len(types) != len(names):
        raise ModelFileError(
            f"{TOKEN_TYPES} has {len(types)} entries for the {len(names)} of {TOKENS}."
        )
    if strange := set(types) - set(TokenType):
        raise ModelFileError(f"{TOKEN_TYPES} holds {strange.pop()!r}, which is not a token type.")
    # Some converters mark end-of-turn tokens as ordinary ones; a user could then end the turn.
    for token, name in enumerate(names):
        if name in _STOP_NAMES:
            types[token] = TokenType.CONTROL
    return types


def _merges(metadata: Mapping[str, Any], mergeable: Mapping[str, int]) -> list[tuple[str, str]]:
    merges = _strings(metadata, MERGES, repeats=True)
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    for i, (left, right) in enumerate(pairs):
        if left not in mergeable or right not in mergeable or left + right not in mergeable:
            raise ModelFileError(
                f"{MERGES} joins {left!r} and {right!r} (entry {i}), which with their result "
                f"have to be ordinary tokens of {TOKENS}."
            )
    return pairs


def special_ids(metadata: Mapping[str, Any], vocab_size: int) -> dict[str, int]:
    """Every `tokenizer.ggml.*_token_id` of the file."""
    ids = {}
    for key, value in metadata.items():
        if not (key.startswith("tokenizer.ggml.") and key.endswith("_token_id")):
            continue
        if not isinstance(value, int | np.integer) or not 0 <= value < vocab_size:
            raise ModelFileError(f"{key} is {value!r}, but {TOKENS} has {vocab_size} entries.")
        ids[key] = int(value)
    return ids


def _strings(metadata: Mapping[str, Any], key: str, *, repeats: bool = False) -> list[str]:
    """An array of strings; unless `repeats`, no string but the empty one may stand in it twice."""
    value = _required(metadata, key)
    strings = list(value) if isinstance(value, Sequence | np.ndarray) else [value]
    if isinstance(value, str) or set(map(type, strings)) - {str}:
        raise ModelFileError(f"{key} has to be an array of strings.")
    try:
        "".join(strings).encode()
    except UnicodeEncodeError as error:
        raise ModelFileError(f"{key} holds a string that is not UTF-8.") from error
    if not repeats and len(set(strings)) != len(strings):
        ((name, count),) = Counter(s for s in strings if s).most_common(1)
        if count > 1:
            raise ModelFileError(f"{key} holds {name!r} {count} times.")
    return strings


def _required(metadata: Mapping[str, Any], key: str) -> Any:
    if key not in metadata:
        raise ModelFileError(f"The file has no {key}, which its tokenizer needs.")
    return metadata[key]


def _string(metadata: Mapping[str, Any], key: str) -> str:
    value = _required(metadata, key)
    if not isinstance(value, str):
        raise ModelFileError(f"{key} has to be a string, not {type(value).__name__}.")
    return value
