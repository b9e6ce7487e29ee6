"""A server that speaks the OpenAI protocol, as a `Generator`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Final, Self, Unpack

import httpx

from outrider.errors import EndpointError, UsageError, unknown_name
from outrider.remote import answer, dialect
from outrider.remote.address import Address
from outrider.remote.answer import Piece
from outrider.remote.dialect import Dialect
from outrider.remote.http import KEY_VARIABLES, Exchange, Line, Patience
from outrider.remote.question import Question, write
from outrider.sampling import derive_seed, draw_seed
from outrider.settings import Prompt, Settings, make_request
from outrider.streams import Fold
from outrider.types import Completion, Event, FinishReason, Request, Usage

_FINISH: Final[Mapping[str, FinishReason]] = {"stop": "stop", "length": "length"}


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says of itself.

    Attributes:
        model: the name it knows the model by.
        dialect: what it offers beyond the protocol.
        context: the longest sequence in tokens; None where it does not say.
    """

    model: str
    dialect: Dialect
    context: int | None


class OpenAIGenerator:
    """A model behind a server; it satisfies `outrider.types.Generator`.

    Every method may be called from any thread. Settings are the flat names of
    `outrider.settings.Settings`. What the protocol or the server cannot honour is an error.

    Nothing is sent before the first question, or before one of `served`, `model` and `context` is
    asked for.

    Args:
        base_url: such as http://127.0.0.1:8000/v1; `#NAME` behind it names the model.
        model: the name that the server knows the model by; None takes its only one.
        api_key: None takes OUTRIDER_API_KEY, else OPENAI_API_KEY, else none.
        patience: time-outs and retries.
        server: what software answers, such as vLLM, where it does not say so itself.
        extra: further keys of every question's JSON, which win.
        seed: for requests without one; None draws one for each, and their completions record it.
        transport: for tests; None takes the network.

    Raises:
        UsageError: the address or an argument is none.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        patience: Patience | None = None,
        server: str | None = None,
        extra: Mapping[str, Any] | None = None,
        seed: int | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        address = Address.parse(base_url)
        if model is not None and address.model not in (None, model):
            raise UsageError(f"Two models are named, {address.model!r} and {model!r}; name one.")
        self.address = replace(address, model=model or address.model)
        self.seed = seed
        self.extra = dict(extra or {})
        self._dialect = None if server is None else dialect.named(server)
        key = api_key or next(filter(None, map(os.environ.get, KEY_VARIABLES)), None)
        self._line = Line(self.address, key, patience or Patience(), transport)
        self._lock = threading.Lock()
        self._served: Served | None = None

    @property
    def served(self) -> Served:
        """What the server says of itself; asked once.

        Raises:
            EndpointError: it cannot be reached, or has no such model.
            UsageError: it has several models, and none is named.
        """
        with self._lock:
            if self._served is None:
                self._served = self._look()
            return self._served

    @property
    def model(self) -> str:
        """The name that the server knows the model by."""
        return self.served.model

    @property
    def context(self) -> int | None:
        """The longest sequence in tokens, prompt included; None where the server does not say."""
        return self.served.context

    @property
    def has_chat_template(self) -> bool:
        """Whether it takes messages: the protocol has it so, and a server without says so then."""
        return True

    def stream(self, prompt: Prompt | None = None, **settings: Unpack[Settings]) -> RemoteStream:
        """Ask, and get the answer as it comes; it is sent when the first event is asked for.

        Args:
            prompt: text to continue as it stands, messages, or a whole request.
            settings: win over those of a request.

        Returns:
            An iterator of events. Afterwards its `.completion` is the whole answer. What goes
            wrong after the first event is an event with the reason "error"; what goes wrong
            before is raised. Closing it cancels the request.

        Raises:
            EndpointError: the server cannot be reached.
            UsageError: an option, which is named, cannot be had from the server.
        """
        request = make_request(prompt, settings)
        served = self.served
        seed = request.sampling.seed
        seed = self.seed if seed is None else seed
        seed = draw_seed() if seed is None else seed
        seeds = [seed] if request.n == 1 else [derive_seed(seed, i) for i in range(request.n)]
        questions = [
            write(
                request,
                served.dialect,
                model=served.model,
                context=served.context,
                seed=own,
                extra=self.extra,
            )
            for own in seeds
        ]
        record = {
            "endpoint": self.address.shown,
            "model": served.model,
            "server": served.dialect.name,
            "max_tokens": request.max_tokens,
            "seeds_sent": [question.body.get("seed") for question in questions],
        }
        exchanges = [_Asked(self._line, question) for question in questions]
        return RemoteStream(request, exchanges, seed, record)

    def generate(self, prompt: Prompt | None = None, **settings: Unpack[Settings]) -> Completion:
        """The whole answer: `stream`, folded.

        Raises:
            EndpointError: the server cannot be reached, refuses or fails.
            UsageError: as in `stream`, or the server cannot do what is asked.
        """
        return self.stream(prompt, **settings).finish()

    def close(self) -> None:
        """Close the connections."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look(self) -> Served:
        status, body = self._line.get("models")
        wanted = self.address.model
        entries = body.get("data") if isinstance(body, dict) and status == httpx.codes.OK else None
        if not isinstance(entries, list):
            if status in (404, 405, 501) and wanted is not None:
                return Served(wanted, self._dialect or dialect.UNKNOWN, None)
            if status != httpx.codes.OK:
                raise self._line.refuse(status, body, path="models", model=None)
            raise EndpointError(
                f"{self.address.shown}/models is no list of models, so it is no address of the "
                "OpenAI protocol; most end in /v1."
            )
        models = {str(e["id"]): e for e in entries if isinstance(e, dict) and "id" in e}
        if wanted is None and len(models) != 1:
            known = ", ".join(sorted(models)) or "none"
            raise UsageError(
                f"{self.address.shown} has several models; write {self.address.shown}#NAME with "
                f"one of: {known}."
                if models
                else f"{self.address.shown} has no model; load one there."
            )
        entry = models.get(wanted) if wanted is not None else next(iter(models.values()))
        owner = str((entry or next(iter(models.values()), {})).get("owned_by", ""))
        spoken = self._dialect or dialect.of_owner(owner)
        if entry is None:
            aliases = {a: e for e in models.values() for a in e.get("aliases") or ()}
            entry = aliases.get(wanted)
        if entry is None and spoken.one_model:
            raise unknown_name(f"model of {self.address.shown}:", str(wanted), models)
        return Served(wanted or str((entry or {})["id"]), spoken, _context(entry or {}))


def _context(entry: Mapping[str, Any]) -> int | None:
    """VLLM and SGLang say it beside the name, llama.cpp below it."""
    found = entry.get("max_model_len") or (entry.get("meta") or {}).get("n_ctx")
    return int(found) if isinstance(found, int) and found > 0 else None


class RemoteStream(Iterator[Event]):
    """The events of a request to a server, for one listener.

    Closing or dropping it, or an exception in the thread that waits for an event, cancels the
    request. The n completions of a request are n questions, asked at the same moment: so each has
    counters and times of its own, and servers that know no `n` answer too.

    Attributes:
        request: as it was asked.
    """

    def __init__(
        self, request: Request, asked: list[_Asked], seed: int, record: Mapping[str, Any]
    ) -> None:
        self.request = request
        self._asked = asked
        self._seed = seed
        self._record = dict(record)
        self._fold = Fold(request)
        self._events = asked[0].events(0) if len(asked) == 1 else _together(asked)

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

    @property
    def ended(self) -> bool:
        """Whether every completion has ended."""
        return not self._fold.open

    def cancel(self) -> None:
        """Ask for the end, from any thread; the events up to it still come."""
        for asked in self._asked:
            asked.cancel()

    def close(self) -> None:
        """Cancel, and wait for the end."""
        self.cancel()
        for event in self._events:
            self._fold.add(event)
        for index in self._fold.open:
            self._fold.add(Event(index, finish_reason="cancelled", usage=Usage()))

    def finish(self) -> Completion:
        """Wait for the end; the whole answer."""
        for _ in self:
            pass
        return self.completion

    @property
    def completion(self) -> Completion:
        """The whole answer. Prompt and answer have token ids where the server gave them.

        Raises:
            OutriderError: it is not finished.
        """
        prompt = next((a.prompt_tokens for a in self._asked if a.prompt_tokens), ())
        record = self._record | {
            "attempts": [asked.attempts for asked in self._asked],
            "counted_by_server": all(asked.counted for asked in self._asked),
            "timings": [dict(asked.timings) for asked in self._asked if asked.timings],
        }
        return self._fold.completion(prompt, self._seed, record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.cancel()


class _Asked:
    """One completion: its question, and what is known of it so far."""

    def __init__(self, line: Line, question: Question) -> None:
        self._exchange = Exchange(line, question.path, question.body, str(question.body["model"]))
        self._base = line.address.shown
        self.cancel: Callable[[], None] = self._exchange.cancel
        self.prompt_tokens: tuple[int, ...] = ()
        self.timings: Mapping[str, Any] = {}
        self.counted = False

    @property
    def attempts(self) -> int:
        """How often it was asked."""
        return self._exchange.attempts

    def events(self, index: int) -> Iterator[Event]:
        """Events up to the last, which says why the completion ended."""
        told = _Told()
        try:
            for data in self._exchange.events():
                piece = answer.read(data, self._base)
                told.add(piece)
                self.prompt_tokens = self.prompt_tokens or piece.prompt_tokens
                self.timings = piece.timings or self.timings
                self.counted = self.counted or "completion_tokens" in piece.usage
                event = told.event(index, piece)
                if event.text or event.tokens or event.logprobs:
                    yield event
        except EndpointError as error:
            if not self._exchange.cancelled:
                if not told.begun:
                    raise
                yield told.last(index, "error", str(error))
                return
        yield self._last(told, index)

    def _last(self, told: _Told, index: int) -> Event:
        if (reason := _FINISH.get(told.finish or "")) is not None:
            return told.last(index, reason)
        if self._exchange.cancelled:
            return told.last(index, "cancelled")
        if told.finish is None:
            return told.last(index, "error", f"{self._base} ended its answer in the middle.")
        return told.last(index, "error", f"{self._base} ended its answer by {told.finish!r}.")


@dataclass(slots=True)
class _Told:
    """What a server has told of one completion."""

    start: float = field(default_factory=perf_counter)
    first: float | None = None
    latest: float | None = None
    tokens: int = 0
    finish: str | None = None
    reasons: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, Any] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        """Whether something of the answer has come."""
        return self.first is not None

    def add(self, piece: Piece) -> None:
        """What has come."""
        if piece.text or piece.reasoning or piece.tokens:
            self.latest = perf_counter()
            self.first = self.latest if self.first is None else self.first
        self.tokens += len(piece.tokens)
        self.finish = piece.finish or self.finish
        self.usage |= piece.usage
        self.timings |= piece.timings

    def event(self, index: int, piece: Piece) -> Event:
        """The piece as an event. Reasoning that was kept apart stands between tags again."""
        text = piece.text
        if piece.reasoning:
            text = ("" if self.reasons else "<think>") + piece.reasoning
            self.reasons = True
        elif piece.text and self.reasons:
            text = f"</think>{piece.text}"
            self.reasons = False
        return Event(index, text=text, tokens=piece.tokens, logprobs=piece.logprobs or None)

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
            completion_tokens=int(self.usage.get("completion_tokens") or self.tokens),
            draft_tokens=int(self.timings.get("draft_n") or 0),
            accepted_tokens=int(self.timings.get("draft_n_accepted") or 0),
            first_token_ms=(first - self.start) * 1000,
            decode_ms=(latest - first) * 1000,
            total_ms=(now - self.start) * 1000,
        )


def _together(asked: list[_Asked]) -> Iterator[Event]:
    """The events of several completions as they come, each from a thread of its own."""
    found: SimpleQueue[Event | BaseException | None] = SimpleQueue()

    def run(index: int) -> None:
        try:
            for event in asked[index].events(index):
                found.put(event)
            found.put(None)
        except BaseException as failure:
            found.put(failure)

    threads = [
        threading.Thread(target=run, args=(index,), name=f"outrider-{index}", daemon=True)
        for index in range(len(asked))
    ]
    for thread in threads:
        thread.start()
    running, failure = len(threads), None
    while running:
        match found.get():
            case Event() as event:
                yield event
            case None:
                running -= 1
            case BaseException() as raised:
                running -= 1
                failure = failure or raised
                for other in asked:
                    other.cancel()
    for thread in threads:
        thread.join()
    if failure is not None:
        raise failure
