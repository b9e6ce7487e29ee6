"""Whether two model files have the same tokenizer, and how they differ if not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

PREFIX: Final = "tokenizer.ggml."
KIND: Final = PREFIX + "model"
TOKENS: Final = PREFIX + "tokens"
TYPES: Final = PREFIX + "token_type"
SPLITTING: Final = (PREFIX + "pre", PREFIX + "merges", PREFIX + "scores")
"""Keys that say how text becomes tokens; absent ones are equal to absent ones."""
UNUSED: Final = 5
"""The type of tokens that only fill a matrix up."""


def used(metadata: Mapping[str, Any]) -> int:
    """How many tokens a vocabulary has, without unused ones at its end."""
    types = metadata.get(TYPES) or ()
    count = len(metadata.get(TOKENS) or ())
    while 0 < count <= len(types) and types[count - 1] == UNUSED:
        count -= 1
    return count


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """How a draft model's tokenizer differs from the target's, as a clause; None where it is equal.

    Unused tokens at the end of either vocabulary do not count.

    Args:
        ours: keys of the target's file.
        theirs: keys of the draft model's.
    """
    if ours.get(KIND) != theirs.get(KIND):
        return f"it is of the kind {theirs.get(KIND)!r}, not {ours.get(KIND)!r}"
    mine: Sequence[str] = (ours.get(TOKENS) or ())[: used(ours)]
    other: Sequence[str] = (theirs.get(TOKENS) or ())[: used(theirs)]
    if len(mine) != len(other):
        return f"it has {len(other)} tokens, not {len(mine)}"
    for token, (a, b) in enumerate(zip(mine, other, strict=True)):
        if a != b:
            return f"its token {token} is {b!r}, not {a!r}"
    for key in SPLITTING:
        if ours.get(key) != theirs.get(key):
            return f"its {key} is another"
    return None
