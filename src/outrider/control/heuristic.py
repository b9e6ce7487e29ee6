"""Longer after success, shorter after failure."""

from __future__ import annotations

from collections.abc import Sequence

from outrider.control.base import PassReport
from outrider.control.lengths import LengthController, all_accepted, check_at_least
from outrider.drafters.base import DraftEntry, Observation
from outrider.engines.base import Cost


class HeuristicController(LengthController):
    """K grows by 2 when a whole draft was accepted, and else falls by 1, down to 1.

    Each completion has a K of its own. The rule of Hugging Face's assisted generation, schedule
    `heuristic`.

    Args:
        cost: not looked at.
        num_draft_tokens: the greatest K.
        start: the first K.

    Raises:
        UsageError: start is less than 1.
    """

    def __init__(self, cost: Cost, num_draft_tokens: int | None = None, *, start: int = 5) -> None:
        super().__init__(cost, num_draft_tokens)
        check_at_least("start", start, 1)
        self._start = start
        self._length: dict[int, int] = {}

    def lengths(self, batch: Sequence[DraftEntry]) -> list[int]:
        """Each completion's K; those that have ended are forgotten."""
        self._length = {entry.id: self._length.get(entry.id, self._start) for entry in batch}
        return list(self._length.values())

    def observe(self, batch: Sequence[Observation], report: PassReport) -> None:
        """A step without a draft says nothing."""
        for seen in batch:
            length = self._length.get(seen.entry.id)
            if length is None or not len(seen.tree):
                continue
            if all_accepted(seen.tree, seen.verdict):
                length += 2
                if self.num_draft_tokens is not None:
                    length = min(length, self.num_draft_tokens)
            else:
                length -= 1
            self._length[seen.entry.id] = max(length, 1)
