"""From a question and its completion to the record of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from outrider.strategies.answering.profile import Subject
from outrider.strategies.answering.questions import Question
from outrider.strategies.answering.record import Answered
from outrider.tasks.extract import extract_answer
from outrider.types import Completion, Usage

UNASSIGNED: Final = "none"
"""The subject of a question that could not be assigned to one."""


def answered(
    question: Question,
    subject: Subject,
    completion: Completion,
    *,
    profile: str,
    max_tokens: int,
    seconds: float,
) -> Answered:
    """The record of a completion.

    Args:
        question: that was asked.
        subject: how.
        completion: what came.
        profile: its name.
        max_tokens: that the answer was allowed.
        seconds: from asking to the last token.
    """
    choice = completion.choices[0]
    return Answered(
        **_known(question),
        subject=subject.name,
        answer=extract(subject, choice.text),
        text=choice.text,
        seconds=seconds,
        tokens=choice.usage.completion_tokens,
        finish_reason=choice.finish_reason,
        error=choice.error,
        profile=profile,
        usage=counters(choice.usage) | {"max_tokens": max_tokens, "seed": completion.seed},
    )


def failed(
    question: Question, error: str, *, profile: str, subject: str = UNASSIGNED, seconds: float = 0.0
) -> Answered:
    """The record of a question that cannot be asked, and why."""
    return Answered(
        **_known(question),
        subject=subject,
        answer=None,
        text="",
        seconds=seconds,
        tokens=0,
        finish_reason="error",
        error=error,
        profile=profile,
    )


def extract(subject: Subject, text: str) -> str | None:
    """The answer in a text, by the subject's pattern or by the ladder."""
    pattern = subject.answer_pattern
    if pattern is None:
        return extract_answer(text, numbers=subject.numbers)
    matches = list(pattern.finditer(text))
    if not matches:
        return None
    return (matches[-1][1 if pattern.groups else 0] or "").strip() or None


def counters(usage: Usage) -> dict[str, Any]:
    """What is kept of an answer's counters; times in milliseconds."""
    kept = asdict(usage)
    del kept["accepted_per_position"]
    return {key: round(v, 3) if isinstance(v, float) else v for key, v in kept.items()}


def _known(question: Question) -> Mapping[str, Any]:
    """What the file says of a question, as a record has it."""
    return {
        "id": question.id,
        "question": question.text,
        "gold": question.gold,
        "aliases": question.aliases,
        "choices": question.choices,
    }
