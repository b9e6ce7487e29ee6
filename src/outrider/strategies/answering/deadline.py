"""A time limit for a whole run: what each question may still spend.

Nobody knows how long an answer will be, but the answers so far say how long they mostly are. A
question's budget is the number of tokens at which the questions that are left, if they are like
those before, end in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from outrider.types import Usage

RECENT = 64
"""Answers of which the time of a token and of a prompt is taken."""

RESERVE = 0.03
"""The share of the time that is left unplanned, for what no estimate sees coming."""

LEAST = 8
"""Tokens that are kept for each question that waits for the same stream."""


class Lengths:
    """How long answers are: the estimate of Kaplan and Meier (1958) from whole and cut ones.

    A cut answer says only that it would have been longer. Taken for its whole length it would make
    the next budget smaller, and the one after that smaller still.

    Args:
        limit: the longest an answer may be, in tokens; what outlasts every cut is taken to reach
            it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ended = np.zeros(limit + 1)  # answers that ended by themselves at a length
        self._cut = np.zeros(limit + 1)
        self._mean_at: NDArray[np.float64] | None = None

    def add(self, length: int, *, cut: bool) -> None:
        """An answer of `length` tokens, cut there before the limit or not."""
        counts = self._cut if cut and length < self._limit else self._ended
        counts[min(length, self._limit)] += 1
        self._mean_at = None

    @property
    def mean(self) -> float:
        """The mean length, were no answer cut before the limit."""
        return float(self._means()[self._limit])

    def cap_for(self, target: float) -> int:
        """The least cap at which the mean length reaches `target`; the limit where none does."""
        return min(int(np.searchsorted(self._means(), target)), self._limit)

    def remaining(self, said: float, budget: int) -> float:
        """The mean of what an answer of so many tokens will still say within its budget."""
        said = min(said, budget)
        means = self._means()
        at = int(said)
        alive = means[at + 1] - means[at] if at < self._limit else 0.0
        return float((means[budget] - means[at]) / alive) if alive > 0 else budget - said

    def _means(self) -> NDArray[np.float64]:
        """Of each cap from 0 to the limit the mean length under it: the sum of the survivals."""
        if self._mean_at is None:
            # At risk at a length: all answers that have come so far without ending or being cut.
            at_risk = np.cumsum((self._ended + self._cut)[::-1])[::-1]
            hazard = np.divide(
                self._ended, at_risk, out=np.zeros(self._limit + 1), where=at_risk > 0
            )
            survival = np.cumprod(1 - hazard[: self._limit])
            self._mean_at = np.concatenate([[0.0], np.cumsum(survival)])
        return self._mean_at


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
    _lengths: dict[str, Lengths] = field(default_factory=dict)
    _token_times: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RECENT))
    _prompt_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    _running: dict[str, _Running] = field(default_factory=dict)

    def seed(self, token_ms: float, prompt_ms: float) -> None:
        """What a token takes alone: as many streams take as many times as much, at worst."""
        if not self._token_times:
            self._token_times.append((token_ms * self.streams, 1))
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
        tokens = usage.completion_tokens
        lengths = self._lengths.setdefault(running.subject, Lengths(self.limits[running.subject]))
        lengths.add(tokens, cut=tokens >= running.budget)
        if tokens > 1:
            self._token_times.append((usage.decode_ms, tokens - 1))
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
        if not self._token_times:
            return limit
        token_ms = sum(ms for ms, _ in self._token_times) / sum(n for _, n in self._token_times)
        prompt_ms = float(np.mean(self._prompt_ms))
        count = sum(left.values())
        # No answer may outlast the run by itself, nor leave nothing to those behind it.
        behind = ceil((count - 1) / self.streams)
        alone = floor((time_ms - prompt_ms) / token_ms)
        alone -= min(behind * ceil(LEAST + prompt_ms / token_ms), alone // 2)
        if alone < 1:
            return None
        share = self._share()
        work = sum(left[name] * self._expected(name, share) for name in left) * token_ms
        running = sum(self._remaining(one, token_ms, now) for one in self._running.values())
        room = max(time_ms * self.streams - running - count * prompt_ms, 0.0)
        scale = room / work if work else float("inf")
        if scale >= 1:
            return min(limit, alone)
        target = scale * self._expected(subject, share)
        lengths = self._lengths.get(subject)
        cap = ceil(target) if lengths is None else lengths.cap_for(target)
        return max(1, min(limit, alone, cap))

    def _share(self) -> float:
        """The share of their limit that answers take; all of it before there are any."""
        shares = [known.mean / self.limits[name] for name, known in self._lengths.items()]
        return float(np.mean(shares)) if shares else 1.0

    def _expected(self, subject: str, share: float) -> float:
        """The mean length of a subject's answers; before there are any, the others' share."""
        lengths = self._lengths.get(subject)
        return share * self.limits[subject] if lengths is None else lengths.mean

    def _remaining(self, one: _Running, token_ms: float, now: float) -> float:
        """Milliseconds that an answer under way will still take, if it is like those before."""
        said = (now - one.begun) * 1000 / token_ms
        lengths = self._lengths.get(one.subject)
        if lengths is None:
            return max(one.budget - said, 0.0) * token_ms
        return lengths.remaining(said, one.budget) * token_ms
