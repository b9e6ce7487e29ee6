"""The cascade itself: asks a stage, looks at the answer, and stops or asks the next."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any

from outrider.errors import UsageError
from outrider.strategies.cascade.collect import question_seed
from outrider.strategies.cascade.costs import weigh
from outrider.strategies.cascade.curve import (
    Point,
    for_budget,
    for_early_stops,
    for_preference,
    for_quality,
    points_of,
    sweep,
    table_of,
)
from outrider.strategies.cascade.ladder import Ladder
from outrider.strategies.cascade.policies import FAMILIES, Policy, best_answer
from outrider.strategies.cascade.predictor import Complexity, Predictor
from outrider.strategies.cascade.stage import Answer
from outrider.tasks import Problem
from outrider.theory.stopping import ScoreTable
from outrider.types import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a user wants of the trade, one at most; nothing is the preference `balanced`.

    Attributes:
        worth: λ itself, in units of cost a right answer.
        budget: the mean cost of a question, at most.
        quality: the share of right answers, at least.
        early_stop_rate: the share of questions that end before the last stage, at least.
        preference: fast, balanced or best.
    """

    worth: float | None = None
    budget: float | None = None
    quality: float | None = None
    early_stop_rate: float | None = None
    preference: str | None = None

    def __post_init__(self) -> None:
        given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        if len(given) > 1:
            raise UsageError(f"Give one of {' and '.join(given)}; each of them settles λ.")
        for name in ("quality", "early_stop_rate"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"{name} is a share from 0 to 1, not {value!r}.")

    def worth_in(self, points: Sequence[Point], unit: str) -> float:
        """The λ that meets it on a sweep.

        Raises:
            UsageError: none does.
        """
        if self.worth is not None:
            return self.worth
        if self.budget is not None:
            return for_budget(points, self.budget, unit).worth
        if self.quality is not None:
            return for_quality(points, self.quality).worth
        if self.early_stop_rate is not None:
            return for_early_stops(points, self.early_stop_rate).worth
        return for_preference(points, self.preference or "balanced").worth


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeAnswer:
    """What a cascade says, and how it came to it.

    Attributes:
        text: of the answer given out.
        answer: what was found in it.
        stage: that gave it.
        score: the probability that it is right.
        complexity: of the question, as it looked before any answer.
        before: the probability, before any answer, that the first stage would be right.
        asked: the answers of all stages asked, in their order.
        scores: of these.
        cost: of all of them, loading included, in the unit of the cascade.
        worth: λ of the policy.
    """

    text: str
    answer: str | None
    stage: str
    score: float
    complexity: Complexity
    before: float
    asked: tuple[Answer, ...]
    scores: tuple[float, ...]
    cost: float
    worth: float

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "text": self.text,
            "answer": self.answer,
            "stage": self.stage,
            "score": self.score,
            "complexity": self.complexity,
            "score_before": self.before,
            "cost": self.cost,
            "worth": None if math.isinf(self.worth) else self.worth,
            "asked": [
                {
                    "stage": a.stage,
                    "answer": a.answer,
                    "text": a.text,
                    "score": score,
                    "tokens": a.tokens,
                    "prompt_tokens": a.prompt_tokens,
                    "cached_tokens": a.cached_tokens,
                    "ms": a.ms,
                    "loading_ms": a.loading_ms,
                }
                for a, score in zip(self.asked, self.scores, strict=True)
            ],
        }


@dataclass(slots=True)
class Cascade:
    """Answers questions with as few stages as are worth their cost.

    Args:
        ladder: the stages; closed by who made it.
        predictor: trained for these stages.
        family: of the policy: stopping, routing, learned or pandora.
        wish: what settles λ.

    Raises:
        UsageError: the predictor was made for other stages, or the wish cannot be met.
    """

    ladder: Ladder
    predictor: Predictor
    family: str = "stopping"
    wish: Wish = field(default_factory=Wish)
    worth: float = field(init=False)
    table: ScoreTable = field(init=False)
    _points: list[Point] = field(init=False)
    _policies: dict[float, Policy] = field(init=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.predictor.check(self.ladder.settings)
        self.table = table_of(self.predictor.training, self.predictor.bins)
        training = self.predictor.training
        self._points = points_of(sweep(self.family, self.table, training, training))
        self.worth = self.wish.worth_in(self._points, self.predictor.unit)

    @property
    def expected(self) -> Point:
        """The point of the training's sweep that is nearest to λ: what to expect."""
        return min(self._points, key=lambda p: abs(_log(p.worth) - _log(self.worth)))

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
            earlier: turns of the conversation before it.
            preference: fast, balanced or best for this question, instead of the cascade's wish.

        Raises:
            OutriderError: a stage cannot answer, or its model is not the predictor's.
        """
        problem = question
        if isinstance(problem, str):
            problem = Problem(id="", question=problem, answer=None)
        worth = self.worth
        if preference is not None:
            worth = Wish(preference=preference).worth_in(self._points, self.predictor.unit)
        policy = self._policy(worth)
        scores = {0: self.predictor.before(problem, earlier)}
        answers: list[Answer] = []
        while (stage := policy.next(scores)) is not None:
            seed = question_seed(self.ladder.settings.seed, problem, stage - 1)
            said = self.ladder.ask(stage - 1, problem, earlier=earlier, seed=seed)
            self.predictor.check_model(said)
            answers.append(said)
            scores[stage] = self.predictor.after(stage, problem, answers, earlier)
        chosen = best_answer(self.table, scores)
        asked = [stage for stage in scores if stage]
        best = answers[asked.index(chosen)]
        settings = self.ladder.settings
        return CascadeAnswer(
            text=best.text,
            answer=best.answer,
            stage=best.stage,
            score=scores[chosen],
            complexity=self.predictor.complexity(scores[0]),
            before=scores[0],
            asked=tuple(answers),
            scores=tuple(scores[stage] for stage in asked),
            cost=sum(
                weigh(a.ms + a.loading_ms, a, settings.stages[stage - 1].cost, settings.cost)
                for a, stage in zip(answers, asked, strict=True)
            ),
            worth=worth,
        )

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
        pool = ThreadPoolExecutor(self.ladder.settings.concurrency)
        try:
            yield from pool.map(self.converse, conversations)
        finally:
            pool.shutdown(cancel_futures=True)

    def _policy(self, worth: float) -> Policy:
        with self._lock:
            if worth not in self._policies:
                fit = FAMILIES[self.family]
                self._policies[worth] = fit(self.table, self.predictor.training, worth)
            return self._policies[worth]


def _log(worth: float) -> float:
    """λ on the scale of a sweep, its ends included."""
    return math.log(min(max(worth, 1e-12), 1e12))
