"""The two models as authors of one text: what each goes on writing, and what that took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from outrider.errors import OutriderError
from outrider.llm import LLM
from outrider.strategies.thinking.transcript import (
    Atom,
    Text,
    TokenTranscript,
    Transcript,
    tokenizer_of,
)
from outrider.text import IncrementalText, Tokenizer
from outrider.types import Event, FinishReason, Generator, Usage, summed


@dataclass(slots=True)
class Work:
    """What a model has done; counters that only grow.

    Attributes:
        requests: that it was asked.
        tokens: generated, rejected ones included.
        rejected_tokens: of these, not in the answer.
        seconds: spent waiting for it.
        usage: its counters, summed: of all prompts, how much its prefix cache held, and so on.
    """

    requests: int = 0
    tokens: int = 0
    rejected_tokens: int = 0
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)

    def add(self, usage: Usage) -> None:
        """Take in the counters of a request."""
        self.usage = summed((self.usage, usage))


class Pen:
    """One open stream of a model, read atom by atom.

    Attributes:
        waiting: atoms that have come and are not read.
        ended: why the model has stopped; None while it writes.
        error: what went wrong, where that is why.

    Args:
        events: the stream.
        limit: tokens that it was asked for at most.
        tokenizer: of the model, if it has one here.
        work: to count in.
    """

    def __init__(
        self,
        events: Iterator[Event],
        limit: int | None,
        tokenizer: Tokenizer | None,
        work: Work,
    ) -> None:
        self.ended: FinishReason | None = None
        self.error: str | None = None
        self._events = events
        self._limit = limit
        self._text = IncrementalText(tokenizer) if tokenizer is not None else None
        self._work = work
        self.waiting: list[Atom] = []
        self._read = 0

    def read(self) -> Atom | None:
        """The next atom; None at the end."""
        while not self.waiting and self.ended is None:
            start = time.perf_counter()
            try:
                event = next(self._events, None)
            finally:
                self._work.seconds += time.perf_counter() - start
            self._take(event)
        if not self.waiting:
            return None
        atom = self.waiting.pop(0)
        self._read += atom.count
        return atom

    def hear_end(self) -> None:
        """Hear why the model has stopped, once it has written all that it was asked for."""
        if self.ended is None and self._limit is not None and self._read >= self._limit:
            atom = self.read()
            if atom is not None:
                self.unread((atom,))

    def unread(self, atoms: Sequence[Atom]) -> None:
        """Give back the last atoms that were read, to be read again."""
        self.waiting[:0] = atoms
        self._read -= sum(atom.count for atom in atoms)

    def cancel(self) -> None:
        """Ask the model to stop, from any thread; where it cannot be asked, nothing happens."""
        cancel: Callable[[], None] | None = getattr(self._events, "cancel", None)
        if cancel is not None:
            cancel()

    def close(self) -> int:
        """Stop the model.

        Returns:
            The tokens that it had written beyond what was read.
        """
        start = time.perf_counter()
        close: Callable[[], None] | None = getattr(self._events, "close", None)
        if close is not None:
            close()
        self._work.seconds += time.perf_counter() - start
        beyond = sum(atom.count for atom in self.waiting)
        if self.ended is None:
            completion: Any = getattr(self._events, "completion", None)
            if completion is not None:
                self._work.add(completion.usage)
                # A server that is left does not say what it has counted; what came is known.
                beyond = max(beyond, completion.usage.completion_tokens - self._read)
            self._work.tokens += self._read + beyond
        self.ended = self.ended or "cancelled"
        self.waiting.clear()
        return beyond

    def _take(self, event: Event | None) -> None:
        if event is None:
            raise OutriderError("The model's stream ended without saying why.")
        if self._text is not None:
            self.waiting += [Atom(self._text.push((token,)), token) for token in event.tokens]
        elif event.text or event.tokens:
            self.waiting.append(Atom(event.text, None, max(1, len(event.tokens))))
        if event.finish_reason is None:
            return
        self.ended, self.error = event.finish_reason, event.error
        count = self._read + sum(atom.count for atom in self.waiting)
        if event.usage is not None:
            self._work.add(event.usage)
            if self._text is None:
                count = self._correct(count, event.usage.completion_tokens)
        self._work.tokens += count

    def _correct(self, count: int, said: int) -> int:
        """A server sends several tokens at once: the last atom bears what the others lack."""
        if said > count:
            text = self.waiting.pop() if self.waiting else Atom("", None, 0)
            self.waiting.append(replace(text, count=text.count + said - count))
        return max(said, count)


class Author:
    """A model that writes parts of a text.

    Attributes:
        work: what it has done.
        pen: its open stream.
        same_ids: the other model's ids mean the same to it.

    Args:
        name: `small` or `large`.
        generator: the model.
        transcript: what it has of the text.
        settings: of every request: sampling and the like.
    """

    def __init__(
        self,
        name: Literal["small", "large"],
        generator: Generator,
        transcript: Transcript,
        settings: Callable[[], dict[str, Any]],
    ) -> None:
        self.name: Literal["small", "large"] = name
        self.generator = generator
        self.tokenizer = tokenizer_of(generator)
        self.transcript = transcript
        self.work = Work()
        self.pen: Pen | None = None
        self.same_ids = False
        self._settings = settings

    def room(self) -> int | None:
        """Tokens that still fit this model's context; None where that is not known."""
        if not (isinstance(self.generator, LLM) and isinstance(self.transcript, TokenTranscript)):
            return None
        return self.generator.context - len(self.transcript.tokens)

    def take_up(self, max_tokens: int) -> Pen:
        """The open stream, or a new one of so many tokens at most."""
        if self.pen is None:
            self.pen = self.ask(self.transcript, max_tokens=max_tokens)
        return self.pen

    def ask(self, transcript: Transcript, **changes: Any) -> Pen:
        """A stream of its own that goes on from a transcript."""
        request = replace(transcript.request(), **{**self._settings(), **changes})
        self.work.requests += 1
        start = time.perf_counter()
        events = iter(self.generator.stream(request))
        self.work.seconds += time.perf_counter() - start
        return Pen(events, request.max_tokens, self.tokenizer, self.work)

    def put_down(self) -> None:
        """End the open stream, if there is one."""
        if self.pen is not None:
            self.work.rejected_tokens += self.pen.close()
            self.pen = None

    def hear(self, piece: Text) -> None:
        """Take in what another has written; an open stream would not know of it, and ends."""
        self.put_down()
        self.transcript.append_foreign(piece, same_ids=self.same_ids)
