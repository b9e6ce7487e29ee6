"""A generator that says what it is told to, for tests of what is made of answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from math import log

from outrider.errors import OutriderError
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
