"""A generator that says what it is told to, for tests of what is made of answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from math import log

from outrider.errors import OutriderError
from outrider.strategies.cascade.settings import (
    CascadeSettings,
    Cost,
    PredictorSettings,
    StageSettings,
)
from outrider.types import Choice, Completion, Event, Request, TokenLogprob, Usage

Script = Callable[[Request, int], str]
"""Takes a request and the index of a sample."""


class Scripted:
    """Answers by a script, and remembers what it was asked."""

    def __init__(self, script: Script, *, p: float = 0.5, fails: str | None = None) -> None:
        self.script, self.p, self.fails = script, p, fails
        self.asked: list[Request] = []
        self.closed = False
        self._lock = threading.Lock()

    def generate(self, request: Request) -> Completion:
        with self._lock:
            self.asked.append(request)
        if self.fails is not None:
            raise OutriderError(self.fails)
        choices = []
        for index in range(request.n):
            text = self.script(request, index)
            usage = Usage(prompt_tokens=10, completion_tokens=3, cached_tokens=4)
            chosen = TokenLogprob(1, log(self.p), ((1, log(self.p)), (2, log(0.25))))
            logprobs = (chosen,) * 3 if request.logprobs is not None else None
            choices.append(Choice(text, (1, 1, 1), "stop", usage, logprobs))
        return Completion(tuple(choices), (0,) * 10, 0, record={"fingerprint": "scripted"})

    def stream(self, request: Request) -> Iterator[Event]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def question_of(request: Request) -> str:
    """The text that a request ends with."""
    if request.prompt is not None:
        return request.prompt
    assert request.messages is not None
    return next(m.content for m in reversed(request.messages) if m.role == "user")


def says(request: Request, _: int) -> str:
    """Right for even first numbers only, where it is not asked for steps."""
    text = question_of(request)
    numbers = [int(word) for word in text.replace("?", "").split() if word.isdigit()]
    total = sum(numbers[:2])
    return f"The answer is {total if 'step' in text or numbers[0] % 2 == 0 else total + 1}."


def two_stages(**more: object) -> CascadeSettings:
    stages = (
        StageSettings(name="once", cost=Cost(ms=10.0), memory=10, cache=0),
        StageSettings(name="steps", style="steps", cost=Cost(ms=90.0), memory=10, cache=0),
    )
    predictor = PredictorSettings(regressor="logistic", folds=2, holdout=0.2)
    return CascadeSettings(**{"stages": stages, "predictor": predictor, **more})  # type: ignore[arg-type]
