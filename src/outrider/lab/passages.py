"""Texts of our own to read: prose, code, dialogue, tables, mathematics, several languages."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outrider.files import read_text
from outrider.text import Tokenizer

PASSAGES: Final = Path(__file__).parents[1] / "data" / "passages.jsonl"


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, and what kind of text it is."""

    kind: str
    text: str


def read_passages(path: Path = PASSAGES) -> tuple[Passage, ...]:
    """The passages of a file of JSON lines, each with `kind` and `text`."""
    lines = read_text(path, f"The file of passages {path}").split("\n")
    return tuple(Passage(**json.loads(line)) for line in lines if line)


def document(tokenizer: Tokenizer, passages: Sequence[Passage], length: int, first: int) -> str:
    """A text of about so many tokens: passages in their order, beginning with another one each.

    Args:
        tokenizer: counts.
        passages: go round.
        length: tokens; the text's own encoding may differ by one or two, where it was cut.
        first: the number of the first passage; documents of different ones share no beginning.
    """
    tokens: list[int] = []
    for number in itertools.count(first):
        if len(tokens) >= length:
            break
        tokens += tokenizer.encode(f"{passages[number % len(passages)].text}\n\n")
    return tokenizer.decode(tokens[:length])
