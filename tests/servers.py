"""llama.cpp's server, as its wheel brings it into this process, for tests of what asks servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contestants import MODES
from server_worker import Wheel


@contextmanager
def llamacpp(model: Path, mode: str = "none", context: int = 2048) -> Iterator[str]:
    """The address of a server of `model` that speculates in a mode of its `--spec-type`."""
    options = dict(MODES[mode])
    server = Wheel(str(model), threads=1, context=context, mode=mode, options=options)
    try:
        yield server.address
    finally:
        server.close()
