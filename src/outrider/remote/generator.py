"""A server that speaks the OpenAI protocol, as a `Generator`."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, Unpack

import httpx

from outrider.errors import EndpointError, UsageError, unknown_name
from outrider.remote import dialect
from outrider.remote.address import Address
from outrider.remote.asked import Asked
from outrider.remote.dialect import Dialect
from outrider.remote.http import KEY_VARIABLES, Line, Patience
from outrider.remote.question import write
from outrider.remote.stream import RemoteStream
from outrider.sampling import derive_seed, draw_seed
from outrider.settings import Prompt, Settings, make_request
from outrider.types import Completion


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
        exchanges = [Asked(self._line, question) for question in questions]
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
