"""Constraints on which tokens may come next; see `outrider.types.Constraint`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from outrider.errors import UsageError
from outrider.sampling import pack_mask


class AllowedTokens:
    """The same set of tokens at every place: a choice of answers, an alphabet.

    Args:
        tokens: the ids that may be generated.
        vocab_size: the model's.

    Raises:
        UsageError: the set is empty, or an id lies outside the vocabulary.
    """

    def __init__(self, tokens: Iterable[int], vocab_size: int) -> None:
        self.tokens = frozenset(tokens)
        if not self.tokens:
            raise UsageError("A constraint that allows no token leaves nothing to say.")
        for token in self.tokens:
            if not 0 <= token < vocab_size:
                raise UsageError(
                    f"Token {token} of the constraint lies outside the vocabulary of {vocab_size}."
                )
        self._mask = pack_mask(sorted(self.tokens), vocab_size)

    def start(self) -> object:
        """The one state there is."""
        return self

    def advance(self, state: object, token: int) -> object | None:
        """The same state, or None for a token that is not allowed."""
        return state if token in self.tokens else None

    def mask(self, state: object) -> NDArray[np.uint32]:
        """The set as packed bits, uint32[ceil(vocab_size / 32)]."""
        return self._mask
