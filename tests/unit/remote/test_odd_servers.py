"""Servers of real sockets that behave oddly: silent, cut off, watched while they are cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from remote.streams import HELLO, chat, event, sse

from outrider.errors import EndpointError
from outrider.remote import OpenAIGenerator, Patience

PATIENCE_S = 30
MODELS = b'{"data": [{"id": "m"}]}'


class Handler(BaseHTTPRequestHandler):
    """Answers a question by the server's `behave`, chunk by chunk."""

    protocol_version = "HTTP/1.1"
    server: OddServer

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(MODELS)))
        self.end_headers()
        self.wfile.write(MODELS)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.behave(self)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def whole(self, data: bytes) -> None:
        self.begin()
        self.chunk(data)
        self.chunk(b"")

    def log_message(self, *_: object) -> None:
        pass


class OddServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behave: Callable[[Handler], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave = behave

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def serving(behave: Callable[[Handler], None]) -> Iterator[str]:
    server = OddServer(behave)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_falls_silent_is_given_up() -> None:
    over = threading.Event()

    def behave(handler: Handler) -> None:
        handler.begin()
        handler.chunk(event(chat("Hel")))
        over.wait(PATIENCE_S)

    patience = Patience(silence=0.05, retries=0)
    with serving(behave) as address, OpenAIGenerator(address, patience=patience) as remote:
        completion = remote.generate("x", max_tokens=5)
        over.set()

    assert completion.text == "Hel"
    assert "has said nothing for 0.05 seconds" in (completion.choices[0].error or "")


def test_a_server_that_never_begins_is_given_up_and_not_asked_again() -> None:
    over, asked = threading.Event(), []

    def behave(handler: Handler) -> None:
        asked.append(handler)
        over.wait(PATIENCE_S)

    patience = Patience(silence=0.05, retries=2)
    with serving(behave) as address, OpenAIGenerator(address, patience=patience) as remote:
        with pytest.raises(EndpointError, match=r"has said nothing for 0\.05 seconds"):
            remote.generate("x", max_tokens=5)
        over.set()

    assert len(asked) == 1


def test_a_connection_cut_amid_an_answer_keeps_what_came() -> None:
    def behave(handler: Handler) -> None:
        handler.begin()
        handler.chunk(event(chat("Hel")))
        handler.close_connection = True

    with serving(behave) as address, OpenAIGenerator(address) as remote:
        completion = remote.generate("x", max_tokens=5)

    assert (completion.text, completion.finish_reason) == ("Hel", "error")
    assert "The connection to http://127.0.0.1:" in (completion.choices[0].error or "")


@pytest.mark.parametrize("how", ["close", "cancel", "drop"])
def test_the_server_notices_that_an_answer_is_no_longer_wanted(how: str) -> None:
    noticed = threading.Event()

    def behave(handler: Handler) -> None:
        handler.begin()
        handler.chunk(event(chat("a")))
        handler.connection.settimeout(PATIENCE_S)
        if not handler.connection.recv(1):  # the other side is closed
            noticed.set()

    with serving(behave) as address, OpenAIGenerator(address) as remote:
        stream = remote.stream("x", max_tokens=5)
        next(stream)
        if how == "close":
            stream.close()
        elif how == "cancel":
            # While another thread waits for the next event.
            waiting = threading.Thread(target=stream.finish)
            waiting.start()
            stream.cancel()
            waiting.join(PATIENCE_S)
            assert not waiting.is_alive()
        if how != "drop":
            assert stream.completion.finish_reason == "cancelled"
            assert stream.completion.text == "a"
        del stream
        assert noticed.wait(PATIENCE_S)


def test_a_server_that_has_not_begun_is_left_at_once() -> None:
    asked, noticed = threading.Event(), threading.Event()

    def behave(handler: Handler) -> None:
        asked.set()
        handler.connection.settimeout(PATIENCE_S)
        if not handler.connection.recv(1):
            noticed.set()

    with serving(behave) as address, OpenAIGenerator(address) as remote:
        stream = remote.stream("x", max_tokens=5)
        waiting = threading.Thread(target=stream.finish)
        waiting.start()
        assert asked.wait(PATIENCE_S)
        stream.cancel()
        waiting.join(PATIENCE_S)

        assert stream.completion.finish_reason == "cancelled"
        assert noticed.wait(PATIENCE_S)


def test_many_threads_share_a_generator() -> None:
    def behave(handler: Handler) -> None:
        handler.whole(sse(*HELLO))

    texts: list[str] = []
    with serving(behave) as address, OpenAIGenerator(address) as remote:
        threads = [
            threading.Thread(target=lambda: texts.append(remote.generate("x").text))
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)

    assert texts == ["Hello"] * 12


def test_nobody_at_an_address() -> None:
    with serving(lambda _: None) as address:
        pass

    with (
        OpenAIGenerator(address, patience=Patience(backoff=0.0)) as remote,
        pytest.raises(EndpointError, match=r"^Nobody answers at http://127\.0\.0\.1:\d+/v1 "),
    ):
        remote.generate("x")
