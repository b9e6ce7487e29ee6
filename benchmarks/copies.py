"""Copies of a model file that a peer computes faster than the file itself."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import environments
from comparisons import INT8, SAME_FILE, TWIN
from outrider.models.gguf import GgufFile
from outrider.models.quantize import quantize

HERE = Path(__file__).resolve().parent


def files(path: Path, wanted: Iterable[str], folder: Path) -> dict[str, Path]:
    """The file, and each wanted copy of it, made unless `folder` holds it.

    Args:
        path: the model file.
        wanted: what tables call the copies: TWIN, INT8.
        folder: where copies are kept.
    """
    make = {TWIN: _twin, INT8: _int8}
    return {
        SAME_FILE: path,
        **{name: make[name](path, folder) for name in wanted if name != SAME_FILE},
    }


def _twin(path: Path, folder: Path, kind: str = "Q4_0") -> Path:
    """Its matrices in another of GGUF's types."""
    copy = folder / f"{path.stem}.{kind}.gguf"
    if not copy.exists():
        quantize(path, copy, kind)
    return copy


def _int8(path: Path, folder: Path) -> Path:
    """OpenVINO's own format, a scale a channel."""
    copy = folder / f"{path.stem}.int8"
    if not copy.exists():
        real = _twin(path, folder, "F16")
        convert = HERE / "workers" / "openvino_convert.py"
        subprocess.run([environments.openvino(), convert, real, copy], check=True)
    return copy


def describe(path: Path) -> dict[str, Any]:
    """A model file, or a copy, for the record."""
    if path.is_dir():
        return {"file": path.name, "types": "8 bits a weight and a scale a channel, by nncf"}
    file = GgufFile(path)
    return {
        "file": path.name,
        "name": file.name,
        "fingerprint": file.fingerprint(),
        "types": dict(Counter(tensor.type for tensor in file.tensors())),
    }
