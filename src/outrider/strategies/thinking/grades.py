"""Grades of one token, 0 to 9: what a model may answer, and what its answer says."""

from __future__ import annotations

from typing import Final

from outrider.constraints import AllowedTokens
from outrider.errors import UsageError
from outrider.text import Tokenizer

MARKS: Final = "0123456789"


def digits(tokenizer: Tokenizer) -> AllowedTokens:
    """The tokens of the ten digits.

    Raises:
        UsageError: some digit has no token of its own.
    """
    tokens = [tokenizer.encode(mark, continues=True) for mark in MARKS]
    if any(len(ids) != 1 for ids in tokens):
        raise UsageError("The large model has no single token for some digit, so it cannot grade.")
    return AllowedTokens([ids[0] for ids in tokens], tokenizer.vocab_size)


def read_grade(text: str) -> int:
    """The grade that a text begins with; 0 where it begins with none."""
    mark = text.strip()[:1]
    return MARKS.index(mark) if mark and mark in MARKS else 0
