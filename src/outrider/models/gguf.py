"""GGUF files as Python sees them; the reading itself is done by the extension."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outrider._native import Gguf


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file; the shape has the innermost dimension first."""

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int


class GgufFile:
    """An opened file: its keys and tensors, checked.

    Raises:
        ModelFileError: the file is truncated, inconsistent or not GGUF.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.native = Gguf(os.fsencode(path))
        self.metadata: dict[str, Any] = self.native.metadata()

    @property
    def name(self) -> str:
        """What the file calls its model, else the file's own name."""
        return str(self.metadata.get("general.name") or self.path.stem)

    def tensors(self) -> list[TensorInfo]:
        """Every tensor of the file."""
        return [
            TensorInfo(name, type_, tuple(shape), size)
            for name, type_, shape, size in self.native.tensors()
        ]

    def fingerprint(self) -> str:
        """Tells files apart without reading them whole: size, beginning and end, hashed."""
        head, tail = 4 << 20, 1 << 16
        size = self.native.size
        digest = hashlib.sha256(size.to_bytes(8, "little"))
        with self.path.open("rb") as file:
            digest.update(file.read(head))
            file.seek(max(0, size - tail))
            digest.update(file.read(tail))
        return digest.hexdigest()[:16]
