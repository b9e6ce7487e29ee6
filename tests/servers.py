"""llama.cpp's server, as its wheel brings it into this process, for tests of what asks servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llamacpp_wheel import Wheel
from outrider.lab.peers.contestants import MODES


@contextmanager
def llamacpp(model: Path, mode: str = "none", context: int = 2048) -> Iterator[str]:
    """The address of a server of `model` that speculates in a mode of its `--spec-type`."""
    options = MODES.get(mode, {})
    server = Wheel(str(model), threads=1, context=context, mode=mode, options=options)
    try:
        yield server.address
    finally:
        server.close()
