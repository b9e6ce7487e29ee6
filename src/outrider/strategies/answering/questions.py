"""Questions from a file: JSON, JSON lines or CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from outrider.errors import UsageError
from outrider.tasks.base import Problem
from outrider.tasks.files import Row, problem_from, read_each, stated_answer

BUILT_IN: Final = Path(__file__).parents[2] / "data" / "questions.jsonl"
"""500 questions of our own with known answers: 125 each of algebra, Chinese, geography, history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a file.

    Attributes:
        index: its place in the file, from 0; its seed is derived from it.
        id: what the file calls it, else its place counted from 1.
        text: the question, with its choices where it has some; empty where there is an error.
        gold: the known answer; None where there is none.
        aliases: other ways to write the known answer.
        choices: the answers to choose from.
        fields: all that the file says of it.
        error: why it cannot be asked; None where it can.
    """

    index: int
    id: str
    text: str
    gold: str | None = None
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


def read_questions(path: Path) -> list[Question]:
    """The questions of a file. One that cannot be asked is kept, with the reason as its error.

    It keeps the known answer that its row states, so that it is counted where answers are graded.
    Answers are told apart by their questions' ids, so of two with the same id the second is such.

    Raises:
        UsageError: the file is none, or holds no question.
    """
    seen: dict[str, int] = {}
    questions = []
    for index, row in enumerate(read_each(path)):
        question = _question(index, row)
        if question.id in seen:
            question = _refused(
                index,
                f"Question {index + 1} has the id {question.id!r} of question "
                f"{seen[question.id] + 1}; give each its own.",
                f"{question.id} (question {index + 1})",
                question.gold,
            )
        seen[question.id] = index
        questions.append(question)
    return questions


def sample_evenly(questions: Sequence[Question], limit: int, key: str) -> list[Question]:
    """At most `limit` questions, as many of each value of a field as of every other.

    Those of a value are taken at even distances, so that a sorted file is not sampled at its top.

    Raises:
        UsageError: the limit is below 1.
    """
    if limit < 1:
        raise UsageError(f"The limit has to be at least 1 question, not {limit}.")
    groups: dict[str, list[Question]] = {}
    for question in questions:
        groups.setdefault(str(question.fields.get(key, "")), []).append(question)
    shares = dict.fromkeys(groups, 0)
    left = min(limit, len(questions))
    while left:
        for name, members in groups.items():
            if left and shares[name] < len(members):
                shares[name] += 1
                left -= 1
    taken = [
        members[position * len(members) // shares[name]]
        for name, members in groups.items()
        for position in range(shares[name])
    ]
    return sorted(taken, key=lambda question: question.index)


def _question(index: int, row: Row | UsageError) -> Question:
    name = str(index + 1)
    try:
        if isinstance(row, UsageError):
            raise row
        problem = problem_from(row, index + 1, f"Question {name}")
    except UsageError as error:
        gold = None if isinstance(row, UsageError) else stated_answer(row)
        return _refused(index, str(error), name, gold)
    return Question(
        index=index,
        id=problem.id,
        text=_text(problem),
        gold=problem.answer,
        aliases=problem.data.get("aliases", ()),
        choices=problem.choices,
        fields=row,
    )


def _refused(index: int, error: str, name: str, gold: str | None) -> Question:
    return Question(index=index, id=name, text="", gold=gold, error=error)


def _text(problem: Problem) -> str:
    question = problem.question.strip()
    return f"{question}\n{problem.lettered_choices()}" if problem.choices else question
