"""A model whose answers are written beforehand, and which keeps what it was asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from outrider.strategies.thinking import Thinking, ThinkingConfig, ThinkingEvent, ThinkingStream
from outrider.types import Choice, Completion, Event, Request, Usage


def words(text: str) -> list[str]:
    """The tokens of a scripted model: words with the blank before them, and breaks."""
    return re.findall(r"\n\n|\s?[^\s]+|\s", text)


@dataclass
class Scripted:
    """Answers from a list, one text a request; a server that sends text and no ids.

    Args:
        answers: in the order of the requests.
        error: an event in place of the end of the last answer.
    """

    answers: list[str]
    error: str | None = None
    requests: list[Request] = field(default_factory=list)
    read: list[int] = field(default_factory=list)

    def stream(self, request: Request) -> Iterator[Event]:
        self.requests.append(request)
        self.read.append(0)
        number = len(self.requests) - 1
        return self._events(request, number)

    def _events(self, request: Request, number: int) -> Iterator[Event]:
        tokens = words(self.answers[number])
        limit = len(tokens) if request.max_tokens is None else request.max_tokens
        for token in tokens[:limit]:
            self.read[number] += 1
            yield Event(text=token)
        failed = self.error if number == len(self.answers) - 1 else None
        reason = "length" if request.max_tokens and len(tokens) >= limit else "stop"
        usage = Usage(completion_tokens=min(limit, len(tokens)))
        yield Event(finish_reason="error" if failed else reason, error=failed, usage=usage)

    def generate(self, request: Request) -> Completion:
        events = list(self.stream(request))
        text = "".join(event.text for event in events)
        usage = events[-1].usage or Usage()
        return Completion((Choice(text, (), "stop", usage),), (), 0)


def think(
    small: Sequence[str] | Scripted,
    large: Sequence[str] | Scripted = (),
    *,
    max_tokens: int | None = None,
    stop: tuple[str, ...] = (),
    **settings: object,
) -> tuple[ThinkingStream, list[ThinkingEvent], Scripted, Scripted]:
    """What two scripted models come to, asked to continue `Q`."""
    ours = small if isinstance(small, Scripted) else Scripted(list(small))
    theirs = large if isinstance(large, Scripted) else Scripted(list(large))
    config = ThinkingConfig.of({"probe_tokens": 3, "recap_tokens": 4, **settings})
    stream = Thinking(ours, theirs, config).stream(
        Request(prompt="Q", max_tokens=max_tokens, stop=stop)
    )
    return stream, list(stream), ours, theirs


def told(events: Sequence[ThinkingEvent]) -> list[tuple[str | None, str | None, str]]:
    """The stretches: neighbouring pieces of one author and purpose as one."""
    stretches: list[tuple[str | None, str | None, str]] = []
    for event in events:
        if event.finish_reason is not None:
            continue
        key = (event.author, event.why)
        if stretches and stretches[-1][:2] == key:
            stretches[-1] = (*key, stretches[-1][2] + event.text)
        else:
            stretches.append((*key, event.text))
    return stretches
