"""A `Generator` whose answers are written beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from outrider.types import Choice, Completion, Event, FinishReason, Request, Usage

Script = Callable[[str], str | Exception]


class Scripted:
    """Answers the last message of a request by a script; keeps what it was asked."""

    def __init__(self, script: Script, *, finish_reason: FinishReason = "stop") -> None:
        self._script = script
        self._finish_reason = finish_reason
        self._lock = threading.Lock()
        self.requests: list[Request] = []

    def asked(self, request: Request) -> str:
        return request.messages[-1].content if request.messages else str(request.prompt)

    def generate(self, request: Request) -> Completion:
        with self._lock:
            self.requests.append(request)
        said = self._script(self.asked(request))
        if isinstance(said, Exception):
            raise said
        usage = Usage(
            prompt_tokens=100,
            cached_tokens=90,
            completion_tokens=min(len(said), request.max_tokens or len(said)),
            first_token_ms=10.0,
            decode_ms=float(len(said)),
            draft_tokens=4,
            accepted_tokens=3,
        )
        choice = Choice(said, (), self._finish_reason, usage)
        return Completion((choice,), (), request.sampling.seed or 0)

    def stream(self, request: Request) -> Iterator[Event]:
        raise NotImplementedError


def final(text: str) -> str:
    return f"Some steps.\nFinal Answer: {text}"
