"""Servers that answer each prompt with a text of their own, word by word."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import httpx
from remote.streams import chat, end, sse, streamed, usage

from outrider.remote import OpenAIGenerator, Patience

Answers = Mapping[str, str | Sequence[str]]


class Talker(httpx.BaseTransport):
    """A server.

    Args:
        answers: by prompt; of several the next one each time. Anything else is answered "ok then".
        drafts: drafted and accepted tokens that it says every answer had; None says nothing.
        counts: whether it counts its tokens, which are words.
        margin: between the log-probabilities of its best two tokens.
        finish: why its answers end.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        drafts: tuple[int, int] | None = None,
        counts: bool = True,
        margin: float = 0.25,
        finish: str = "stop",
    ) -> None:
        texts = {k: [v] if isinstance(v, str) else list(v) for k, v in answers.items()}
        self._next: dict[str, Iterator[str]] = {k: _in_turn(v) for k, v in texts.items()}
        self._drafts = drafts
        self._counts = counts
        self._margin = margin
        self._finish = finish
        self._lock = threading.Lock()
        self.asked: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "m"}]})
        body = json.loads(request.read())
        prompt = body["messages"][-1]["content"]
        with self._lock:
            self.asked.append(prompt)
            text = next(self._next[prompt]) if prompt in self._next else "ok then"
        words = text.split(" ")
        pieces = [word if i == 0 else f" {word}" for i, word in enumerate(words)]
        chunks = [chat(piece, **self._logprobs(body)) for piece in pieces]
        more: dict[str, Any] = {}
        if self._drafts is not None:
            more["timings"] = dict(zip(("draft_n", "draft_n_accepted"), self._drafts, strict=True))
        last = [usage(7, len(words), **more)] if self._counts else []
        return streamed(sse(*chunks, end(self._finish), *last))

    def _logprobs(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if not body.get("logprobs"):
            return {}
        tops = [{"token": "a", "logprob": 0.0}, {"token": "b", "logprob": -self._margin}]
        return {"logprobs": {"content": [{"token": "a", "logprob": 0.0, "top_logprobs": tops}]}}


def _in_turn(texts: Sequence[str]) -> Iterator[str]:
    return (texts[min(i, len(texts) - 1)] for i in count())


def talking(name: str, answers: Answers, **options: Any) -> OpenAIGenerator:
    transport = Talker(answers, **options)
    return OpenAIGenerator(
        f"http://{name}.test/v1", transport=transport, patience=Patience(retries=0)
    )


def asked(server: OpenAIGenerator) -> list[str]:
    transport = server._line._client._transport
    assert isinstance(transport, Talker)
    return transport.asked
