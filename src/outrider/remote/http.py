"""The line to a server: requests with time-outs and retries, and errors as sentences."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx

from outrider.errors import EndpointError, OutriderError, UsageError
from outrider.remote import sse
from outrider.remote.address import Address
from outrider.remote.answer import DONE, message

KEY_VARIABLES: Final = ("OUTRIDER_API_KEY", "OPENAI_API_KEY")

_BUSY: Final = 429
_TOO_LONG: Final = re.compile(
    r"exceed_context|context_length_exceeded|context (?:length|size|window)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is waited for; seconds.

    Attributes:
        connect: for a connection.
        silence: between two events of an answer, and for the first.
        retries: how often what failed before the first event is tried again.
        backoff: before the first retry, doubled before each further one, up to half of it more or
            less by chance. A server's own Retry-After wins.
        longest: that a server may ask for by Retry-After.
    """

    connect: float = 10.0
    silence: float = 600.0
    retries: int = 2
    backoff: float = 0.5
    longest: float = 60.0

    def __post_init__(self) -> None:
        for name in ("connect", "silence", "longest"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} has to be above 0 seconds, not {getattr(self, name)!r}.")
        if self.retries < 0 or self.backoff < 0:
            raise UsageError("retries and backoff have to be at least 0.")

    def pause(self, attempt: int, asked: float | None) -> float:
        """Seconds before another attempt.

        Args:
            attempt: how many there were, less one.
            asked: what the server asks for, if it does.
        """
        if asked is not None:
            return asked
        return self.backoff * 2.0**attempt * random.uniform(0.5, 1.5)


class _Again(Exception):  # noqa: N818 - no error of its own: what is tried once more
    """What may work when it is tried again."""

    def __init__(self, error: EndpointError, after: float | None = None) -> None:
        self.error = error
        self.after = after


class Line:
    """A server, as this process reaches it; safe from any thread.

    Args:
        address: where it is.
        key: sent as a bearer token; None sends none.
        patience: how long it is waited for.
        transport: for tests; None takes the network.
    """

    def __init__(
        self,
        address: Address,
        key: str | None,
        patience: Patience,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.address = address
        self.patience = patience
        self._key = key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(patience.silence, connect=patience.connect, pool=None),
            # Without TLS a new connection costs nothing, and can be shut before an answer begins.
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=None if address.base.startswith("https:") else 0,
            ),
            trust_env=not address.is_local,
            transport=transport,
        )

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON (None where it is none) of something small.

        Raises:
            EndpointError: the server cannot be reached.
        """
        for attempt in range(self.patience.retries + 1):
            try:
                with _Failures(self.address.shown, self.patience.connect, self.patience.connect):
                    answer = self._client.get(
                        f"{self.address.base}/{path}", timeout=self.patience.connect
                    )
                break
            except _Again as again:
                self._wait(again, attempt, threading.Event())
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, None

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def refuse(self, status: int, body: object, *, path: str, model: str | None) -> OutriderError:
        """The error that a status and a body stand for."""
        said, base = message(body), self.address.shown
        because = f": {said}." if said else "."
        if status in (401, 403):
            variable = KEY_VARIABLES[0]
            missing = f"wants a key; set {variable}" if not self._key else "refuses the key it got"
            return EndpointError(f"{base} {missing}{because}")
        if status == 404 and model is not None and "model" in said.lower():
            return EndpointError(
                f"{base} has no model {model!r}, and {base}/models lists those it has{because}"
            )
        if status in (404, 405):
            return EndpointError(
                f"{base} has no {path}, so it is no address of the OpenAI protocol; most end in "
                "/v1."
            )
        if 300 <= status < 400:
            return EndpointError(f"{base} has moved; write the address that it has moved to.")
        if status == _BUSY:
            return EndpointError(f"{base} takes no more requests for now{because}")
        if status >= 500:
            return EndpointError(f"{base} failed with status {status}{because}")
        if _TOO_LONG.search(json.dumps(body)):
            return UsageError(
                f"The prompt does not fit the context of the model at {base}; shorten it, or "
                f"lower max_tokens{because}"
            )
        return UsageError(f"{base} refuses the request{because}")

    def _wait(self, again: _Again, attempt: int, cancelled: threading.Event) -> None:
        """Wait for the next attempt, or raise what came of the last one."""
        pause = self.patience.pause(attempt, again.after)
        if attempt == self.patience.retries:
            raise again.error
        if pause > self.patience.longest:
            raise EndpointError(f"{again.error} It asks to wait {pause:.0f} seconds.")
        cancelled.wait(pause)


@dataclass(frozen=True, slots=True)
class _Failures:
    """Turns what goes wrong on the way into sentences; what may work again is `_Again`."""

    base: str
    connect: float
    silence: float

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, failure: BaseException | None, _: object) -> None:
        if not isinstance(failure, httpx.TransportError):
            return
        base = self.base
        if isinstance(failure, httpx.ReadTimeout):
            raise EndpointError(
                f"{base} has said nothing for {self.silence:g} seconds; raise the time-out, "
                "or look at its log."
            ) from failure
        if isinstance(failure, httpx.ConnectTimeout):
            text = f"{base} cannot be reached within {self.connect:g} seconds."
        elif isinstance(failure, httpx.ConnectError):
            text = f"Nobody answers at {base} ({failure}); start the server or correct the address."
        else:
            text = f"The connection to {base} broke: {failure or type(failure).__name__}."
        raise _Again(EndpointError(text)) from failure


class Exchange:
    """One question to a server, and the data of the events of its answer.

    Args:
        line: the server.
        path: behind its base address.
        body: JSON.
        model: that is asked, for messages.
    """

    def __init__(self, line: Line, path: str, body: Mapping[str, Any], model: str) -> None:
        self._line = line
        self._path = path
        self._body = body
        self._model = model
        self._stream: Any = None  # httpcore's network stream, while there is one
        self._cancelled = threading.Event()
        self.attempts = 0

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End it, from any thread: the connection is shut, which ends the server's work too."""
        self._cancelled.set()
        _shut(self._stream)

    def events(self) -> Iterator[str]:
        """The data of the events as they come, without the protocol's last one.

        Tried again as `Patience` says, until the first event has come. A cancelled one ends early.

        Raises:
            EndpointError: the server cannot be reached, refuses, fails or falls silent.
            UsageError: it cannot do what is asked.
        """
        while not self.cancelled:
            try:
                with closing(self._attempt()) as data:
                    yield from data
                break
            except _Again as again:
                if self.cancelled:
                    return
                if self._begun:
                    raise again.error from again
                self._line._wait(again, self.attempts - 1, self._cancelled)

    def _attempt(self) -> Generator[str]:
        self.attempts += 1
        self._begun = False
        line = self._line
        request = line._client.build_request(
            "POST",
            f"{line.address.base}/{self._path}",
            json=dict(self._body),
            extensions={"trace": self._trace},
        )
        with _Failures(line.address.shown, line.patience.connect, line.patience.silence):
            response = line._client.send(request, stream=True)
            try:
                self._hold(response.extensions.get("network_stream"))
                self._check(response)
                stream = sse.events(response.iter_bytes())
                for data in stream:
                    if self.cancelled:
                        return
                    if data.strip() == DONE:
                        break
                    self._begun = True
                    yield data
                # A body that was read to its end leaves a connection that can be used again.
                with suppress(httpx.TransportError):
                    deque(stream, maxlen=0)
            finally:
                self._stream = None
                response.close()

    def _trace(self, event: str, about: Mapping[str, Any]) -> None:
        """Told by httpcore what happens."""
        if event == "connection.connect_tcp.complete":
            self._hold(about["return_value"])

    def _hold(self, stream: Any) -> None:
        """Keep what has to be shut when the exchange is cancelled, perhaps at once."""
        self._stream = stream
        if self.cancelled:
            _shut(stream)

    def _check(self, response: httpx.Response) -> None:
        """Raise for an answer that is none."""
        status = response.status_code
        if status == httpx.codes.OK:
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                response.read()
                # Some say what is wrong with status 200.
                body = _json(response)
                because = f": {message(body)}" if isinstance(body, dict) else ""
                raise EndpointError(
                    f"{self._line.address.shown} does not stream its answer{because}."
                )
            return
        response.read()
        error = self._line.refuse(status, _json(response), path=self._path, model=self._model)
        if status == _BUSY or (status >= 500 and status != httpx.codes.NOT_IMPLEMENTED):
            assert isinstance(error, EndpointError)
            raise _Again(error, _retry_after(response))
        raise error


def _json(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return response.text[:200]


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; the header's other form, a date, is left to the backoff."""
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None


def _shut(stream: Any) -> None:
    """Shut a connection, which wakes the thread that waits for it."""
    connection = None if stream is None else stream.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
