"""Lengths as the arms of a bandit that is paid in tokens a millisecond."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from outrider.control.base import PassReport
from outrider.control.lengths import LengthController, check_at_least
from outrider.control.passes import only_decoding
from outrider.drafters.base import DraftEntry, Observation
from outrider.engines.base import Cost
from outrider.errors import UsageError

LENGTHS: Final = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


class Arms:
    """A discounted upper-confidence bandit (Garivier and Moulines 2008, arXiv:0805.3415).

    An arm's value is the quotient of the sums of tokens and of milliseconds, not the mean of the
    steps' quotients: over a long text, that is its speed. Values are held against the greatest one,
    so that the width of the confidence does not depend on the machine.

    Args:
        count: how many arms there are.
        discount: what an observation is still worth a step later.
        exploration: the width of the confidence.
    """

    def __init__(self, count: int, discount: float, exploration: float) -> None:
        self._discount = discount
        self._exploration = exploration
        self._plays = np.zeros(count)
        self._tokens = np.zeros(count)
        self._ms = np.zeros(count)

    def best(self) -> int:
        """The arm to play: one that was never played, or the greatest value it may have."""
        if not self._plays.all():
            return int(np.argmin(self._plays))
        values = self._tokens / self._ms
        width = np.sqrt(math.log(self._plays.sum() + 1.0) / self._plays)
        return int(np.argmax(values / values.max() + self._exploration * width))

    def add(self, arm: int, tokens: int, ms: float) -> None:
        """What playing an arm has brought."""
        self._plays *= self._discount
        self._tokens *= self._discount
        self._ms *= self._discount
        self._plays[arm] += 1.0
        self._tokens[arm] += tokens
        self._ms[arm] += ms


class BanditController(LengthController):
    """Learns the best K by trying, one K for the whole batch; 0 is among the choices.

    It knows nothing of costs: it measures tokens a millisecond, drafting included, for numbers of
    sequences of about the same size each by themselves. Lengths are 0, 1, 2, 3, 4, 6, 8, 12, …

    Args:
        cost: not looked at.
        num_draft_tokens: the greatest K.
        longest: the greatest K where `num_draft_tokens` is not given.
        discount: what an observation is still worth a step later, between 0 and 1: the smaller, the
            sooner it follows a text that changes.
        exploration: how eagerly what seems worse is tried again.

    Raises:
        UsageError: an option is out of range.
    """

    def __init__(
        self,
        cost: Cost,
        num_draft_tokens: int | None = None,
        *,
        longest: int = 8,
        discount: float = 0.995,
        exploration: float = 0.1,
    ) -> None:
        super().__init__(cost, num_draft_tokens)
        check_at_least("longest", longest, 0)
        if not 0.0 < discount < 1.0:
            raise UsageError(f"The discount has to lie between 0 and 1, not be {discount}.")
        if not 0.0 <= exploration < math.inf:
            raise UsageError(f"The exploration has to be at least 0, not {exploration}.")
        greatest = longest if num_draft_tokens is None else num_draft_tokens
        self._lengths = sorted({min(length, greatest) for length in (*LENGTHS, greatest)})
        self._discount = discount
        self._exploration = exploration
        self._arms: dict[int, Arms] = {}
        self._played = (0, 0)

    def lengths(self, batch: Sequence[DraftEntry]) -> list[int]:
        """The K of the arm that is played, for everyone."""
        size = len(batch).bit_length()
        if size not in self._arms:
            self._arms[size] = Arms(len(self._lengths), self._discount, self._exploration)
        self._played = size, self._arms[size].best()
        return [self._lengths[self._played[1]]] * len(batch)

    def observe(self, batch: Sequence[Observation], report: PassReport) -> None:
        """Pay the arm that was played; steps in which prompts are computed do not count."""
        size, arm = self._played
        if size in self._arms and only_decoding(batch, report):
            tokens = len(report.rows) + sum(len(seen.verdict.accepted) for seen in batch)
            ms = report.draft_ms + report.pass_ms + report.sampling_ms
            self._arms[size].add(arm, tokens, ms)
