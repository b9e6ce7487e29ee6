"""Answers against known ones: right or wrong, who says so, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, Protocol

from outrider.prompts import LETTERS
from outrider.strategies.answering.record import Answered
from outrider.tasks import mathematics
from outrider.tasks.base import Problem
from outrider.tasks.graders import grade_choice, is_mathematics, names_one, only_line

Grading = Literal["mathematics", "choice", "text", "judge", "none"]
"""What decided: a comparison of its kind, a model, or nothing that could."""


class Failure(StrEnum):
    """What kind of failure an answer is."""

    ERROR = "ended in an error"
    CUT_OFF = "cut off at the token limit"
    NOT_FOUND = "no answer found"
    WRONG_VALUE = "wrong value"
    WRONG_CHOICE = "wrong choice"
    WRONG_ANSWER = "wrong answer"
    REJECTED = "rejected by the judge"


@dataclass(frozen=True, slots=True)
class Graded:
    """One answer and what was made of it.

    Attributes:
        answered: the record.
        correct: whether it is right; None where nobody could tell.
        by: what decided.
        reason: a sentence that says why.
        failure: its kind, where it is wrong.
    """

    answered: Answered
    correct: bool | None
    by: Grading
    reason: str
    failure: Failure | None = None


class Opinion(Protocol):
    """What a judge says of one answer."""

    @property
    def right(self) -> bool | None:
        """None where it came to no verdict."""
        ...

    @property
    def reason(self) -> str:
        """Why, in its own words."""
        ...


class Judge(Protocol):
    """Judges answers that a comparison does not find right."""

    def opinions(self, answers: Sequence[Answered]) -> Sequence[Opinion]:
        """An opinion of each, in their order."""
        ...


def kind(answer: Answered) -> Grading:
    """How an answer is compared with the known one; "none" where none is known."""
    if answer.gold is None:
        return "none"
    if answer.choices:
        return "choice"
    return "mathematics" if is_mathematics(answer.gold) else "text"


def compare(answer: Answered) -> Graded:
    """What comparing the answer alone with the known one says.

    Mathematics is compared by math-verify, a choice by its letter or its words, and everything
    else by name, aliases included.

    Raises:
        UsageError: math-verify is needed and missing.
    """
    by = kind(answer)
    if by == "none" or answer.gold is None:
        return Graded(answer, None, "none", "there is no known answer")
    if answer.error is not None or answer.finish_reason == "error":
        return Graded(answer, False, by, answer.error or "it ended in an error", Failure.ERROR)
    found = answer.answer or (only_line(answer.text) if by != "mathematics" else None)
    cut = answer.finish_reason == "length"
    if not found:
        reason = "no answer was found in the text"
        return Graded(answer, False, by, reason, Failure.CUT_OFF if cut else Failure.NOT_FOUND)
    names = (answer.gold, *answer.aliases)
    if by == "mathematics":
        right, wrong = any(mathematics.equal(name, found) for name in names), Failure.WRONG_VALUE
    elif by == "choice":
        right, wrong = grade_choice(_problem(answer), found).correct, Failure.WRONG_CHOICE
    else:
        right, wrong = names_one(found, names), Failure.WRONG_ANSWER
    if right:
        return Graded(answer, True, by, f"{found} agrees with {answer.gold}")
    reason = f"{found} instead of {answer.gold}"
    return Graded(answer, False, by, reason, Failure.CUT_OFF if cut else wrong)


def grade(answers: Iterable[Answered], judge: Judge | None = None) -> list[Graded]:
    """Grades answers in their order: by comparison, and what is left of the words by the judge.

    Args:
        answers: of one run.
        judge: is asked about texts that the comparison does not find right; None lets the
            comparison stand.

    Raises:
        UsageError: math-verify is needed and missing.
        OutriderError: the judge cannot be asked.
    """
    graded = [compare(answer) for answer in answers]
    if judge is None:
        return graded
    asked = [
        index
        for index, one in enumerate(graded)
        if one.by == "text" and not one.correct and one.failure is not Failure.ERROR
        if one.answered.text.strip()
    ]
    opinions = judge.opinions([graded[index].answered for index in asked])
    for index, opinion in zip(asked, opinions, strict=True):
        graded[index] = _judged(graded[index], opinion)
    return graded


def _judged(compared: Graded, opinion: Opinion) -> Graded:
    """The comparison's grade with the judge's opinion in its place; a kind that says more stays."""
    if opinion.right is None:
        return replace(compared, reason=f"{compared.reason}; the judge came to no verdict")
    if opinion.right:
        return Graded(compared.answered, True, "judge", opinion.reason)
    failure = compared.failure
    if failure is Failure.WRONG_ANSWER:
        failure = Failure.REJECTED
    return Graded(compared.answered, False, "judge", opinion.reason, failure)


def _problem(answer: Answered) -> Problem:
    gold = answer.gold or ""
    if gold in answer.choices:
        gold = LETTERS[answer.choices.index(gold)]
    return Problem(
        id=answer.id, question=answer.question, answer=gold.upper(), choices=answer.choices
    )
