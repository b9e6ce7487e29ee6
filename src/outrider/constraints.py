"""Constraints on which tokens may come next, and where they stand along a draft.

See `outrider.types.Constraint`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from outrider.errors import OutriderError, UsageError
from outrider.sampling import pack_mask
from outrider.tree import EMPTY, ROOT, Tree
from outrider.types import Constraint

T = TypeVar("T")


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


class GuardedConstraint:
    """A request's own constraint: whatever it raises becomes that request's error."""

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint

    @staticmethod
    def _guard(work: Callable[[], T]) -> T:
        try:
            return work()
        except Exception as error:
            raise UsageError(f"The constraint failed: {type(error).__name__}: {error}") from error

    def start(self) -> object:
        """The state before the first generated token."""
        return self._guard(self._constraint.start)

    def advance(self, state: object, token: int) -> object | None:
        """The state after `token`, or None where `state` does not allow it."""
        return self._guard(lambda: self._constraint.advance(state, token))

    def mask(self, state: object) -> NDArray[np.uint32]:
        """Allowed tokens as packed bits."""
        return self._guard(lambda: self._constraint.mask(state))


def prune(tree: Tree, depth: int, constraint: Constraint | None, state: object | None) -> Tree:
    """A draft without its nodes below a depth and those that a constraint forbids.

    What was drawn from a distribution stays, to be refused: dropped, it would leave its share of
    the draft's distribution to the target's whole one.

    Args:
        tree: the draft.
        depth: nodes on a path at most.
        constraint: None allows everything.
        state: the constraint's, before the first drafted token.

    Returns:
        The rest; nothing where the constraint itself fails, for verification meets the same fault.
    """
    if constraint is None and len(tree) <= depth:
        return tree  # no path has more nodes than the whole
    below, states = [0] * len(tree), {ROOT: state}
    kept = []
    for node, (token, parent) in enumerate(zip(tree.tokens, tree.parents, strict=True)):
        below[node] = 1 if parent == ROOT else below[parent] + 1
        if parent not in states or below[node] > depth:
            continue
        if constraint is None:
            states[node] = None
        else:
            try:
                after = constraint.advance(states[parent], token)
            except OutriderError:
                return EMPTY
            if after is not None:
                states[node] = after
            elif parent not in tree.distributions:
                continue
        kept.append(node)
    return tree if len(kept) == len(tree) else tree.pick(kept)


def states_along(
    tree: Tree, constraint: Constraint, state: object | None
) -> dict[int, object | None]:
    """The constraint's state at each node; ROOT stands for the one before the draft."""
    states = {ROOT: state}
    for node, (token, parent) in enumerate(zip(tree.tokens, tree.parents, strict=True)):
        states[node] = constraint.advance(states[parent], token)
    return states


def state_after(
    tokens: Iterable[int], stop_tokens: frozenset[int], constraint: Constraint, state: object | None
) -> object | None:
    """The constraint's state behind tokens that were chosen; the end of text needs none.

    Raises:
        UsageError: the constraint refuses a token that its mask allowed.
    """
    for token in tokens:
        if token in stop_tokens:
            break
        state = constraint.advance(state, token)
        if state is None:
            raise UsageError(
                f"The constraint contradicts itself: its mask allows token {token} and "
                "advance refuses it."
            )
    return state
