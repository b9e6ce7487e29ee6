"""Answers of our own to grade, and a judge that says what it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from outrider.strategies.answering.record import Answered, RunFacts
from outrider.types import Choice, Completion, Request, Usage


def answered(number: int = 0, **given: Any) -> Answered:
    values: dict[str, Any] = {
        "id": f"q{number}",
        "question": f"What is {number} + 1?",
        "subject": "algebra",
        "answer": str(number + 1),
        "text": f"Final Answer: {number + 1}",
        "gold": str(number + 1),
        "seconds": 2.0,
        "tokens": 10,
        "finish_reason": "stop",
        "profile": "plain",
        "usage": {"draft_tokens": 8, "accepted_tokens": 6},
    }
    return Answered(**values | given)


def city(number: int, gold: str | None, answer: str | None, **given: Any) -> Answered:
    text = given.pop("text", f"Answer: {answer}")
    return answered(
        number,
        subject="geography",
        gold=gold,
        answer=answer,
        text=text,
        question=f"Which city is number {number}?",
        **given,
    )


def write(path: Path, answers: list[Answered], **facts: Any) -> Path:
    path.write_text("".join(answer.line() for answer in answers), encoding="utf-8")
    if facts:
        RunFacts(**{"profile": "plain", "model": "tiny"} | facts).write(path)
    return path


class Scripted:
    """A generator that answers each question by a function of what it was asked."""

    has_chat_template = True

    def __init__(self, says: Callable[[str], str]) -> None:
        self.says = says
        self.requests: list[Request] = []
        self._lock = threading.Lock()

    def generate(self, request: Request) -> Completion:
        with self._lock:
            self.requests.append(request)
        asked = request.messages[-1].content if request.messages else request.prompt
        choice = Choice(self.says(asked), (), "stop", Usage())
        return Completion((choice,), (), 0)

    def close(self) -> None:
        pass


def fair(asked: str) -> str:
    """Judges by whether the last case's answer holds the reference."""
    case = asked[asked.rindex("Reference: ") :]
    reference, _, answer = case.removeprefix("Reference: ").partition("\nAnswer: ")
    right = reference.casefold() in answer.casefold()
    return f"It was compared with {reference}.\nVerdict: {'right' if right else 'wrong'}"
