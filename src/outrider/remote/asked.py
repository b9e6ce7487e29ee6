"""One completion that a server was asked for: what it tells, as events and counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Final

from outrider.errors import EndpointError
from outrider.remote import answer
from outrider.remote.answer import Piece
from outrider.remote.http import Exchange, Line
from outrider.remote.question import Question
from outrider.types import Event, FinishReason, Usage

_FINISH: Final[Mapping[str, FinishReason]] = {"stop": "stop", "length": "length"}


@dataclass(slots=True)
class Told:
    """What a server has told of one completion."""

    start: float = field(default_factory=perf_counter)
    first: float | None = None
    latest: float | None = None
    tokens: int = 0
    logprobs: int = 0
    finish: str | None = None
    reasons: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, Any] = field(default_factory=dict)
    prompt_tokens: tuple[int, ...] = ()

    @property
    def counted(self) -> bool:
        """Whether the server has counted the tokens."""
        return "completion_tokens" in self.usage

    @property
    def begun(self) -> bool:
        """Whether something of the answer has come."""
        return self.first is not None

    @property
    def completion_tokens(self) -> int:
        """As the server counts them, else by their ids or log-probabilities, else 0."""
        counted = int(self.usage.get("completion_tokens") or 0)
        return counted or self.tokens or self.logprobs

    def add(self, piece: Piece) -> None:
        """What has come."""
        if piece.text or piece.reasoning or piece.tokens:
            self.latest = perf_counter()
            self.first = self.latest if self.first is None else self.first
        self.tokens += len(piece.tokens)
        self.logprobs += len(piece.logprobs)
        self.finish = piece.finish or self.finish
        self.usage |= piece.usage
        self.timings |= piece.timings
        self.prompt_tokens = self.prompt_tokens or piece.prompt_tokens

    def event(self, index: int, piece: Piece, best: int | None) -> Event:
        """The piece as an event. Reasoning that was kept apart stands between tags again.

        Args:
            index: of the completion.
            piece: what has come.
            best: alternatives that each log-probability is to have; servers may give more.
        """
        text = piece.text
        if piece.reasoning:
            text = ("" if self.reasons else "<think>") + piece.reasoning
            self.reasons = True
        elif piece.text and self.reasons:
            text = f"</think>{piece.text}"
            self.reasons = False
        logprobs = tuple(
            replace(entry, top=tuple(sorted(entry.top, key=lambda top: -top[1])[:best]))
            for entry in piece.logprobs
        )
        return Event(index, text=text, tokens=piece.tokens, logprobs=logprobs or None)

    def last(self, index: int, reason: FinishReason, error: str | None = None) -> Event:
        """The event that ends the completion."""
        return Event(index, finish_reason=reason, error=error, usage=self._usage())

    def _usage(self) -> Usage:
        """Counters that the server gives, and this process's own clock."""
        now = perf_counter()
        first, latest = self.first or now, self.latest or now
        details = self.usage.get("prompt_tokens_details") or {}
        return Usage(
            prompt_tokens=int(self.usage.get("prompt_tokens") or 0),
            cached_tokens=int(details.get("cached_tokens") or 0),
            completion_tokens=self.completion_tokens,
            draft_tokens=int(self.timings.get("draft_n") or 0),
            accepted_tokens=int(self.timings.get("draft_n_accepted") or 0),
            first_token_ms=(first - self.start) * 1000,
            decode_ms=(latest - first) * 1000,
            total_ms=(now - self.start) * 1000,
        )


class Asked:
    """One completion: its question, and what is known of it so far."""

    def __init__(self, line: Line, question: Question) -> None:
        self._exchange = Exchange(line, question.path, question.body, str(question.body["model"]))
        self._base = line.address.shown
        self._question = question
        self.cancel: Callable[[], None] = self._exchange.cancel
        self.told = Told()

    @property
    def attempts(self) -> int:
        """How often it was asked."""
        return self._exchange.attempts

    def events(self, index: int) -> Iterator[Event]:
        """Events up to the last, which says why the completion ended."""
        self.told = told = Told()
        try:
            for data in self._exchange.events():
                piece = answer.read(data, self._base)
                told.add(piece)
                event = told.event(index, piece, self._question.logprobs)
                if event.text or event.tokens or event.logprobs:
                    yield event
        except EndpointError as error:
            if not self._exchange.cancelled:
                if not told.begun:
                    raise
                yield told.last(index, "error", str(error))
                return
        yield self._last(told, index)

    def _last(self, told: Told, index: int) -> Event:
        if (reason := _FINISH.get(told.finish or "")) is not None:
            missing = self._missing_logprobs(told)
            return told.last(index, "error" if missing else reason, missing)
        if self._exchange.cancelled:
            return told.last(index, "cancelled")
        if told.finish is None and not told.begun:
            raise EndpointError(
                f"{self._base} ended its answer before it began; look at its log: it may have no "
                "room for the prompt, or answer one question at a time."
            )
        if told.finish is None:
            return told.last(index, "error", f"{self._base} ended its answer in the middle.")
        return told.last(index, "error", f"{self._base} ended its answer by {told.finish!r}.")

    def _missing_logprobs(self, told: Told) -> str | None:
        """What is wrong with the log-probabilities that were asked for, if something is."""
        if self._question.logprobs is None or not told.begun:
            return None
        if not told.logprobs:
            return f"{self._base} gives no log-probabilities; leave logprobs out."
        # llama.cpp gives those of its own choices alone, and no sign where others are missing.
        if told.timings.get("draft_n_accepted"):
            return (
                f"{self._base} gives no log-probabilities of drafted tokens; start it without "
                "speculation, or leave logprobs out."
            )
        return None
