"""A set of questions, answered together: subject by subject, each prefix computed once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Generator as GeneratorType
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Final

from outrider.errors import CapacityError, OutriderError, SamplingError, UsageError
from outrider.sampling import derive_seed
from outrider.strategies.answering import recording
from outrider.strategies.answering.asking import make_request
from outrider.strategies.answering.assign import Assigner
from outrider.strategies.answering.deadline import Deadline
from outrider.strategies.answering.profile import Profile, Subject
from outrider.strategies.answering.questions import Question
from outrider.strategies.answering.record import Answered
from outrider.types import Completion, Generator, Usage

TIMED_TOKENS: Final = 8
"""Tokens that a deadline lets a prefix be followed by, to see what a token takes."""

_OWN: Final = (UsageError, CapacityError, SamplingError)
"""Errors that are the question's own: asking again would give them again."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question that has no answer for now; a continued run asks it again.

    Attributes:
        question: which.
        reason: a sentence.
    """

    question: Question
    reason: str


@dataclass(frozen=True, slots=True)
class Warmed:
    """A subject's prefix has been computed.

    Attributes:
        subject: its name.
        tokens: of the prompt that was computed for it, the first question's own among them.
        cached: of these, found in the cache.
        prefill_ms: what that took.
    """

    subject: str
    tokens: int
    cached: int
    prefill_ms: float


News = Answered | Unanswered | Warmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run goes.

    Attributes:
        chat: whether the generator takes messages.
        streams: questions asked at the same time.
        seed: of the run; each question's is derived from it and its place in the file.
        deadline: seconds for all questions; None sets no limit.
        spent: seconds of the deadline that earlier parts of the run have taken.
    """

    chat: bool = True
    streams: int = 16
    seed: int = 0
    deadline: float | None = None
    spent: float = 0.0


@dataclass(slots=True)
class _Plan:
    """The questions that are left, subject by subject; touched under the run's lock alone."""

    queue: list[tuple[Question, Subject]]
    left: Counter[str] = field(default_factory=Counter)
    warmed: set[str] = field(default_factory=set)


class Run:
    """Questions on their way through a profile.

    Args:
        generator: answers them; its methods are called from several threads.
        profile: says how each is asked.
        questions: those without an answer yet, in the order of their file.
        settings: how the run goes.
    """

    def __init__(
        self,
        generator: Generator,
        profile: Profile,
        questions: Sequence[Question],
        settings: Settings,
    ) -> None:
        self._generator, self._profile, self._settings = generator, profile, settings
        self._questions = questions
        self._assigner = Assigner(profile, generator, chat=settings.chat)
        self._lock = threading.Lock()
        self._news: SimpleQueue[News | BaseException | None] = SimpleQueue()
        self._plan = _Plan([])
        limits = {name: subject.max_tokens for name, subject in profile.subjects.items()}
        self._deadline = (
            None
            if settings.deadline is None
            else Deadline(settings.deadline, settings.streams, limits)
        )
        self._begun = time.perf_counter()
        self._failures = 0
        self._stopped = False

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.perf_counter() - self._begun

    def news(self) -> GeneratorType[News, None, None]:
        """Everything that happens, as it happens; ends when no question is left.

        Close it to begin no more questions; those under way end with the generator.

        Raises:
            OutriderError: the generator fails again and again, whatever it is asked.
        """
        self._begun = time.perf_counter()
        yield from self._prepare()
        threads = [
            # Not daemons: those would be torn out of whatever they compute at the process's end.
            # Once the generator is closed, what they wait for ends, and so do they.
            threading.Thread(target=self._work, name=f"answering-{i}")
            for i in range(min(self._settings.streams, len(self._plan.queue)))
        ]
        for thread in threads:
            thread.start()
        running = len(threads)
        try:
            while running:
                news = self._news.get()
                if news is None:
                    running -= 1
                elif isinstance(news, BaseException):
                    raise news
                else:
                    yield news
        finally:
            self._stopped = True

    def _prepare(self) -> Iterator[News]:
        """Assign the questions, and put those of a subject side by side."""
        groups: dict[str, list[tuple[Question, Subject]]] = {n: [] for n in self._profile.subjects}
        for question in self._questions:
            error = question.error
            if error is None:
                try:
                    subject = self._assigner.subject(question)
                except UsageError as refusal:
                    error = str(refusal)
                else:
                    groups[subject.name].append((question, subject))
            if error is not None:
                yield recording.failed(question, error, profile=self._profile.name)
        queue = [pair for group in groups.values() for pair in group]
        self._plan = _Plan(queue[::-1], Counter(subject.name for _, subject in queue))

    def _work(self) -> None:
        """One stream: takes questions until there are none."""
        try:
            while (taken := self._take()) is not None:
                question, subject, budget = taken
                self._news.put(self._answer(question, subject, budget))
        except BaseException as error:
            self._news.put(error)
        finally:
            self._news.put(None)

    def _take(self) -> tuple[Question, Subject, int] | None:
        """The next question with its budget; the first of a subject computes its prefix before."""
        with self._lock:
            while self._plan.queue and not self._stopped:
                question, subject = self._plan.queue.pop()
                if subject.name not in self._plan.warmed:
                    self._warm(question, subject)
                budget: int | None = subject.max_tokens
                if self._deadline is not None:
                    now = self.seconds + self._settings.spent
                    budget = self._deadline.budget(question.id, subject.name, self._plan.left, now)
                self._plan.left[subject.name] -= 1
                if budget is not None:
                    return question, subject, budget
                self._news.put(Unanswered(question, "no time was left before the deadline"))
        return None

    def _warm(self, question: Question, subject: Subject) -> None:
        """Compute a subject's prefix while nobody else can ask for it.

        Questions asked together would each compute it, for none finds it in the cache yet.
        """
        self._plan.warmed.add(subject.name)
        tokens = 1 if self._deadline is None else min(TIMED_TOKENS, subject.max_tokens)
        try:
            completion = self._ask(question, subject, tokens)
        except OutriderError:
            return  # the question itself will say what is wrong
        usage = completion.usage
        prefill_ms = max(usage.first_token_ms - usage.queue_ms, 0.0)
        if self._deadline is not None and usage.completion_tokens > 1:
            token_ms = usage.decode_ms / (usage.completion_tokens - 1)
            self._deadline.seed(token_ms, prefill_ms)
        self._news.put(Warmed(subject.name, usage.prompt_tokens, usage.cached_tokens, prefill_ms))

    def _ask(self, question: Question, subject: Subject, max_tokens: int) -> Completion:
        seed = derive_seed(self._settings.seed, question.index)
        request = make_request(
            subject, question.text, chat=self._settings.chat, seed=seed, max_tokens=max_tokens
        )
        return self._generator.generate(request)

    def _answer(self, question: Question, subject: Subject, budget: int) -> Answered | Unanswered:
        begun = time.perf_counter()
        usage: Usage | None = None
        try:
            completion = self._ask(question, subject, budget)
            if completion.choices[0].error is not None:
                # An error of the question's own comes again; one of the engine's is raised now.
                completion = self._ask(question, subject, budget)
            usage = completion.usage if completion.choices[0].error is None else None
        except _OWN as error:
            return recording.failed(
                question,
                str(error),
                profile=self._profile.name,
                subject=subject.name,
                seconds=since(begun),
            )
        except OutriderError as error:
            return self._not_now(question, error)
        finally:
            if self._deadline is not None:
                with self._lock:
                    self._deadline.observe(question.id, usage)
        self._failures = 0
        if completion.finish_reason == "cancelled":
            return Unanswered(question, "the run was ended while it was being answered")
        return recording.answered(
            question,
            subject,
            completion,
            profile=self._profile.name,
            max_tokens=budget,
            seconds=since(begun),
        )

    def _not_now(self, question: Question, error: OutriderError) -> Unanswered:
        """What failed is the generator: another time the same question may be answered."""
        with self._lock:
            self._failures += 1
            hopeless = self._failures > 2 * self._settings.streams
        if hopeless:
            raise error
        return Unanswered(question, str(error))


def since(begun: float) -> float:
    """Seconds since a time of the performance counter."""
    return time.perf_counter() - begun
