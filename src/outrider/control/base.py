"""The contract of a controller: it decides how many rows a step may spend, and on which nodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from outrider.drafters.base import DraftEntry, Observation
from outrider.engines.base import Cost
from outrider.tree import Tree


class Controller(ABC):
    """Turns probabilities and the measured cost curve into a budget of rows.

    Args:
        cost: what passes of this model cost.
        num_draft_tokens: what the requests it is used for ask for; None leaves it to itself.

    Attributes:
        looks_at_draws: whether it keeps a node may depend on the probability of the node's own
            token. That is the point of most controllers; rejection then cannot judge drafts that
            were drawn at random, because those dropped were not drawn like those it sees.
    """

    looks_at_draws: ClassVar[bool] = True

    def __init__(self, cost: Cost, num_draft_tokens: int | None = None) -> None:
        self.cost = cost
        self.num_draft_tokens = num_draft_tokens

    @abstractmethod
    def limit(self, batch: Sequence[DraftEntry], budget: int) -> None:
        """Set each entry's `max_nodes` and `min_path_probability` before drafting.

        Args:
            batch: the running completions; `max_nodes` holds what each may have at most, and may
                only be lowered.
            budget: rows that this step may spend on drafts in all.
        """

    @abstractmethod
    def choose(self, batch: Sequence[DraftEntry], trees: Sequence[Tree], budget: int) -> list[Tree]:
        """The trees trimmed to the nodes worth their row; parents stay with their children."""

    def observe(self, batch: Sequence[Observation], pass_ms: float) -> None:  # noqa: B027
        """What came of it, for controllers that learn."""
