"""An answer on its way: events as they come, folded into a completion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from outrider.errors import OutriderError
from outrider.runner import Handle
from outrider.types import (
    Choice,
    Completion,
    Event,
    FinishReason,
    Request,
    TokenLogprob,
    Usage,
)


@dataclass(slots=True)
class _Part:
    """One completion, as far as it has come."""

    text: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    error: str | None = None
    usage: Usage = field(default_factory=Usage)

    def add(self, event: Event) -> None:
        self.text.append(event.text)
        self.tokens += event.tokens
        self.logprobs += event.logprobs or ()
        self.finish_reason = event.finish_reason
        self.error = event.error
        self.usage = event.usage or self.usage

    def choice(self, *, logprobs: bool) -> Choice:
        return Choice(
            text="".join(self.text),
            tokens=tuple(self.tokens),
            finish_reason=self.finish_reason or "cancelled",
            usage=self.usage,
            logprobs=tuple(self.logprobs) if logprobs else None,
            error=self.error,
        )


class Fold:
    """Events of a request folded into its completion, as far as they have come.

    Args:
        request: as it was asked.
    """

    def __init__(self, request: Request) -> None:
        self._parts = [_Part() for _ in range(request.n)]
        self._logprobs = request.logprobs is not None
        self._prompt_logprobs: tuple[TokenLogprob, ...] | None = None

    def add(self, event: Event) -> Event:
        """What has come; the same event."""
        self._parts[event.index].add(event)
        if event.prompt_logprobs is not None:
            self._prompt_logprobs = event.prompt_logprobs
        return event

    @property
    def open(self) -> list[int]:
        """The indices of the completions that have not ended."""
        return [i for i, part in enumerate(self._parts) if part.finish_reason is None]

    def completion(
        self, prompt_tokens: tuple[int, ...], seed: int, record: Mapping[str, Any]
    ) -> Completion:
        """The whole answer.

        Raises:
            OutriderError: it is not finished.
        """
        if self.open:
            raise OutriderError(
                "The answer is not finished; read the stream to its end, or close it."
            )
        return Completion(
            choices=tuple(part.choice(logprobs=self._logprobs) for part in self._parts),
            prompt_tokens=prompt_tokens,
            seed=seed,
            prompt_logprobs=self._prompt_logprobs,
            record=record,
        )


class EventStream(Iterator[Event], ABC):
    """The events of a request, folded as they pass, for one listener.

    An exception in the loop that waits for an event, such as the one Ctrl-C raises, cancels the
    request; so does `close`, and dropping the stream.

    Attributes:
        request: as it was asked.
    """

    def __init__(self, request: Request, events: Iterator[Event]) -> None:
        self.request = request
        self._fold = Fold(request)
        self._events = events

    @abstractmethod
    def cancel(self) -> None:
        """Ask for the end; the events up to it still come. Nothing happens after the end."""

    @abstractmethod
    def close(self) -> None:
        """Cancel, and wait for the end."""

    @property
    @abstractmethod
    def completion(self) -> Completion:
        """The whole answer.

        Raises:
            OutriderError: it is not finished.
        """

    @property
    def ended(self) -> bool:
        """Whether every completion has ended."""
        return not self._fold.open

    def finish(self) -> Completion:
        """Wait for the end; the whole answer."""
        for _ in self:
            pass
        return self.completion

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            return self._fold.add(next(self._events))
        except StopIteration:
            raise
        except BaseException:
            self.cancel()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.cancel()


class Stream(EventStream):
    """The events of a request, for one listener: a loop, or an `async` loop.

    Args:
        handle: of the submitted request.
        request: as it was asked.
        tokens: the prompt's ids.
        seed: of the noise.
        record: the request as resolved.
    """

    def __init__(
        self,
        handle: Handle,
        request: Request,
        tokens: tuple[int, ...],
        seed: int,
        record: Mapping[str, Any],
    ) -> None:
        self._handle = handle
        self._tokens = tokens
        self._seed = seed
        self._record = record
        super().__init__(request, iter(handle))

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            async for event in self._handle:
                yield self._fold.add(event)
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Ask for the end; the events up to it still come. Nothing happens after the end."""
        if not self.ended:
            self._handle.cancel()

    def close(self) -> None:
        """Cancel, and wait for the end."""
        self.cancel()
        # A new iterator: one that an exception has left cannot go on.
        for event in self._handle:
            self._fold.add(event)

    def finish(self) -> Completion:
        """Wait for the end; the whole answer."""
        try:
            self._handle.settle()
        except BaseException:
            self.cancel()
            raise
        return super().finish()

    @property
    def completion(self) -> Completion:
        """The whole answer.

        Raises:
            OutriderError: it is not finished.
        """
        return self._fold.completion(self._tokens, self._seed, self._record)
