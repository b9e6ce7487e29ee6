from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from models.file_server import FileServer

from outrider.models import catalogue, transfer

PREFIXES = ("OUTRIDER_", "HF_", "PIP_", "UV_", "XDG_", "REQUESTS_CA", "CURL_CA")


@pytest.fixture
def server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment that knows nothing but an empty cache."""
    for name in os.environ:
        if name.startswith(PREFIXES) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("OUTRIDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "ENTRIES", dict(catalogue.ENTRIES))
    monkeypatch.setattr(transfer, "FIRST_PAUSE_S", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def index(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """The server, as the package index and the hub of this machine."""
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    return server
