"""A small reader of GGUF metadata, so that tests of one part do not depend on another."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

_SCALARS = dict(enumerate("BbHhIif?__Qqd"))  # struct codes by GGUF type
_STRING, _ARRAY = 8, 9


def read_metadata(path: Path) -> dict[str, Any]:
    """The keys and values of a GGUF file (version 2 or 3, little-endian)."""
    with path.open("rb") as file:
        head = file.read(32 << 20)
    if head[:4] != b"GGUF":
        raise ValueError(f"{path} is no GGUF file")
    (count,) = struct.unpack_from("<Q", head, 16)
    at = 24

    def scalar(code: str) -> Any:
        nonlocal at
        (value,) = struct.unpack_from("<" + code, head, at)
        at += struct.calcsize("<" + code)
        return value

    def string() -> str:
        nonlocal at
        size = scalar("Q")
        at += size
        return head[at - size : at].decode()

    def value(kind: int) -> Any:
        nonlocal at
        if kind == _STRING:
            return string()
        if kind == _ARRAY:
            element, size = scalar("I"), scalar("Q")
            if element in (_STRING, _ARRAY):
                return [value(element) for _ in range(size)]
            layout = f"<{size}{_SCALARS[element]}"
            at += struct.calcsize(layout)
            return list(struct.unpack_from(layout, head, at - struct.calcsize(layout)))
        return scalar(_SCALARS[kind])

    return {string(): value(scalar("I")) for _ in range(count)}
