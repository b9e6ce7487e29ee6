"""Byte-level BPE (Radford et al. 2019, GPT-2): `tokenizer.ggml.model` is "gpt2"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tokenizers import Tokenizer as WordTokenizer
from tokenizers import models

from outrider.errors import ModelFileError
from outrider.text.pretokenizers import SCHEMES, byte_alphabet, pre_tokenizer
from outrider.text.vocabulary import (
    CONTROL_TYPES,
    TOKENS,
    TokenType,
    Vocabulary,
    string,
    strings,
    token_types,
    tokens_of,
)

PRE = "tokenizer.ggml.pre"
MERGES = "tokenizer.ggml.merges"


def byte_level(metadata: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a file, merged by rank within words.

    Raises:
        ModelFileError: a key is missing, inconsistent or not supported; it is named.
    """
    pre = string(metadata, PRE)
    if pre not in SCHEMES:
        raise ModelFileError(
            f"{PRE} is {pre!r}, which is not supported; known: {', '.join(sorted(SCHEMES))}."
        )
    scheme = SCHEMES[pre]
    names = strings(metadata, TOKENS)
    types = token_types(metadata, names)
    # Plain text must never become a control token, so merging does not know these.
    mergeable = {name: token for token, name in enumerate(names) if name}
    for token in tokens_of(types, CONTROL_TYPES):
        mergeable.pop(names[token], None)
    merges = _merges(metadata, mergeable)
    alphabet = byte_alphabet()
    missing = [byte for byte, character in enumerate(alphabet) if character not in mergeable]

    words = WordTokenizer(models.BPE(mergeable, merges, ignore_merges=scheme.ignore_merges))
    words.pre_tokenizer = pre_tokenizer(scheme, [alphabet[byte] for byte in missing])

    def encode(text: str) -> list[int]:
        ids: list[int] = words.encode(text, add_special_tokens=False).ids
        return ids

    return Vocabulary(
        names,
        types,
        partial(_content, names, types.tolist()),
        frozenset(missing),
        encode,
        scheme.add_bos,
    )


def _content(names: Sequence[str], types: Sequence[int], token: int) -> bytes:
    """The bytes that a token adds to a text.

    A token spelled with characters outside the byte alphabet stands for itself, as in Hugging
    Face's byte-level decoder.
    """
    name = names[token]
    if types[token] == TokenType.NORMAL:
        try:
            return name.translate(_TO_BYTE).encode("latin-1")
        except UnicodeEncodeError:
            return name.encode()
    return name.encode() if types[token] == TokenType.USER_DEFINED else b""


def _byte_table() -> dict[int, int]:
    """From a character of the byte alphabet to its byte, from other Latin-1 to no byte at all."""
    to_byte = {ord(character): byte for byte, character in enumerate(byte_alphabet())}
    return {**to_byte, **{point: 0xFFFF for point in range(256) if point not in to_byte}}


_TO_BYTE = _byte_table()


def _merges(metadata: Mapping[str, Any], mergeable: Mapping[str, int]) -> list[tuple[str, str]]:
    merges = strings(metadata, MERGES, repeats=True)
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    for i, (left, right) in enumerate(pairs):
        if left not in mergeable or right not in mergeable or left + right not in mergeable:
            raise ModelFileError(
                f"{MERGES} joins {left!r} and {right!r} (entry {i}), which with their result "
                f"have to be ordinary tokens of {TOKENS}."
            )
    return pairs
