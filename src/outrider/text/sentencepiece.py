"""SentencePiece BPE (Kudo and Richardson 2018): `tokenizer.ggml.model` is "llama".

A text is a row of characters in which U+2581 stands for the space. Of all neighbours whose joined
spelling is a token, the two that make the token of the highest score are joined first, the leftmost
of equals; then again, until no two neighbours make a token. A character that is no token is spelled
with the tokens of its bytes. There is no list of merges: the scores decide.

The ids are llama.cpp's on the same file, with one exception: it makes a control token of whatever
is named </s> and ends generation with it, even where that closes struck-out text, as in Gemma 3.
Here such a token is what the file says it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outrider.errors import ModelFileError
from outrider.text.vocabulary import (
    CONTROL_TYPES,
    TOKENS,
    UNKNOWN_ID,
    TokenType,
    Vocabulary,
    flag,
    numbers,
    special_ids,
    strings,
    token_types,
    tokens_of,
)

SCORES = "tokenizer.ggml.scores"
ADD_SPACE_PREFIX = "tokenizer.ggml.add_space_prefix"
REMOVE_EXTRA_WHITESPACES = "tokenizer.ggml.remove_extra_whitespaces"

SPACE = "\u2581"
"""What stands for a space in the names of tokens."""

_CACHED_WORDS = 1 << 15
_CACHED_LENGTH = 32
"""So many words of at most so many characters are remembered with their tokens."""

_BYTE_NAME = re.compile(r"<0x([0-9A-F]{2})>")


def sentencepiece(metadata: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a file, merged by score.

    Raises:
        ModelFileError: a key is missing, inconsistent or not supported; it is named.
    """
    if flag(metadata, REMOVE_EXTRA_WHITESPACES, False):
        raise ModelFileError(
            f"{REMOVE_EXTRA_WHITESPACES} is true, which is not supported for this kind of "
            "tokenizer; set it to false to keep every space, as llama.cpp does."
        )
    names = strings(metadata, TOKENS)
    types = token_types(metadata, names)
    scores = _scores(metadata, names)
    bytes_of = _byte_tokens(names, types)
    unknown = special_ids(metadata, len(names)).get(UNKNOWN_ID)
    if len(bytes_of) < 256 and unknown is None:
        raise ModelFileError(
            f"{TOKENS} has tokens for {len(bytes_of)} of the 256 bytes, and there is no "
            f"{UNKNOWN_ID} for characters that need the others."
        )
    tokens = {name: token for token, name in enumerate(names) if name}
    # Plain text must never become a control token or the token of another byte.
    for token in tokens_of(types, CONTROL_TYPES | {TokenType.BYTE}):
        tokens.pop(names[token], None)
    words = re.compile(_word_start(tokens))

    def spell(character: str) -> list[int]:
        data = character.encode()
        if bytes_of.keys() >= set(data) or unknown is None:
            return [bytes_of[byte] for byte in data]
        return [unknown]

    def encode_word(word: str) -> list[int]:
        ids: list[int] = []
        for symbol in merge(word, tokens, scores):
            token = tokens.get(symbol)
            ids += spell(symbol) if token is None else (token,)
        return ids

    remembered = lru_cache(_CACHED_WORDS)(encode_word)

    def encode(text: str) -> list[int]:
        ids: list[int] = []
        for word in words.split(text.replace(" ", SPACE)):
            ids += remembered(word) if len(word) <= _CACHED_LENGTH else encode_word(word)
        return ids

    return Vocabulary(
        names,
        types,
        partial(_content, names, types.tolist()),
        missing_bytes=frozenset(range(256)) - bytes_of.keys(),
        encode=encode,
        add_bos=True,
        space_prefix=flag(metadata, ADD_SPACE_PREFIX, True),
    )


def merge(text: str, tokens: Mapping[str, int], scores: Sequence[float]) -> Iterator[str]:
    """The symbols that are left when no two neighbours make a token.

    A heap holds every pair of neighbours that makes a token, so that a text of n characters takes
    O(n log n) steps.

    Args:
        text: in which `SPACE` stands for the space.
        tokens: spelling and id of the tokens that text may become.
        scores: of each id; the highest is joined first, the leftmost of equals.
    """
    symbols = list(text)
    end = len(symbols)
    following = list(range(1, end + 1))
    preceding = list(range(-1, end - 1))
    pairs: list[tuple[float, int, str]] = []
    for left, (first, second) in enumerate(pairwise(symbols)):
        token = tokens.get(pair := first + second)
        if token is not None:
            pairs.append((-scores[token], left, pair))
    heapify(pairs)

    while pairs:
        _, left, pair = heappop(pairs)
        right = following[left]
        # One of the two may have been joined with another neighbour since.
        if not symbols[left] or right == end or symbols[left] + symbols[right] != pair:
            continue
        symbols[left], symbols[right] = pair, ""
        following[left] = after = following[right]
        if after < end:
            preceding[after] = left
            token = tokens.get(joined := pair + symbols[after])
            if token is not None:
                heappush(pairs, (-scores[token], left, joined))
        if (before := preceding[left]) >= 0:
            token = tokens.get(joined := symbols[before] + pair)
            if token is not None:
                heappush(pairs, (-scores[token], before, joined))
    return filter(None, symbols)


def _word_start(names: Mapping[str, int]) -> str:
    """A pattern of the places between which nothing can be joined.

    Those are the places before a space, unless some token has this very character before a space
    within it. Words between them are merged each on its own, and can be remembered.
    """
    inner = (name for name in names if name.rfind(SPACE) > 0)
    joining = {first for name in inner for first, second in pairwise(name) if second == SPACE}
    members = "".join(map(re.escape, sorted(joining | {SPACE})))
    return f"(?<=[^{members}])(?={SPACE})"


def _byte_tokens(names: Sequence[str], types: NDArray[np.int64]) -> dict[int, int]:
    """The token of each byte that has one.

    Raises:
        ModelFileError: the name of a byte token is not of the form <0x0A>.
    """
    tokens = {}
    for token in tokens_of(types, {TokenType.BYTE}):
        if (match := _BYTE_NAME.fullmatch(names[token])) is None:
            raise ModelFileError(
                f"{TOKENS} names a byte token {names[token]!r} instead of <0x00> to <0xFF>."
            )
        tokens[int(match[1], 16)] = token
    return tokens


def _content(names: Sequence[str], types: Sequence[int], token: int) -> bytes:
    """The bytes that a token adds to a text."""
    name = names[token]
    match types[token]:
        case TokenType.NORMAL:
            return name.replace(SPACE, " ").encode()
        case TokenType.USER_DEFINED:
            return name.encode()
        case TokenType.BYTE:
            return bytes.fromhex(name[3:5])
        case _:
            return b""


def _scores(metadata: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    """The score of each token.

    Raises:
        ModelFileError: the array is missing, not one of numbers, or of another length.
    """
    scores: list[float] = numbers(metadata, SCORES).tolist()
    if len(scores) != len(names):
        raise ModelFileError(
            f"{SCORES} has {len(scores)} entries for the {len(names)} of {TOKENS}."
        )
    return scores
