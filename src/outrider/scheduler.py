"""Which completions run, and where their cache lives.

First come, first served. A request is admitted when the cache can promise all it may come to need
(prompt, answer and drafts, for each of its completions), so nothing that runs is ever preempted.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from outrider.constraints import GuardedConstraint
from outrider.control.base import Controller
from outrider.drafters.base import DraftEntry, Drafter
from outrider.engines.base import CachedSequence, TargetModel
from outrider.errors import CapacityError, OutriderError
from outrider.sampling import Sampler
from outrider.types import Constraint, Event, Sampling, Speculation, TokenLogprob, Usage
from outrider.verify import Verifier


class TextPiece(Protocol):
    """What became of some tokens."""

    @property
    def text(self) -> str:
        """Text that is final."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether a stop string is complete."""
        ...

    @property
    def kept_tokens(self) -> int:
        """How many of the tokens came until then."""
        ...


class TextSink(Protocol):
    """Turns one completion's tokens into text and watches for its stop strings."""

    def push(self, tokens: Sequence[int]) -> TextPiece:
        """The next tokens."""
        ...

    def finish(self) -> str:
        """No more tokens come: the text that was held back. May find a stop string in it."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended the text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request as the loop sees it: token ids, and everything resolved.

    Attributes:
        tokens: the prompt, not empty.
        max_tokens: tokens to generate at most, at least one.
        stop_tokens: end-of-text tokens; they end a completion and are not part of it.
        seed: of the noise.
        n: completions of the prompt.
        sink: makes a completion's text sink.
        emit: called with every event, on the loop's thread.
    """

    tokens: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    seed: int
    stop_tokens: frozenset[int]
    sink: Callable[[], TextSink]
    emit: Callable[[Event], None]
    n: int = 1
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    constraint: Constraint | None = None
    speculation: Speculation = field(default_factory=Speculation)

    @property
    def capacity(self) -> int:
        """Positions a completion may fill: its last token is said, never computed."""
        return len(self.tokens) + self.max_tokens - 1


@dataclass(slots=True)
class Run:
    """One running completion.

    Attributes:
        entry: its tokens and sampler, as drafters see them; the last token is the pending one.
        computed: tokens of the prompt that are in the cache.
        promised: sequences that hold the cache promised to completions still to be forked.
        constraint: the request's, and `state` where it stands.
        drafts: whether it is speculated.
        parts: what drafts for it, controls that and verifies; set when it begins.
    """

    job: Job
    index: int
    entry: DraftEntry
    sequence: CachedSequence
    sink: TextSink
    computed: int
    usage: Usage
    submitted: float
    promised: list[CachedSequence] = field(default_factory=list)
    constraint: Constraint | None = None
    state: object | None = None
    drafts: bool = True
    first_token: float = 0.0
    prompt_logprobs: list[TokenLogprob] = field(default_factory=list)
    prompt_reported: bool = False
    parts: tuple[Drafter, Controller, Verifier] = field(init=False)

    @property
    def prefilling(self) -> bool:
        """Whether part of the prompt is still to be computed."""
        return self.computed < self.entry.prompt_length

    @property
    def left(self) -> int:
        """Tokens it may still generate."""
        return self.job.max_tokens - (len(self.entry.tokens) - self.entry.prompt_length)


@dataclass(slots=True)
class Waiting:
    """A job that has not been admitted yet."""

    job: Job
    submitted: float


class Scheduler:
    """The queue, the running completions and their cache.

    Args:
        engine: the model.
        max_streams: completions that run at once at most.
    """

    def __init__(self, engine: TargetModel, max_streams: int) -> None:
        self._engine = engine
        self._max_streams = max_streams
        self._next_id = 0
        self.waiting: deque[Waiting] = deque()
        self.running: list[Run] = []

    def add(self, job: Job) -> None:
        """Put a job at the end of the queue."""
        self.waiting.append(Waiting(job, time.perf_counter()))

    def admit(self) -> tuple[list[Run], list[tuple[Job, OutriderError]]]:
        """Start waiting jobs in their order while they fit.

        Returns:
            The runs that start, and the jobs that cannot be run at all with the reason.
        """
        started: list[Run] = []
        refused: list[tuple[Job, OutriderError]] = []
        while self.waiting:
            head = self.waiting[0]
            streams = sum(1 + len(run.promised) for run in self.running)
            if self.running and streams + head.job.n > self._max_streams:
                break
            try:
                run = self._open(head)
            except OutriderError as error:
                waits = isinstance(error, CapacityError) and not error.never
                if self.running and waits:
                    break  # it fits once others have ended
                refused.append((head.job, error))
            else:
                started.append(run)
                self.running.append(run)
            self.waiting.popleft()
        return started, refused

    def _open(self, waiting: Waiting) -> Run:
        job = waiting.job
        sampler = Sampler(
            job.sampling, vocab_size=self._engine.vocab_size, seed=job.seed, prompt=job.tokens
        )
        constraint = GuardedConstraint(job.constraint) if job.constraint else None
        state = constraint.start() if constraint else None
        # Log-probabilities of the prompt need every row of it, so none may come from the cache.
        share = job.prompt_logprobs is None
        opened: list[CachedSequence] = []
        try:
            opened.append(self._engine.open(job.tokens, job.capacity, share=share))
            # A promise is a sequence without tokens: it holds room until the prompt can be forked.
            opened.extend(self._engine.open((), job.capacity) for _ in range(job.n - 1))
        except CapacityError as error:
            for sequence in opened:
                self._engine.close(sequence)
            if opened and not self.running:
                raise CapacityError(
                    f"The cache has no room for {job.n} completions of {job.capacity} tokens at "
                    "once; raise --cache-budget or ask for fewer.",
                    never=True,
                ) from error
            raise
        sequence, *promised = opened
        run = self._run(job, 0, sampler, sequence, waiting.submitted)
        run.promised = promised
        run.constraint, run.state = constraint, state
        run.computed = run.usage.cached_tokens = sequence.cached
        return run

    def fork(self, run: Run) -> list[Run]:
        """The other completions of a run whose prompt has just been computed."""
        forks = []
        for index, promise in enumerate(run.promised, start=1):
            self._engine.close(promise)
            sequence = self._engine.fork(run.sequence, run.job.capacity)
            sampler = run.entry.sampler.fork(index)
            fork = self._run(run.job, index, sampler, sequence, run.submitted)
            fork.constraint, fork.state = run.constraint, run.state
            fork.computed = fork.usage.cached_tokens = len(run.job.tokens)
            forks.append(fork)
        run.promised = []
        self.running.extend(forks)
        return forks

    def _run(
        self,
        job: Job,
        index: int,
        sampler: Sampler,
        sequence: CachedSequence,
        submitted: float,
    ) -> Run:
        self._next_id += 1
        return Run(
            job=job,
            index=index,
            entry=DraftEntry(
                self._next_id, list(job.tokens), len(job.tokens), sampler, sequence=sequence
            ),
            sequence=sequence,
            sink=job.sink(),
            computed=0,
            usage=Usage(
                prompt_tokens=len(job.tokens), queue_ms=(time.perf_counter() - submitted) * 1000
            ),
            submitted=submitted,
            drafts=job.speculation.enabled,
        )

    def release(self, run: Run) -> None:
        """A completion has ended: its cache is free for others."""
        self.running.remove(run)
        for sequence in (run.sequence, *run.promised):
            self._engine.close(sequence)

    def drop(self, job: Job) -> bool:
        """Take a job that still waits out of the queue; False where it does not wait."""
        for waiting in self.waiting:
            if waiting.job is job:
                self.waiting.remove(waiting)
                return True
        return False
