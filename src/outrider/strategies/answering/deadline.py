"""A time limit for a whole run: what each question may still spend.

Nobody knows how long an answer will be, but the answers so far say how long they mostly are. A
question's budget is the number of tokens at which the questions that are left, if they are like
those before, end in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor

import numpy as np

from outrider.types import Usage

RECENT = 64
"""Answers of which the time of a token and of a prompt is taken."""

RESERVE = 0.03
"""The share of the time that is left unplanned, for what no estimate sees coming."""


def cap_for(lengths: Sequence[int], target: float) -> float:
    """The cap at which the mean length is `target` tokens; infinite where none is needed.

    The mean of min(length, cap) rises with the cap, in straight pieces between the lengths, so the
    cap is found on one of these.
    """
    ordered = np.sort(np.asarray(lengths, np.float64))
    count = len(ordered)
    if ordered.mean() <= target:
        return float("inf")
    before = 0.0  # the sum of those below the cap
    for index, length in enumerate(ordered):
        cap = (target * count - before) / (count - index)
        if cap <= length:
            return cap
        before += length
    raise AssertionError("a mean above the target has a cap below its longest length")


@dataclass(slots=True)
class Deadline:
    """Budgets inside a time limit.

    Attributes:
        seconds: the limit, counted from the beginning of the run.
        streams: questions that are answered at the same time.
    """

    seconds: float
    streams: int
    _lengths: dict[str, list[int]] = field(default_factory=dict)
    _shares: list[float] = field(default_factory=list)
    _token_ms: list[float] = field(default_factory=list)
    _prompt_ms: list[float] = field(default_factory=list)

    def seed(self, token_ms: float, prompt_ms: float) -> None:
        """What a token takes alone: as many streams take as many times as much, at worst."""
        if not self._token_ms:
            self._token_ms.append(token_ms * self.streams)
            self._prompt_ms.append(prompt_ms)

    def observe(self, subject: str, max_tokens: int, usage: Usage) -> None:
        """An answer has ended.

        Args:
            subject: of the question.
            max_tokens: what the subject allows, not what the budget did.
            usage: the answer's counters.
        """
        self._lengths.setdefault(subject, []).append(usage.completion_tokens)
        self._shares.append(usage.completion_tokens / max_tokens)
        if usage.completion_tokens > 1:
            self._token_ms.append(usage.decode_ms / (usage.completion_tokens - 1))
        self._prompt_ms.append(max(usage.first_token_ms - usage.queue_ms, 0.0))

    def budget(
        self, subject: str, limits: Mapping[str, int], left: Mapping[str, int], now: float
    ) -> int | None:
        """The tokens that a question of `subject` may generate; None where no time is left.

        Args:
            subject: of the question.
            limits: what each subject allows, in tokens.
            left: the questions of each subject that have not begun, this one among them.
            now: seconds since the beginning.
        """
        time_ms = (self.seconds * (1 - RESERVE) - now) * 1000
        if time_ms <= 0:
            return None
        limit = limits[subject]
        if not self._token_ms:
            return limit
        token_ms = float(np.mean(self._token_ms[-RECENT:]))
        prompt_ms = float(np.mean(self._prompt_ms[-RECENT:]))
        alone = floor((time_ms - prompt_ms) / token_ms)  # no answer may outlast the run by itself
        if alone < 1:
            return None
        expected = {name: self._expected(name, limits[name]) for name in left}
        work = sum(left[name] * expected[name] for name in left) * token_ms
        room = time_ms * self.streams - sum(left.values()) * prompt_ms
        if room <= 0:
            return None
        scale = room / work if work else float("inf")
        if scale >= 1:
            return min(limit, alone)
        lengths = self._lengths.get(subject)
        target = scale * expected[subject]
        cap = cap_for(lengths, target) if lengths else target
        cap = limit if cap > limit else cap
        return max(1, min(limit, alone, ceil(cap)))

    def _expected(self, subject: str, limit: int) -> float:
        """The mean length of a subject's answers; before there are any, the limit's share."""
        if lengths := self._lengths.get(subject):
            return float(np.mean(lengths))
        return limit * (float(np.mean(self._shares)) if self._shares else 1.0)
