"""Completions of a loop, one by one or all at once, with companions that come and go."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outrider.certify.cells import Setting
from outrider.certify.salt import SALT
from outrider.decode import Loop
from outrider.engines.base import HISTORY, CachedSequence, Rows, TargetModel
from outrider.scheduler import Job
from outrider.types import Event, FinishReason, Sampling, Speculation, Usage

JOIN: Final = 0.3
"""Probability that some jobs join a mixed batch at a step."""

AHEAD: Final = 64
"""Jobs that a mixed batch has taken in and not ended, at most; looking at each costs every step."""

CANCELLED: Final = 0.2
"""Share of the jobs in a mixed batch that have a companion which is cancelled."""


@dataclass(frozen=True, slots=True)
class Case:
    """One completion to be had again and again.

    Attributes:
        prompt: the index of the prompt.
        tokens: of the prompt.
        sampling: how tokens are chosen.
        seed: of the noise.
        max_tokens: to generate, at most.
        stop_tokens: end the completion.
    """

    prompt: int
    tokens: tuple[int, ...]
    sampling: Sampling
    seed: int
    max_tokens: int
    stop_tokens: frozenset[int] = frozenset()


@dataclass(slots=True)
class Answer:
    """One completion, folded from its events.

    Attributes:
        logprobs: of its tokens under the raw model, as the passes had them in which they came.
        own: accepted tokens that the drafter itself had proposed.
    """

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    own: int = 0
    reason: FinishReason | None = None
    error: str | None = None
    usage: Usage = field(default_factory=Usage)

    def add(self, event: Event) -> None:
        """What has come."""
        self.tokens += event.tokens
        self.logprobs += (entry.logprob for entry in event.logprobs or ())
        self.own += sum(origin not in (None, SALT) for origin in event.origins)
        self.reason, self.error = event.finish_reason, event.error
        self.usage = event.usage or self.usage


@dataclass(frozen=True, slots=True)
class _Piece:
    kept_tokens: int
    text: str = ""
    stopped: bool = False


class _Silent:
    """A text sink without text: only the tokens matter here."""

    stopped = False

    def push(self, tokens: Sequence[int]) -> _Piece:
        return _Piece(len(tokens))

    def finish(self) -> str:
        return ""


class Asked:
    """A case put to a loop, with what has come of it so far.

    Args:
        case: what is asked.
        setting: how; None decodes plainly.
        cancel_after: tokens after which it is cancelled; None lets it end by itself.
    """

    def __init__(
        self, case: Case, setting: Setting | None = None, cancel_after: int | None = None
    ) -> None:
        self.case = case
        self.setting = setting
        self.answer = Answer()
        self.cancel_after = cancel_after
        self.job = Job(
            tokens=case.tokens,
            max_tokens=case.max_tokens,
            sampling=case.sampling,
            seed=case.seed,
            stop_tokens=case.stop_tokens,
            sink=_Silent,
            emit=self.answer.add,
            logprobs=0,
            speculation=setting.speculation if setting else Speculation(enabled=False),
        )

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.answer.reason is not None

    @property
    def due(self) -> bool:
        """Whether it is to be cancelled now."""
        after = self.cancel_after
        return after is not None and not self.done and len(self.answer.tokens) >= after


def drive(loop: Loop, asked: Sequence[Asked], ended: Callable[[int], None]) -> None:
    """Ask everything and step until all has ended.

    Args:
        loop: idle.
        asked: in the order in which they start.
        ended: told how many more have ended.
    """
    for one in asked:
        loop.add(one.job)
    open_ = list(asked)
    while not loop.idle:
        loop.step()
        open_ = _report(open_, ended)


def drive_mixed(
    loop: Loop, asked: Sequence[Asked], random: Random, ended: Callable[[int], None]
) -> list[Asked]:
    """The same with jobs that join at random steps, and companions that are cancelled.

    Args:
        loop: idle.
        asked: shuffled by the caller.
        random: decides what happens when.
        ended: told how many more of `asked` have ended.

    Returns:
        The companions: each was the same job as one of `asked` until it was cancelled.
    """
    companions = [
        Asked(one.case, one.setting, random.randrange(one.case.max_tokens))
        for one in asked
        if random.random() < CANCELLED
    ]
    queue = [*asked, *companions]
    random.shuffle(queue)
    waiting = deque(queue)
    open_: list[Asked] = []
    cancelling: list[Asked] = []
    while waiting or not loop.idle:
        if len(open_) < AHEAD and waiting and (loop.idle or random.random() < JOIN):
            for _ in range(min(random.randint(1, 4), len(waiting))):
                one = waiting.popleft()
                loop.add(one.job)
                (open_ if one.cancel_after is None else cancelling).append(one)
        loop.step()
        for one in cancelling:
            if one.due:
                loop.cancel(one.job)
        cancelling = [one for one in cancelling if not one.done]
        open_ = _report(open_, ended)
    return companions


def _report(open_: list[Asked], ended: Callable[[int], None]) -> list[Asked]:
    still = [one for one in open_ if not one.done]
    if len(still) < len(open_):
        ended(len(open_) - len(still))
    return still


@contextmanager
def little_room(engine: TargetModel, tokens: int) -> Iterator[int | None]:
    """Set the cache aside but for some tokens, so that what is cached is soon evicted.

    Yields:
        The tokens that are left; None where the engine does not say what it has.
    """
    ballast: list[CachedSequence] = []
    free: int | None = getattr(engine, "free_tokens", None)
    try:
        while free is not None and free - tokens > 0:
            before = free
            ballast.append(engine.open((), min(free - tokens, engine.context), share=False))
            free = int(getattr(engine, "free_tokens", 0))
            if free >= before:
                break
        yield free
    finally:
        for sequence in ballast:
            engine.close(sequence)


def next_logits(engine: TargetModel, tokens: Sequence[int]) -> NDArray[np.float32]:
    """The raw logits of what follows some tokens, in passes of their own: float32[vocab_size]."""
    sequence = engine.open(tokens, len(tokens), share=False)
    chunk = engine.capabilities.max_rows
    try:
        for start in range(0, len(tokens), chunk):
            part = tokens[start : start + chunk]
            count = len(part)
            outcome = engine.forward(
                Rows(
                    np.full(count, sequence.id, np.int32),
                    np.array(part, np.int32),
                    np.arange(HISTORY, HISTORY + count, dtype=np.int32),
                    np.ones(count, np.bool_),
                    np.arange(count) == count - 1,
                )
            )
        return np.array(outcome.numpy([count - 1])[0])
    finally:
        engine.close(sequence)
