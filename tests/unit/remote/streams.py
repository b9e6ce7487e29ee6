"""What servers send, written down: streams of chunks, and transports that answer with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import httpx

from outrider.remote import OpenAIGenerator, Patience

BASE = "http://server.test/v1"
EAGER = Patience(backoff=0.0, retries=2)


def event(chunk: object) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def chat(text: str | None, **choice: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None} | choice]}


def text(content: str, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": content, "finish_reason": None} | choice]}


def end(reason: str = "stop", **choice: Any) -> dict[str, Any]:
    return chat(None, finish_reason=reason, **choice)


def usage(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"choices": [], "usage": counts, **more}


def sse(*chunks: object, done: bool = True) -> bytes:
    return b"".join(map(event, chunks)) + (b"data: [DONE]\n\n" if done else b"")


HELLO = (chat("Hel"), chat("lo"), end(), usage(3, 2))


class Pieces(httpx.SyncByteStream):
    """A body that comes in these pieces, and perhaps breaks."""

    def __init__(self, pieces: Iterable[bytes], failure: Exception | None = None) -> None:
        self._pieces = pieces
        self._failure = failure

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._failure is not None:
            raise self._failure


def streamed(*pieces: bytes, failure: Exception | None = None) -> httpx.Response:
    headers = {"content-type": "text/event-stream"}
    return httpx.Response(200, headers=headers, stream=Pieces(pieces, failure))


class Scripted(httpx.BaseTransport):
    """A server that answers questions with a script's entries in turn, and says what it has.

    An entry is a response, or an exception to be raised. What was asked is in `bodies`.
    """

    def __init__(
        self,
        *script: httpx.Response | Exception,
        owner: str = "",
        models: Sequence[str] = ("m",),
        entry: dict[str, Any] | None = None,
    ) -> None:
        self._script = list(script)
        self._models = [{"id": name, "owned_by": owner} | (entry or {}) for name in models]
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers.get("authorization"))
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"object": "list", "data": self._models})
        self.paths.append(request.url.path)
        self.bodies.append(json.loads(request.read()))
        answer = self._script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def generator(transport: httpx.BaseTransport, **more: Any) -> OpenAIGenerator:
    return OpenAIGenerator(BASE, transport=transport, **({"patience": EAGER} | more))
