"""The contract of a controller: it decides how many rows a step may spend, and on which nodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from outrider.drafters.base import DraftEntry, Observation
from outrider.engines.base import Cost
from outrider.tree import Tree


@dataclass(frozen=True, slots=True)
class Room:
    """What a pass already holds, and what is left in it for drafts.

    Attributes:
        budget: rows that the drafts of this batch may take in all.
        rows: (context, rows) of every sequence that takes part without these drafts: first one row
            for each that decodes, then prompts in chunks and drafts decided before.
        decoding: how many of the sequences decode; each gains a token whatever is drafted.
    """

    budget: int
    rows: tuple[tuple[int, int], ...]
    decoding: int


@dataclass(frozen=True, slots=True)
class PassReport:
    """What a step was and took.

    Attributes:
        rows: (context, rows) of every sequence in the pass, drafts included.
        draft_ms: drafting, controlling and the drafters' learning, of all sequences.
        pass_ms: the pass.
        sampling_ms: verification of all sequences.
        rest_ms: all else that the step before took, text and handing tokens over; None where it
            also read prompts, or where there was none.
    """

    rows: tuple[tuple[int, int], ...]
    draft_ms: float
    pass_ms: float
    sampling_ms: float
    rest_ms: float | None = None


class Controller(ABC):
    """Turns probabilities and the measured cost curve into a budget of rows.

    Options of its own are keyword-only parameters of the constructor; see `outrider.registry`.

    One controller serves one drafter, so what it learns is about that drafter.

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
    def limit(self, batch: Sequence[DraftEntry], room: Room) -> None:
        """Set each entry's `max_nodes` and `min_path_probability` before drafting.

        Args:
            batch: the running completions; `max_nodes` holds what each may have at most, and may
                only be lowered.
            room: what this step may spend.
        """

    @abstractmethod
    def choose(self, batch: Sequence[DraftEntry], trees: Sequence[Tree], room: Room) -> list[Tree]:
        """The trees trimmed to the nodes worth their row; parents stay with their children."""

    def observe(self, batch: Sequence[Observation], report: PassReport) -> None:  # noqa: B027
        """What came of it, for controllers that learn."""
