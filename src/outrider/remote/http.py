"""The line to a server: requests with time-outs, retries and cancellation."""

from __future__ import annotations

import itertools
import random
import socket
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from outrider.errors import EndpointError, OutriderError, UsageError
from outrider.remote import sse
from outrider.remote.address import Address
from outrider.remote.answer import DONE, message
from outrider.remote.failures import BUSY, Again, Failures, refusal, retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is waited for; seconds.

    Attributes:
        connect: for a connection.
        silence: that a server may say nothing while it is waited for.
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
        self._with_key = bool(key)
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
        """Status and content (JSON, or the beginning of a text) of something small.

        Raises:
            EndpointError: the server cannot be reached.
        """
        return self._small("GET", f"{self.address.base}/{path}", path)

    def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """The same of a small question beside the protocol, at the server's root.

        Raises:
            EndpointError: the server cannot be reached.
        """
        return self._small("POST", f"{self.address.root}/{path}", path, body)

    def _small(
        self, method: str, url: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        for attempt in itertools.count():
            try:
                with Failures(self.address.shown, self.patience.connect, self.patience.connect):
                    answer = self._client.request(
                        method, url, json=body, timeout=self.patience.connect
                    )
                self._look_for_passing(answer, path=path, model=None)
                return answer.status_code, _json(answer)
            except Again as again:
                self._wait(again, attempt, threading.Event())
        raise AssertionError("the last attempt raises")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def refusal(self, status: int, body: object, *, path: str, model: str | None) -> OutriderError:
        """The error that a status and a body stand for."""
        base = self.address.shown
        return refusal(base, status, body, path=path, model=model, with_key=self._with_key)

    def _look_for_passing(self, response: httpx.Response, *, path: str, model: str | None) -> None:
        """Raise `Again` for a status that may pass; the response is read."""
        status = response.status_code
        if status == BUSY or (status >= 500 and status != httpx.codes.NOT_IMPLEMENTED):
            error = self.refusal(status, _json(response), path=path, model=model)
            raise Again(error, retry_after(response))

    def _wait(self, again: Again, attempt: int, cancelled: threading.Event) -> None:
        """Wait for the next attempt, or raise what came of the last one."""
        pause = self.patience.pause(attempt, again.after)
        if attempt == self.patience.retries:
            raise again.error
        if pause > self.patience.longest:
            raise EndpointError(f"{again.error} It asks to wait {pause:.0f} seconds.")
        cancelled.wait(pause)


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
            except Again as again:
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
        with Failures(line.address.shown, line.patience.connect, line.patience.silence):
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
        self._line._look_for_passing(response, path=self._path, model=self._model)
        raise self._line.refusal(status, _json(response), path=self._path, model=self._model)


def _json(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return response.text[:200]


def _shut(stream: Any) -> None:
    """Shut a connection, which wakes the thread that waits for it."""
    connection = None if stream is None else stream.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
