"""What a task is: problems, the template of their prompts, and how an answer is graded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from outrider.errors import UsageError
from outrider.prompts import lettered
from outrider.types import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One question.

    Attributes:
        id: what its set calls it.
        question: as it is asked, without instructions.
        answer: the known answer; of a question with choices, the letter of the right one; None
            where nobody said, or where tests decide (programs).
        choices: the answers to choose from, named A, B, ...
        subject: the field of knowledge or the kind of problem, where the set tells them apart.
        level: how hard it is, from 1 up, where the set says so.
        data: what else the set holds; a grader may need it (`test`, `aliases`).
        earlier: turns of the conversation that the question goes on from.
    """

    id: str
    question: str
    answer: str | None
    choices: tuple[str, ...] = ()
    subject: str | None = None
    level: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    earlier: tuple[Message, ...] = ()

    def lettered_choices(self) -> str:
        """The choices, a line each, with their letters."""
        return lettered(self.choices)


@dataclass(frozen=True, slots=True)
class Grade:
    """What a grader made of one answer.

    Attributes:
        correct: whether it is right.
        answer: what was found in the text as its answer; None where nothing was.
        reason: a sentence that says why.
    """

    correct: bool
    answer: str | None
    reason: str


Grader: TypeAlias = Callable[[Problem, str], Grade]


@dataclass(frozen=True, slots=True)
class Task:
    r"""A set of problems, how they are asked, and how answers are graded.

    Attributes:
        name: what it was loaded as.
        problems: in the order of their set.
        template: the prompt, with `{question}` (or `{prompt}`), `{choices}`, and the keys of a
            problem's data in braces. `{{` and `}}` are single braces, and other braces stay as
            they are, so that `\boxed{}` needs no care.
        grader: grades a text against a problem.
    """

    name: str
    problems: tuple[Problem, ...]
    template: str
    grader: Grader

    def prompt(self, problem: Problem) -> str:
        """What a model is asked; it ends with no line end where a template does.

        Raises:
            UsageError: the problem goes on from earlier turns, which a prompt does not hold.
        """
        if problem.earlier:
            raise UsageError(
                f"The question {problem.id} goes on from earlier turns, which only "
                "`outrider cascade` puts to a model; leave such questions out."
            )
        values = {
            **{key: str(value) for key, value in problem.data.items()},
            "question": problem.question,
            "prompt": problem.question,
            "choices": problem.lettered_choices(),
        }
        return fill(self.template, values).rstrip("\n")

    def grade(self, problem: Problem, text: str) -> Grade:
        """Grades what a model said.

        Raises:
            UsageError: the problem has no known answer, or the grader's library is missing.
        """
        return self.grader(problem, text)


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with the names it holds in braces replaced by their values."""

    def replace(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        return values.get(match[1], match[0])

    return re.sub(r"\{\{|\}\}|\{(\w+)\}", replace, template)
