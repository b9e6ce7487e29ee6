"""A stage: a `Generator` asked in a certain way, and what its answer shows besides its text."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from outrider.errors import OutriderError
from outrider.sampling import derive_seed
from outrider.strategies.cascade.manager import Lease, Lender, Owned
from outrider.strategies.cascade.settings import Example, StageSettings
from outrider.tasks import Problem, extract_answer
from outrider.tasks.base import fill
from outrider.tasks.graders import chosen_letter
from outrider.tasks.mathematics import number
from outrider.types import (
    Choice,
    Completion,
    FinishReason,
    Generator,
    Message,
    Request,
    Sampling,
    Speculation,
    TokenLogprob,
)

TOP: Final = 5
"""Best tokens whose log-probabilities are asked for: entropy is estimated from them."""

Extract = Callable[[Problem, str], str | None]
"""Takes the answer out of a text; None where there is none."""

TEMPLATES: Final = {
    "direct": "{question}\n{choices}\nAnswer with the result only.",
    "steps": '{question}\n{choices}\nThink step by step, then write "The answer is" and the '
    "result.",
    "examples": "Question: {question}\n{choices}\nAnswer: {answer}",
}
"""A text's `{answer}` is where an example's answer stands and the model goes on."""

EXAMPLES: Final = (
    Example(question="What is 4 + 5?", answer="4 + 5 = 9. The answer is 9."),
    Example(question="What is 83 - 27?", answer="83 - 27 = 56. The answer is 56."),
    Example(question="What is 6 * 7 - 8?", answer="6 * 7 = 42. 42 - 8 = 34. The answer is 34."),
    Example(
        question="There are 4 boxes with 6 pens in each. How many pens are there?",
        answer="4 * 6 = 24. The answer is 24.",
    ),
    Example(question="What is (12 + 9) * 3?", answer="12 + 9 = 21. 21 * 3 = 63. The answer is 63."),
    Example(
        question="Anna has 20 dollars and buys 3 books for 4 dollars each. How much is left?",
        answer="3 * 4 = 12. 20 - 12 = 8. The answer is 8.",
    ),
)
"""Shown where a stage of the style `examples` names none."""

CHECK: Final = (
    "Question: {question}\n{choices}\nProposed answer: {answer}\nIs the proposed answer right? "
    "Answer yes or no."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a stage said to a question, and what it cost.

    Attributes:
        stage: the stage's name.
        fingerprint: of its settings.
        model: what the generator says of itself: the hash of its file where it has one, else the
            name that its server calls it by.
        text: of the answer that won the vote; of the only one otherwise.
        answer: what was found in it; None where nothing was.
        votes: what was found in each sample, in their order.
        finish_reason: of the text.
        logprobs: of the text's tokens; empty where the generator gives none.
        entropies: at each of them, in nats, of its best `TOP` tokens and the rest as one.
        yes: P(yes) in the check of its own answer; None without one.
        prompt_tokens: of all requests.
        cached_tokens: of these, taken from the prefix cache.
        tokens: generated, over all samples and the check.
        ms: how long it took, loading not included.
        loading_ms: of the model, where this question caused it.
    """

    stage: str
    fingerprint: str
    model: str | None = None
    text: str = ""
    answer: str | None = None
    votes: tuple[str | None, ...] = ()
    finish_reason: FinishReason = "stop"
    logprobs: tuple[float, ...] = ()
    entropies: tuple[float, ...] = ()
    yes: float | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0
    ms: float = 0.0
    loading_ms: float = 0.0

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The answer that `record` was made of."""
        lists = ("votes", "logprobs", "entropies")
        made: dict[str, Any] = {k: tuple(v) if k in lists else v for k, v in values.items()}
        return cls(**made)

    def record(self) -> dict[str, Any]:
        """As JSON takes it; four figures of a log-probability are enough for every feature."""
        values = asdict(self)
        for name in ("logprobs", "entropies"):
            values[name] = [float(f"{x:.4g}") for x in values[name]]
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a caller wants of every stage's answers, beside the stages' own settings.

    Attributes:
        max_tokens: of a text at most; None leaves it to the stage.
        stop: further texts before which an answer ends.
        speculation: for the stages' models; None takes their defaults.
    """

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    speculation: Speculation | None = None


NO_LIMITS: Final = Limits()


def find_answer(problem: Problem, text: str) -> str | None:
    """The answer in a text, written so that equal answers are equal texts."""
    if problem.choices:
        return chosen_letter(problem, text)
    found = extract_answer(text)
    if found is None:
        return None
    value = number(found)
    return found if value is None else str(value)


class Stage:
    """A generator with a prompt style, sampling and a cost.

    Attributes:
        settings: as given.
        fingerprint: changes with everything in the settings that may change an answer.

    Args:
        settings: of the stage; the model and endpoint in them are for cascade files.
        generator: what answers: a model here, a server, another strategy; or who lends it.
        extract: takes the answer out of a text.
    """

    def __init__(
        self,
        settings: StageSettings,
        generator: Generator | Lender,
        *,
        extract: Extract = find_answer,
    ) -> None:
        self.settings = settings
        self.fingerprint = settings.fingerprint()
        self._lender = generator if isinstance(generator, Lender) else Owned(generator)
        self._extract = extract

    def ask(self, problem: Problem, *, seed: int = 0, limits: Limits = NO_LIMITS) -> Answer:
        """Answer a question; safe from any thread if the generator is.

        Args:
            problem: the question.
            seed: of the samples and the check.
            limits: of the caller.

        Raises:
            OutriderError: the model cannot be loaded, or cannot answer.
        """
        with self._lender.lend() as lease:
            return self._ask(lease, problem, seed, limits)

    def _ask(self, lease: Lease, problem: Problem, seed: int, limits: Limits) -> Answer:
        generator = lease.generator
        start = time.perf_counter()
        completion = generator.generate(self.request(problem, seed, limits))
        for choice in completion.choices:
            if choice.finish_reason == "error":
                raise OutriderError(choice.error or f"The stage {self.settings.name} failed.")
        votes = tuple(self._extract(problem, self._said(c)) for c in completion.choices)
        chosen = winner(votes)
        choice = completion.choices[chosen]
        asked = [completion]
        yes = None
        if self.settings.self_check:
            shown = votes[chosen] or choice.text
            asked.append(generator.generate(self._check(problem, shown, seed)))
            yes = says_yes(asked[-1])
        ms = (time.perf_counter() - start) * 1000
        usages = [c.usage for one in asked for c in one.choices]
        return Answer(
            stage=self.settings.name,
            fingerprint=self.fingerprint,
            model=completion.record.get("fingerprint") or completion.record.get("model"),
            text=self._said(choice),
            answer=votes[chosen],
            votes=votes,
            finish_reason=choice.finish_reason,
            logprobs=tuple(p.logprob for p in choice.logprobs or ()),
            entropies=tuple(entropy(p) for p in choice.logprobs or ()),
            yes=yes,
            # The samples of a request share its prompt.
            prompt_tokens=sum(one.usage.prompt_tokens for one in asked),
            cached_tokens=sum(one.usage.cached_tokens for one in asked),
            tokens=sum(usage.completion_tokens for usage in usages),
            ms=ms,
            loading_ms=lease.loading_ms,
        )

    def request(self, problem: Problem, seed: int = 0, limits: Limits = NO_LIMITS) -> Request:
        """What the model is asked.

        What the caller's system messages say follows the stage's own.
        """
        s = self.settings
        told = [turn.content for turn in problem.earlier if turn.role == "system"]
        earlier = [turn for turn in problem.earlier if turn.role != "system"]
        if s.is_raw:
            said = _as_text(earlier)
            shown = [_block(self._text(_plain(e.question), e.answer)) for e in self._examples]
            prompt = "\n\n".join([*told, *shown, *said, _block(self._text(problem, s.opening))])
            stop = ("\n\n",) if s.stop is None else s.stop
            return self._request(seed, limits, stop, prompt=prompt)
        system = "\n\n".join([*([] if s.system is None else [s.system]), *told])
        turns = [Message("system", system)] if system else []
        for example in self._examples:
            asked = self._text(_plain(example.question))
            turns += [Message("user", asked), Message("assistant", example.answer)]
        turns += [*earlier, Message("user", self._text(problem))]
        if s.opening:
            turns.append(Message("assistant", s.opening))
        return self._request(seed, limits, s.stop or (), messages=tuple(turns))

    @property
    def _examples(self) -> tuple[Example, ...]:
        return (self.settings.examples or EXAMPLES) if self.settings.style == "examples" else ()

    def _text(self, problem: Problem, answer: str = "") -> str:
        """The question as it is asked, up to its answer."""
        template = self.settings.template or TEMPLATES[self.settings.style]
        return _asked(template, problem, answer=answer)

    def _request(self, seed: int, limits: Limits, stop: tuple[str, ...], **what: Any) -> Request:
        s = self.settings
        return Request(
            sampling=Sampling(temperature=s.temperature, top_p=s.top_p, seed=seed),
            max_tokens=min(s.max_tokens, limits.max_tokens or s.max_tokens),
            stop=tuple(dict.fromkeys((*stop, *limits.stop))),
            n=s.samples,
            logprobs=TOP if s.logprobs else None,
            speculation=limits.speculation,
            **what,
        )

    def _check(self, problem: Problem, answer: str, seed: int) -> Request:
        text = _asked(CHECK, problem, answer=answer)
        what: dict[str, Any] = (
            {"prompt": "\n\n".join([*_as_text(problem.earlier), f"{text}\nAnswer:"])}
            if self.settings.is_raw
            else {"messages": (*problem.earlier, Message("user", text))}
        )
        sampling = Sampling(seed=derive_seed(seed, 1))
        return Request(sampling=sampling, max_tokens=1, logprobs=0, **what)

    def _said(self, choice: Choice) -> str:
        """A choice's text with the words that began it."""
        return f"{self.settings.opening}{choice.text}"


def winner(votes: Sequence[str | None]) -> int:
    """The index of the first of the commonest answers; none counts only where all are none."""
    counts = Counter(vote for vote in votes if vote is not None)
    if not counts:
        return 0
    return votes.index(counts.most_common(1)[0][0])


def entropy(found: TokenLogprob) -> float:
    """Entropy in nats of the best tokens and the rest as one: a lower bound of the whole."""
    known = [math.exp(logprob) for _, logprob in found.top]
    parts = [*known, max(0.0, 1.0 - math.fsum(known))]
    return -math.fsum(p * math.log(p) for p in parts if p > 0)


def says_yes(completion: Completion) -> float | None:
    """P(yes) by a check's only token: its probability, or what is left by that of no."""
    choice = completion.choices[0]
    if not choice.logprobs:
        return None
    p = math.exp(choice.logprobs[0].logprob)
    return {"yes": p, "no": 1.0 - p}.get(choice.text.strip().lower())


def _asked(template: str, problem: Problem, **more: str) -> str:
    if not problem.choices:
        template = template.replace("{choices}\n", "")
    values = {"question": problem.question, "choices": problem.lettered_choices(), **more}
    return fill(template, values).strip()


def _as_text(turns: Sequence[Message]) -> list[str]:
    """The turns of a conversation in a plain text."""
    return [f"{turn.role.capitalize()}: {turn.content}" for turn in turns]


def _block(text: str) -> str:
    """A text without empty lines, which stand between the examples of a plain text."""
    return re.sub(r"\n\s*\n", "\n", text)


def _plain(question: str) -> Problem:
    """A worked example's question."""
    return Problem(id="", question=question, answer=None)
