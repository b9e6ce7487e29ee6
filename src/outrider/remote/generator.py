"""A server that speaks the OpenAI protocol, as a `Generator`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self, Unpack

import httpx

from outrider.errors import EndpointError, OutriderError, UsageError, unknown_name
from outrider.remote import dialect
from outrider.remote.address import Address
from outrider.remote.asked import Asked
from outrider.remote.dialect import Dialect
from outrider.remote.failures import KEY_VARIABLES
from outrider.remote.http import Line, Patience
from outrider.remote.question import write
from outrider.remote.rendering import RENDERINGS
from outrider.remote.stream import RemoteStream
from outrider.sampling import derive_seed, draw_seed
from outrider.settings import Prompt, Settings, make_request, make_requests
from outrider.types import Completion, Event, Message


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
        concurrency: questions of `generate_many` asked at the same moment, at most.
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
        concurrency: int = 8,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        address = Address.parse(base_url)
        if model is not None and address.model not in (None, model):
            raise UsageError(f"Two models are named, {address.model!r} and {model!r}; name one.")
        self.address = replace(address, model=model or address.model)
        if concurrency < 1:
            raise UsageError(f"concurrency has to be at least 1, not {concurrency}.")
        self.seed = seed
        self.concurrency = concurrency
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
        exchanges = [Asked(self._line, question) for question in questions]
        return RemoteStream(request, exchanges, seed, record)

    def generate(self, prompt: Prompt | None = None, **settings: Unpack[Settings]) -> Completion:
        """The whole answer: `stream`, folded.

        Raises:
            EndpointError: the server cannot be reached, refuses or fails.
            UsageError: as in `stream`, or the server cannot do what is asked.
        """
        return self.stream(prompt, **settings).finish()

    def generate_many(
        self,
        prompts: Iterable[Prompt],
        *,
        listener: Callable[[int, Event], None] | None = None,
        **settings: Unpack[Settings],
    ) -> Iterator[Completion]:
        """Answers to many prompts, `concurrency` of them asked at the same moment.

        Args:
            prompts: as in `stream`.
            listener: told a prompt's index and each event of its answer, in the order in which
                answers are returned, by the thread that asks for them.
            settings: as in `stream`; one seed gives each prompt its own, as in `LLM`.

        Returns:
            An iterator of completions in the order of the prompts, each as soon as it and those
            before it are finished. Closing it cancels the rest.

        Raises:
            EndpointError: as in `stream`; the prompt's index is named.
            UsageError: as in `stream`; the prompt's index is named.
        """
        streams: list[RemoteStream] = []
        for index, request in enumerate(make_requests(prompts, settings, self.seed)):
            with _naming(index):
                streams.append(self.stream(request))
        return self._finish_all(streams, listener)

    def _finish_all(
        self, streams: list[RemoteStream], listener: Callable[[int, Event], None] | None
    ) -> Iterator[Completion]:
        threads = ThreadPoolExecutor(self.concurrency)
        try:
            asked = [threads.submit(list[Event], stream) for stream in streams]
            for index, stream in enumerate(streams):
                with _naming(index):
                    events = asked[index].result()
                if listener is not None:
                    for event in events:
                        listener(index, event)
                yield stream.completion
        finally:
            for stream in streams:
                stream.cancel()
            threads.shutdown(cancel_futures=True)

    def render(self, messages: Sequence[Message]) -> str | None:
        """A conversation as the text that the server's model reads, the answer's opening included.

        Returns:
            The text, for a request that continues it; None where the server does not say.

        Raises:
            EndpointError: the server cannot be reached or fails.
            UsageError: the template refuses the messages.
        """
        rendering = self.served.dialect.rendering
        if rendering is None:
            return None
        turns = [{"role": m.role, "content": m.content} for m in messages]
        return RENDERINGS[rendering](self._ask, self.served.model, turns)

    def _ask(self, path: str, question: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the server says at a path of its root; None where it does not know the path."""
        status, body = self._line.post(path, question)
        if status == httpx.codes.OK and isinstance(body, dict):
            return body
        if status in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
            return None  # an older server
        raise self._line.refusal(status, body, path=path, model=None)

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
                raise self._line.refusal(status, body, path="models", model=None)
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


@contextmanager
def _naming(index: int) -> Iterator[None]:
    """Errors name the prompt that they are about."""
    try:
        yield
    except OutriderError as error:
        error.args = (f"Prompt {index}: {error}",)
        raise


def _context(entry: Mapping[str, Any]) -> int | None:
    """VLLM and SGLang say it beside the name, llama.cpp below it."""
    found = entry.get("max_model_len") or (entry.get("meta") or {}).get("n_ctx")
    return int(found) if isinstance(found, int) and found > 0 else None
