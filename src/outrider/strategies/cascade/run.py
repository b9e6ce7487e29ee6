"""The cascade itself: asks a stage, looks at the answer, and stops or asks the next."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, Self

from outrider.errors import OutriderError, UsageError
from outrider.strategies.cascade.answered import CascadeAnswer
from outrider.strategies.cascade.collect import question_seed
from outrider.strategies.cascade.costs import paid
from outrider.strategies.cascade.ladder import Ladder
from outrider.strategies.cascade.settings import digest
from outrider.strategies.cascade.stage import NO_LIMITS, Answer, Limits, Stage
from outrider.strategies.cascade.steering import TrainedPolicy
from outrider.streams import EventStream
from outrider.tasks import Problem
from outrider.types import Completion, Event, Message, Request, Sampling

REFUSED: Final[Mapping[str, str]] = {
    "prompt": "a text to continue, since each stage asks in a way of its own; give messages",
    "tokens": "token ids, since its models may have other tokenizers; give messages",
    "logprobs": "log-probabilities, which are of one model; leave logprobs out",
    "prompt_logprobs": "log-probabilities, which are of one model; leave prompt_logprobs out",
    "constraint": "a constraint, which is of one tokenizer; leave it out",
    "ignore_eos": "ignore_eos, after which no answer could be found; leave it out",
    "parse_special": "parse_special, which is of one tokenizer; leave it out",
}
"""What a request cannot have of a cascade, and why."""


class Cascade:
    """Answers questions with as few stages as are worth their cost; itself a `Generator`.

    The answer is not what the last stage alone would say: a cascade trades quality for cost, and
    `outrider cascade eval` measures both.

    Args:
        stages: from the cheapest to the dearest; closed by who made them.
        policy: decides which stage is asked, and which answer is given out.
        seed: from which every question's seed is derived.
        concurrency: questions that `converse_many` has answered at the same time.

    Raises:
        UsageError: the policy's predictor was trained for other stages.
    """

    has_chat_template: Final = True
    """A cascade takes messages, whatever its models do."""

    def __init__(
        self,
        stages: Sequence[Stage],
        policy: TrainedPolicy,
        *,
        seed: int = 0,
        concurrency: int = 16,
    ) -> None:
        policy.predictor.check_stages({s.settings.name: s.fingerprint for s in stages})
        self.stages = tuple(stages)
        self.policy = policy
        self.seed = seed
        self.concurrency = concurrency

    @classmethod
    def on(cls, ladder: Ladder, policy: TrainedPolicy) -> Self:
        """The cascade of a file.

        Args:
            ladder: its stages.
            policy: trained for it.

        Raises:
            UsageError: the policy's predictor was trained for other stages or another unit of cost.
        """
        policy.predictor.check(ladder.settings)
        known = ladder.settings
        return cls(ladder.stages, policy, seed=known.seed, concurrency=known.concurrency)

    @property
    def fingerprint(self) -> str:
        """Changes with the stages, the predictor and λ: with everything that may change answers."""
        stages = [[s.settings.name, s.fingerprint] for s in self.stages]
        return digest([stages, self.policy.fingerprint])

    def answer(
        self,
        question: str | Problem,
        *,
        earlier: Sequence[Message] = (),
        preference: str | None = None,
    ) -> CascadeAnswer:
        """Answer one question; safe from any thread.

        Args:
            question: its text, or a problem with choices.
            earlier: turns of the conversation before it, after those that the problem has.
            preference: fast, balanced or best for this question, instead of the policy's wish.

        Raises:
            OutriderError: a stage cannot answer, or its model is not the predictor's.
        """
        problem = question
        if isinstance(problem, str):
            problem = Problem(id="", question=problem, answer=None)
        problem = replace(problem, earlier=(*problem.earlier, *earlier))
        return self._climb(problem, self.policy.worth_for(preference), self.seed)

    def converse(self, turns: Sequence[str]) -> tuple[CascadeAnswer, ...]:
        """Answer a conversation, turn by turn; what was said before goes along.

        Raises:
            OutriderError: as in `answer`.
        """
        said: list[Message] = []
        answers = []
        for turn in turns:
            answers.append(self.answer(turn, earlier=said))
            said += [Message("user", turn), Message("assistant", answers[-1].text.strip())]
        return tuple(answers)

    def converse_many(
        self, conversations: Iterable[Sequence[str]]
    ) -> Iterator[tuple[CascadeAnswer, ...]]:
        """Many conversations or single questions, several at a time, in their order.

        Raises:
            OutriderError: as in `answer`; the conversations behind it are given up.
        """
        pool = ThreadPoolExecutor(self.concurrency)
        try:
            yield from pool.map(self.converse, conversations)
        finally:
            pool.shutdown(cancel_futures=True)

    # ------------------------------------------------------------------------- as a generator

    def stream(self, request: Request) -> CascadeStream:
        """The answer to the last message, as one event once it is settled which stage's it is.

        Each stage asks in its own way and with its own sampling. Of the request it takes the seed,
        max_tokens and stop strings where they end an answer earlier, and the speculation.

        Args:
            request: messages, of which the last is the user's.

        Raises:
            UsageError: the request asks for what a cascade has not.
        """
        return CascadeStream(self, request)

    def generate(self, request: Request) -> Completion:
        """The whole answer: `stream`, folded. Its usage is that of all stages asked.

        Raises:
            OutriderError: as in `stream` and `answer`.
        """
        return self.stream(request).finish()

    def _climb(
        self,
        problem: Problem,
        worth: float,
        seed: int,
        limits: Limits = NO_LIMITS,
        stopped: threading.Event | None = None,
    ) -> CascadeAnswer:
        """Ask stage after stage until the policy stops, or someone else does after an answer."""
        predictor, rule = self.policy.predictor, self.policy.at(worth)
        scores = {0: predictor.before(problem)}
        answers: list[Answer] = []
        cancelled = False
        while (stage := rule.next(scores)) is not None:
            if cancelled := bool(answers) and stopped is not None and stopped.is_set():
                break
            said = self.stages[stage - 1].ask(
                problem, seed=question_seed(seed, problem, stage - 1), limits=limits
            )
            predictor.check_model(said)
            answers.append(said)
            scores[stage] = predictor.after(stage, problem, answers)
        chosen = self.policy.best(scores)
        asked = [stage for stage in scores if stage]
        best = answers[asked.index(chosen)]
        return CascadeAnswer(
            text=best.text,
            answer=best.answer,
            stage=best.stage,
            finish_reason="cancelled" if cancelled else best.finish_reason,
            score=scores[chosen],
            complexity=predictor.complexity(scores[0]),
            before=scores[0],
            asked=tuple(answers),
            scores=tuple(scores[stage] for stage in asked),
            cost=sum(
                paid(answer, self.stages[stage - 1].settings.cost, predictor.weights)
                for answer, stage in zip(answers, asked, strict=True)
            ),
            worth=worth,
        )


class OwnSampling:
    """A cascade for callers that name a sampling, such as profiles: the stages' own is taken.

    Args:
        cascade: that answers.
    """

    has_chat_template: Final = True

    def __init__(self, cascade: Cascade) -> None:
        self._cascade = cascade

    def stream(self, request: Request) -> CascadeStream:
        """As the cascade's, with nothing but the seed of the request's sampling.

        Raises:
            UsageError: as in `Cascade.stream`.
        """
        seed = request.sampling.seed
        return self._cascade.stream(replace(request, sampling=Sampling(seed=seed)))

    def generate(self, request: Request) -> Completion:
        """As the cascade's, with nothing but the seed of the request's sampling.

        Raises:
            OutriderError: as in `Cascade.generate`.
        """
        return self.stream(request).finish()


class CascadeStream(EventStream):
    """The answer of a cascade, for one listener.

    Args:
        cascade: that answers.
        request: as it was asked.

    Raises:
        UsageError: the request asks for what a cascade has not.
    """

    def __init__(self, cascade: Cascade, request: Request) -> None:
        self._stopped = threading.Event()
        self._cascade = cascade
        self._problem = _problem(request)
        seed = request.sampling.seed
        self._seed = cascade.seed if seed is None else seed
        self._found: CascadeAnswer | None = None
        super().__init__(request, self._answer())

    @property
    def found(self) -> CascadeAnswer:
        """The answer with the stages that were asked.

        Raises:
            OutriderError: no stage has answered.
        """
        if self._found is None:
            raise OutriderError("No stage has answered; read the stream to its end.")
        return self._found

    def cancel(self) -> None:
        """Ask no further stage; the one that is answering ends its answer."""
        self._stopped.set()

    def close(self) -> None:
        """Cancel, and wait for the end."""
        self.cancel()
        for _ in self:
            pass

    @property
    def completion(self) -> Completion:
        """The whole answer.

        Raises:
            OutriderError: it is not finished.
        """
        record = {} if self._found is None else self._found.record()
        record |= {"strategy": "cascade", "fingerprint": self._cascade.fingerprint}
        return self._fold.completion((), self._seed, record)

    def _answer(self) -> Iterator[Event]:
        if self._stopped.is_set():
            yield Event(finish_reason="cancelled")
            return
        limits = Limits(
            max_tokens=self.request.max_tokens,
            stop=self.request.stop,
            speculation=self.request.speculation,
        )
        cascade = self._cascade
        self._found = found = cascade._climb(
            self._problem, cascade.policy.worth, self._seed, limits, self._stopped
        )
        yield Event(text=found.text, finish_reason=found.finish_reason, usage=found.usage)


def _problem(request: Request) -> Problem:
    """The question of a request, with the turns before it."""
    for name, why in REFUSED.items():
        if getattr(request, name) not in (None, False):
            raise UsageError(f"A cascade does not take {why}.")
    if request.n != 1:
        raise UsageError(f"A cascade gives one answer a request, not n={request.n}.")
    if replace(request.sampling, seed=None) != Sampling():
        raise UsageError(
            "The stages of a cascade have a sampling of their own; of a request's it takes only "
            "the seed."
        )
    *earlier, last = request.messages or ()
    if last.role != "user":
        raise UsageError(
            f"A cascade answers a question, and the last message is the {last.role}'s; end with a "
            "user's."
        )
    return Problem(id="", question=last.content, answer=None, earlier=tuple(earlier))
