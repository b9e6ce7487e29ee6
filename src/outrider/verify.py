"""Verification: which of the drafted tokens the target itself would have said.

*Coupled* verification asks for the target's own choice at each node, with the noise that plain
decoding asks for at that position. It follows the draft while the two agree, so whatever was
drafted, the tokens are those of plain decoding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from outrider.engines.base import Pass
from outrider.sampling import Sampler
from outrider.tree import Tree, follow
from outrider.types import Verdict

Mask = Callable[[int], NDArray[np.uint32]]
"""The packed bits of the tokens that a constraint allows after a node (ROOT included)."""


def coupled_walk(
    logits: NDArray[np.float32],
    tree: Tree,
    sampler: Sampler,
    position: int,
    mask: Mask | None = None,
) -> Verdict:
    """Coupled verification over plain arrays; the definition that engines are tested against.

    Args:
        logits: float32[1 + len(tree), vocab_size]; row 0 is the root's, row i + 1 node i's.
        tree: the draft.
        sampler: its history ends with the root.
        position: absolute index of the token that follows the root.
        mask: allowed tokens after a node, or None for all.

    Raises:
        SamplingError: no token is left at a node that was reached.
    """

    def choose(node: int, path: Sequence[int]) -> int:
        bits = None if mask is None else mask(node)
        return sampler.choose(logits[node + 1], position + len(path), path, bits)

    return follow(tree, choose)


class Verifier(ABC):
    """Decides which drafted tokens stand. It needs the pass and the tree, nothing else."""

    @abstractmethod
    def verify(
        self,
        outcome: Pass,
        root: int,
        position: int,
        tree: Tree,
        sampler: Sampler,
        *,
        mask: Mask | None = None,
    ) -> Verdict:
        """The accepted nodes and the token after them; an empty tree is plain decoding.

        Args:
            outcome: the pass.
            root: the pending token's row; node i of the tree is row root + 1 + i.
            position: absolute index of the token that follows the root.
            tree: the draft.
            sampler: its history ends with the pending token.
            mask: allowed tokens after a node, or None for all.

        Raises:
            SamplingError: no token could be chosen at a node that was reached.
        """


class CoupledVerifier(Verifier):
    """Exact token for token: the target's own choice at each node, with its own noise."""

    def verify(
        self,
        outcome: Pass,
        root: int,
        position: int,
        tree: Tree,
        sampler: Sampler,
        *,
        mask: Mask | None = None,
    ) -> Verdict:
        """See `Verifier.verify`."""
        if mask is None:
            return outcome.walk(root, position, tree, sampler)

        def choose(node: int, path: Sequence[int]) -> int:
            row = root + 1 + node
            (token,) = outcome.choose(
                [row], [sampler], [position + len(path)], [path], [mask(node)]
            )
            return token

        return follow(tree, choose)
