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

LEAST = 8
"""Tokens that are kept for each question that waits for the same stream."""


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


@dataclass(frozen=True, slots=True)
class _Running:
    subject: str
    begun: float
    budget: int


@dataclass(slots=True)
class Deadline:
    """Budgets inside a time limit.

    Attributes:
        seconds: the limit, counted from the beginning of the run.
        streams: questions that are answered at the same time.
        limits: what each subject allows an answer, in tokens.
    """

    seconds: float
    streams: int
    limits: Mapping[str, int]
    _lengths: dict[str, list[int]] = field(default_factory=dict)
    _shares: list[float] = field(default_factory=list)
    _token_ms: list[float] = field(default_factory=list)
    _prompt_ms: list[float] = field(default_factory=list)
    _running: dict[str, _Running] = field(default_factory=dict)

    def seed(self, token_ms: float, prompt_ms: float) -> None:
        """What a token takes alone: as many streams take as many times as much, at worst."""
        if not self._token_ms:
            self._token_ms.append(token_ms * self.streams)
            self._prompt_ms.append(prompt_ms)

    def observe(self, question: str, usage: Usage | None) -> None:
        """A question that had a budget has ended.

        Args:
            question: its id.
            usage: the answer's counters; None where it failed.
        """
        running = self._running.pop(question)
        if usage is None:
            return
        self._lengths.setdefault(running.subject, []).append(usage.completion_tokens)
        self._shares.append(usage.completion_tokens / self.limits[running.subject])
        if usage.completion_tokens > 1:
            self._token_ms.append(usage.decode_ms / (usage.completion_tokens - 1))
        self._prompt_ms.append(max(usage.first_token_ms - usage.queue_ms, 0.0))

    def budget(
        self, question: str, subject: str, left: Mapping[str, int], now: float
    ) -> int | None:
        """The tokens that a question may generate; None where no time is left for it.

        Args:
            question: its id.
            subject: of the question.
            left: the questions of each subject that have not begun, this one among them.
            now: seconds since the beginning.
        """
        tokens = self._tokens(subject, left, now)
        if tokens is not None:
            self._running[question] = _Running(subject, now, tokens)
        return tokens

    def _tokens(self, subject: str, left: Mapping[str, int], now: float) -> int | None:
        time_ms = (self.seconds * (1 - RESERVE) - now) * 1000
        if time_ms <= 0:
            return None
        limit = self.limits[subject]
        if not self._token_ms:
            return limit
        token_ms = float(np.mean(self._token_ms[-RECENT:]))
        prompt_ms = float(np.mean(self._prompt_ms[-RECENT:]))
        count = sum(left.values())
        # No answer may outlast the run by itself, nor leave nothing to those behind it.
        behind = ceil((count - 1) / self.streams)
        alone = floor((time_ms - prompt_ms) / token_ms)
        alone -= min(behind * ceil(LEAST + prompt_ms / token_ms), alone // 2)
        if alone < 1:
            return None
        expected = {name: self._expected(name) for name in left}
        work = sum(left[name] * expected[name] for name in left) * token_ms
        running = sum(self._remaining(one, token_ms, now) for one in self._running.values())
        room = max(time_ms * self.streams - running - count * prompt_ms, 0.0)
        scale = room / work if work else float("inf")
        if scale >= 1:
            return min(limit, alone)
        lengths = self._lengths.get(subject)
        target = scale * expected[subject]
        cap = cap_for(lengths, target) if lengths else target
        return max(1, min(limit, alone, limit if cap > limit else ceil(cap)))

    def _expected(self, subject: str) -> float:
        """The mean length of a subject's answers; before there are any, the limit's share."""
        if lengths := self._lengths.get(subject):
            return float(np.mean(lengths))
        return self.limits[subject] * (float(np.mean(self._shares)) if self._shares else 1.0)

    def _remaining(self, one: _Running, token_ms: float, now: float) -> float:
        """Milliseconds that an answer under way will still take, if it is like those before."""
        said = (now - one.begun) * 1000 / token_ms
        longer = [length for length in self._lengths.get(one.subject, ()) if length > said]
        whole = float(np.minimum(longer, one.budget).mean()) if longer else float(one.budget)
        return max(whole - said, 0.0) * token_ms
