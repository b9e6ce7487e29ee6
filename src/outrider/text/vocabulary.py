"""The vocabulary of a GGUF file: its tokens, what they are, and which of them have a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outrider.errors import ModelFileError

TOKENS = "tokenizer.ggml.tokens"
TOKEN_TYPES = "tokenizer.ggml.token_type"
BOS_ID = "tokenizer.ggml.bos_token_id"
EOS_ID = "tokenizer.ggml.eos_token_id"

UNKNOWN_ID = "tokenizer.ggml.unknown_token_id"
STOP_IDS = (EOS_ID, "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")

STOP_NAMES = frozenset(
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


CONTROL_TYPES = frozenset({TokenType.CONTROL, TokenType.UNKNOWN})
"""Types whose tokens plain text never becomes and whose names never show in a text."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What one kind of tokenizer model makes of the file's tokens.

    Attributes:
        names: the tokens as the file spells them.
        types: TokenType of each.
        content: the bytes that a token adds to a text; control tokens add none.
        missing_bytes: bytes that no token stands for.
        encode: ids of a text in which no token is special.
        add_bos: whether prompts begin with BOS where the file does not say.
        space_prefix: a space is put in front of a text, and after every special token in it.
    """

    names: Sequence[str]
    types: NDArray[np.int64]
    content: Callable[[int], bytes]
    missing_bytes: frozenset[int]
    encode: Callable[[str], list[int]]
    add_bos: bool
    space_prefix: bool = False


def token_types(metadata: Mapping[str, Any], names: Sequence[str]) -> NDArray[np.int64]:
    """The TokenType of each token.

    Raises:
        ModelFileError: the array is missing, of another length, or holds other numbers.
    """
    values = numbers(metadata, TOKEN_TYPES)
    if len(values) != len(names):
        raise ModelFileError(
            f"{TOKEN_TYPES} has {len(values)} entries for the {len(names)} of {TOKENS}."
        )
    if strange := set(np.unique(values).tolist()) - set(TokenType):
        raise ModelFileError(f"{TOKEN_TYPES} holds {strange.pop():g}, which is not a token type.")
    types = values.astype(np.int64)
    # Some converters mark end-of-turn tokens as ordinary ones; a user could then end the turn.
    if not STOP_NAMES.isdisjoint(names):
        for token, name in enumerate(names):
            if name in STOP_NAMES:
                types[token] = TokenType.CONTROL
    return types


def tokens_of(types: NDArray[np.int64], kinds: Collection[TokenType]) -> list[int]:
    """The tokens of these kinds, in order."""
    found: list[int] = np.flatnonzero(np.isin(types, [int(kind) for kind in kinds])).tolist()
    return found


def special_ids(metadata: Mapping[str, Any], vocab_size: int) -> dict[str, int]:
    """Every `tokenizer.ggml.*_token_id` of the file.

    Raises:
        ModelFileError: one of them lies outside the vocabulary.
    """
    ids = {}
    for key, value in metadata.items():
        if not (key.startswith("tokenizer.ggml.") and key.endswith("_token_id")):
            continue
        if not isinstance(value, int | np.integer) or not 0 <= value < vocab_size:
            raise ModelFileError(f"{key} is {value!r}, but {TOKENS} has {vocab_size} entries.")
        ids[key] = int(value)
    return ids


def strings(metadata: Mapping[str, Any], key: str, *, repeats: bool = False) -> list[str]:
    """An array of strings; unless `repeats`, no string but the empty one may stand in it twice.

    Raises:
        ModelFileError: it is missing, or not that.
    """
    value = required(metadata, key)
    items = list(value) if isinstance(value, Sequence | np.ndarray) else [value]
    if isinstance(value, str) or set(map(type, items)) - {str}:
        raise ModelFileError(f"{key} has to be an array of strings.")
    try:
        "".join(items).encode()
    except UnicodeEncodeError as error:
        raise ModelFileError(f"{key} holds a string that is not UTF-8.") from error
    if not repeats and len(set(items)) != len(items):
        ((name, count),) = Counter(item for item in items if item).most_common(1)
        if count > 1:
            raise ModelFileError(f"{key} holds {name!r} {count} times.")
    return items


def numbers(metadata: Mapping[str, Any], key: str) -> NDArray[np.float64]:
    """An array of numbers.

    Raises:
        ModelFileError: it is missing, not that, or holds what is not a number.
    """
    try:
        items = np.asarray(required(metadata, key), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{key} has to be an array of numbers.") from error
    if items.ndim != 1 or np.isnan(items).any():
        raise ModelFileError(f"{key} has to be an array of numbers.")
    return items


def required(metadata: Mapping[str, Any], key: str) -> Any:
    """A value that the file has to have.

    Raises:
        ModelFileError: it has not.
    """
    if key not in metadata:
        raise ModelFileError(f"The file has no {key}, which its tokenizer needs.")
    return metadata[key]


def string(metadata: Mapping[str, Any], key: str) -> str:
    """A string.

    Raises:
        ModelFileError: it is missing, or not a string.
    """
    value = required(metadata, key)
    if not isinstance(value, str):
        raise ModelFileError(f"{key} has to be a string, not {type(value).__name__}.")
    return value


def flag(metadata: Mapping[str, Any], key: str, default: bool) -> bool:
    """A yes or no.

    Raises:
        ModelFileError: it is neither.
    """
    value = metadata.get(key, default)
    if not isinstance(value, bool | np.bool_):
        raise ModelFileError(f"{key} has to be true or false, not {value!r}.")
    return bool(value)
