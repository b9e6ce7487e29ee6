"""Collected answers: every stage's answer to every question, graded, one JSON object a line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, Self, TextIO

from outrider.errors import UsageError
from outrider.strategies.cascade.settings import CascadeSettings, digest
from outrider.strategies.cascade.stage import Answer
from outrider.tasks import Problem
from outrider.types import Message

Key = tuple[str, str, str]
"""A question: its task, its id, and its text with the turns before it."""

FORMAT: Final = 1


def key_of(task: str, problem: Problem) -> Key:
    """What tells a question from others; `task` may have options."""
    return task.partition(":")[0], problem.id, said_before(problem) + problem.question


def said_before(problem: Problem) -> str:
    """The earlier turns as one text, which is empty where there are none."""
    return "".join(f"{turn.role}: {turn.content}\n\n" for turn in problem.earlier)


@dataclass(frozen=True, slots=True)
class Collected:
    """One line of the file.

    Attributes:
        task: the task's name without its options, so that more questions of it may be asked.
        problem: the question.
        answer: a stage's.
        correct: what the task's grader made of it.
        timed: asked alone, to measure its time, rather than among others.
    """

    task: str
    problem: Problem
    answer: Answer
    correct: bool
    timed: bool = False

    @property
    def key(self) -> Key:
        """The question."""
        return key_of(self.task, self.problem)

    def line(self) -> str:
        """As JSON."""
        p = self.problem
        values: dict[str, Any] = {
            "task": self.task,
            "id": p.id,
            "question": p.question,
            "choices": list(p.choices),
            "subject": p.subject,
            "level": p.level,
            "earlier": [[turn.role, turn.content] for turn in p.earlier],
            "correct": self.correct,
            "timed": self.timed,
            "answer": self.answer.record(),
        }
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """What `line` was made of; the known answer is not kept."""
        problem = Problem(
            id=values["id"],
            question=values["question"],
            answer=None,
            choices=tuple(values["choices"]),
            subject=values["subject"],
            level=values["level"],
            earlier=tuple(Message(role, content) for role, content in values["earlier"]),
        )
        answer = Answer.of(values["answer"])
        return cls(values["task"], problem, answer, values["correct"], values["timed"])


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answers.

    Attributes:
        task: its task's name.
        problem: the question.
        answers: of the stages, in their order, from the first on.
        correct: whether each is right.
    """

    task: str
    problem: Problem
    answers: tuple[Answer, ...]
    correct: tuple[bool, ...]

    @property
    def digests(self) -> tuple[str, ...]:
        """A hash of each answer with its question and its grade."""
        asked = list(key_of(self.task, self.problem))
        return tuple(
            digest([*asked, answer.fingerprint, answer.text, right])
            for answer, right in zip(self.answers, self.correct, strict=True)
        )


@dataclass(slots=True)
class AnswerFile:
    """The file of collected answers, to read and to append to.

    A last line that was cut off, because a run was killed, is forgotten; the run that goes on
    writes it again.

    Args:
        path: of the file; it need not exist.
        settings: the cascade whose stages answered.

    Raises:
        UsageError: the file cannot be read, is no such file, or holds answers of a stage with other
            settings.
    """

    path: Path
    settings: CascadeSettings
    found: list[Collected] = field(init=False, default_factory=list)
    _out: TextIO | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.path.exists():
            self.found = list(self._read())

    def add(self, collected: Collected) -> None:
        """Write an answer, at once and whole."""
        with self._lock:
            self.found.append(collected)
            if self._out is None:
                raise UsageError(f"{self.path} is not open for writing.")
            self._out.write(collected.line() + "\n")
            self._out.flush()

    def has(self, stage: str, *, timed: bool = False) -> set[Key]:
        """The questions that a stage has answered."""
        return {c.key for c in self.found if c.answer.stage == stage and c.timed == timed}

    def timings(self, stage: str) -> list[Answer]:
        """A stage's answers whose time was measured alone."""
        return [c.answer for c in self.found if c.answer.stage == stage and c.timed]

    def questions(self, *, partial: bool = False) -> list[Question]:
        """The questions that every stage has answered, in the order of the file.

        Args:
            partial: those too that only the first few stages have answered; they hold their
                answers, and tell how good the predictor of these stages is.

        Raises:
            UsageError: there is none.
        """
        names = [stage.name for stage in self.settings.stages]
        by_key: dict[Key, dict[str, Collected]] = {}
        for one in self.found:
            if not one.timed:
                by_key.setdefault(one.key, {})[one.answer.stage] = one
        found = []
        for by_stage in by_key.values():
            climbed = list(takewhile(by_stage.__contains__, names))
            if climbed and (partial or len(climbed) == len(names)):
                found.append(_question([by_stage[name] for name in climbed]))
        if not found:
            raise UsageError(
                f"{self.path} holds no question that every stage has answered; run "
                "`outrider cascade collect` to its end."
            )
        return found

    def __enter__(self) -> Self:
        try:
            self._out = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}.") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None

    def _read(self) -> Iterator[Collected]:
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}.") from error
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self.path.open("r+b") as file:
                file.truncate(whole)
        known = self.settings.fingerprints()
        for number, line in enumerate(data[:whole].splitlines(), 1):
            if not line.strip():
                continue
            try:
                one = Collected.of(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(
                    f"Line {number} of {self.path} is no collected answer: {error!r}."
                ) from error
            stage = one.answer.stage
            if stage in known and known[stage] != one.answer.fingerprint:
                raise UsageError(
                    f"{self.path} holds answers of the stage {stage!r} with other settings than "
                    "the cascade has now; collect into another file, or give the stage back its "
                    "settings or another name."
                )
            yield one


def _question(found: Sequence[Collected]) -> Question:
    return Question(
        found[0].task,
        found[0].problem,
        tuple(one.answer for one in found),
        tuple(one.correct for one in found),
    )
