"""Verification: which drafted nodes the target itself would have chosen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from outrider.engines.base import Pass
from outrider.sampling import Sampler
from outrider.tree import ROOT, Tree
from outrider.types import Verdict

Masks = Callable[[int], NDArray[np.uint32]]
"""The allowed tokens below a node (ROOT included), as packed bits."""


class Verifier(ABC):
    """Decides over one tree; knows neither drafter nor controller."""

    @abstractmethod
    def verify(
        self,
        outcome: Pass,
        root: int,
        position: int,
        tree: Tree,
        sampler: Sampler,
        masks: Masks | None = None,
    ) -> Verdict:
        """The accepted path and the token after it.

        Args:
            outcome: the pass; node i of the tree is row root + 1 + i.
            root: the pending token's row.
            position: absolute index of the token that follows the root.
            tree: the draft.
            sampler: the completion's sampler, its history ending with the pending token.
            masks: allowed tokens below each node, where the request has a constraint.

        Raises:
            SamplingError: no token is left, or the logits are not numbers.
        """


class CoupledVerifier(Verifier):
    """The target's own choice at each node, under noise that depends on the position alone.

    Plain decoding asks for the same noise at the same positions, so it makes the same choices:
    the output is the same token for token, for any sampler and any tree.
    """

    def verify(
        self,
        outcome: Pass,
        root: int,
        position: int,
        tree: Tree,
        sampler: Sampler,
        masks: Masks | None = None,
    ) -> Verdict:
        """Walk down the tree while a child carries the target's choice; see `Verifier.verify`."""
        if masks is None:
            return outcome.walk(root, position, tree, sampler)

        def choose(node: int, path: tuple[int, ...]) -> int:
            row = root + 1 + node
            place = position + len(path)
            (token,) = outcome.choose([row], [sampler], [place], [path], [masks(node)])
            return token

        return coupled_walk(tree, choose)


def coupled_walk(tree: Tree, choose: Callable[[int, tuple[int, ...]], int]) -> Verdict:
    """Follow the target's choices from the root of a tree.

    Args:
        tree: the draft.
        choose: the target's choice below a node, given the tokens on the path to it.
    """
    node, accepted, path = ROOT, list[int](), list[int]()
    while True:
        token = choose(node, tuple(path))
        child = next((c for c in tree.children(node) if tree.tokens[c] == token), None)
        if child is None:
            return Verdict(tuple(accepted), token)
        accepted.append(child)
        path.append(token)
        node = child
