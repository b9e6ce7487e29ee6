"""What a run came to, by subject; everything is derived from the answers' records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from outrider.strategies.answering.record import Answered
from outrider.strategies.answering.run import Warmed


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectSummary:
    """The answers of one subject, or of all.

    Attributes:
        name: of the subject.
        questions: with an answer or an error.
        found: questions in whose text an answer was found.
        failed: questions that ended with an error.
        cut: answers that ended at their token limit.
        shortened: questions whose limit the deadline had lowered.
        seconds: the mean from asking to the last token, in company.
        tokens: generated.
        prompt_tokens: of all prompts.
        cached_tokens: of these, taken from the cache.
        prefill_ms: the mean time from a question's start to its first token, in company.
        draft_tokens: drafted.
        accepted_tokens: of these, accepted.
    """

    name: str
    questions: int
    found: int
    failed: int
    cut: int
    shortened: int
    seconds: float
    tokens: int
    prompt_tokens: int
    cached_tokens: int
    prefill_ms: float
    draft_tokens: int
    accepted_tokens: int

    @property
    def cached_share(self) -> float:
        """The share of the prompts' tokens that nobody had to compute again."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted over drafted tokens; None where nothing was drafted."""
        return self.accepted_tokens / self.draft_tokens if self.draft_tokens else None


@dataclass(frozen=True, slots=True)
class Sharing:
    """What sharing prefixes saved in a part of a run.

    Attributes:
        prompt_tokens: that the questions' prompts have in all.
        computed_tokens: that were computed, those of computing the prefixes first included.
        warm_ms: computing the prefixes took, once.
        alone_ms: computing each question's prompt alone would have taken, at the speed of the
            prefixes.
    """

    prompt_tokens: int
    computed_tokens: int
    warm_ms: float
    alone_ms: float


def summarise(answers: Sequence[Answered], limits: Mapping[str, int]) -> list[SubjectSummary]:
    """A summary of each subject in the order of `limits`, of what has none, and of all.

    Args:
        answers: of the run.
        limits: what each subject allows an answer, in tokens.
    """
    names = [*limits, *sorted({a.subject for a in answers} - set(limits))]
    groups = {name: [a for a in answers if a.subject == name] for name in names}
    summaries = [_summary(name, group, limits) for name, group in groups.items() if group]
    return [*summaries, _summary("all", answers, limits)]


def sharing(answers: Iterable[Answered], warmed: Iterable[Warmed]) -> Sharing | None:
    """What sharing saved to the answers of the warmed subjects; None where nothing was shared."""
    by_name = {one.subject: one for one in warmed}
    asked = [a for a in answers if a.subject in by_name and a.usage]
    if not asked:
        return None
    computed = sum(one.tokens - one.cached for one in by_name.values())
    total, alone_ms = 0, 0.0
    for answer in asked:
        one = by_name[answer.subject]
        tokens = answer.usage["prompt_tokens"]
        total += tokens
        computed += tokens - answer.usage["cached_tokens"]
        if one.tokens > one.cached:
            alone_ms += one.prefill_ms / (one.tokens - one.cached) * tokens
    return Sharing(total, computed, sum(one.prefill_ms for one in by_name.values()), alone_ms)


def _summary(name: str, answers: Sequence[Answered], limits: Mapping[str, int]) -> SubjectSummary:
    asked = [a for a in answers if a.usage]

    def total(key: str) -> int:
        return sum(int(a.usage[key]) for a in asked)

    prefill = [max(a.usage["first_token_ms"] - a.usage["queue_ms"], 0.0) for a in asked]
    return SubjectSummary(
        name=name,
        questions=len(answers),
        found=sum(a.answer is not None for a in answers),
        failed=sum(a.error is not None for a in answers),
        cut=sum(a.finish_reason == "length" for a in answers),
        shortened=sum(a.usage["max_tokens"] < limits.get(a.subject, 0) for a in asked),
        seconds=sum(a.seconds for a in answers) / len(answers) if answers else 0.0,
        tokens=sum(a.tokens for a in answers),
        prompt_tokens=total("prompt_tokens"),
        cached_tokens=total("cached_tokens"),
        prefill_ms=sum(prefill) / len(prefill) if prefill else 0.0,
        draft_tokens=total("draft_tokens"),
        accepted_tokens=total("accepted_tokens"),
    )
