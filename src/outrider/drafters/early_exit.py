"""The target as its own drafter: its first layers, and then its output layer."""

from __future__ import annotations

from typing import Final

from outrider.drafters.base import DraftEntry
from outrider.drafters.passes import Lead, PassDrafter
from outrider.engines.base import TargetModel
from outrider.errors import UsageError

DEFAULT_SHARE: Final = 4
"""One of so many layers is used where nothing is asked for."""


class EarlyExitDrafter(PassDrafter):
    """Guesses with the target's first layers (LayerSkip, Elhoushi et al., arXiv 2404.16710).

    They read the target's own cache of those layers, so there is nothing to catch up with and no
    memory is needed. A model that was not trained for it says little of use before its last
    layers.

    Args:
        target: the model, which has to compute partial layers.
        layers: how many; None takes a quarter of them.
        draws: as in `PassDrafter`.
        branch: as in `PassDrafter`.

    Raises:
        UsageError: the engine cannot stop early, or does not have so many layers.
    """

    def __init__(
        self,
        target: TargetModel,
        *,
        layers: int | None = None,
        draws: bool = False,
        branch: int = 1,
    ) -> None:
        if not target.capabilities.layers:
            raise UsageError(
                "The drafter 'early_exit' needs an engine that can stop after some layers, which "
                f"{type(target).__name__} cannot."
            )
        every = target.layers
        if layers is None:
            layers = max(1, every // DEFAULT_SHARE)
        if not 1 <= layers < every:
            raise UsageError(
                f"early_exit can draft with 1 to {every - 1} of this model's {every} layers, not "
                f"with {layers}."
            )
        super().__init__(target, target, draws=draws, branch=branch, layers=layers)

    def _lead(self, entry: DraftEntry, room: int) -> Lead | None:
        """The pending token, which is not in the cache yet and cannot go there in such a pass."""
        if entry.sequence is None or room < 1:
            return None
        return Lead(entry.sequence, again=entry.tokens[-1:])
