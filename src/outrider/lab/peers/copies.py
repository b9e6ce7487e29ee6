"""Copies of a model file that an engine computes faster than the file, or in its place."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from outrider.lab.peers import environments
from outrider.models.gguf import GgufFile
from outrider.models.quantize import quantize

SAME_FILE, TWIN = "same file", "Q4_0 copy"
INT8, BFLOAT16 = "8-bit copy", "bfloat16 copy"

SCRIPTS: Final = Path(__file__).resolve().parent / "workers"


def copy_of(path: Path, kind: str, folder: Path) -> Path:
    """The file itself, or a copy of it, made unless the folder holds it.

    Args:
        path: the model file.
        kind: SAME_FILE, TWIN (in Q4_0, llama.cpp's fastest type), INT8 (OpenVINO's own format with
            a scale a channel, whose passes over drafted tokens are its fastest), or BFLOAT16
            (unpacked, as transformers writes it).
        folder: where copies are kept; one for each model file.

    Raises:
        OutriderError: it cannot be made.
    """
    if kind == SAME_FILE:
        return path
    made = folder / f"{path.stem}.{kind.replace(' ', '-')}{'.gguf' if kind == TWIN else ''}"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        MAKERS[kind](path, made)
    return made


def describe(path: Path) -> dict[str, Any]:
    """A model file, or a copy, for the record."""
    if path.is_dir():
        return {"file": path.name}
    file = GgufFile(path)
    return {
        "file": path.name,
        "name": file.name,
        "fingerprint": file.fingerprint(),
        "types": dict(Counter(tensor.type for tensor in file.tensors())),
    }


def _q4_0(path: Path, out: Path) -> None:
    quantize(path, out, "Q4_0")


def _int8(path: Path, out: Path) -> None:
    # Of its readings of GGUF types that of real-valued weights is the exact one.
    real = out.with_name(f"{path.stem}.F16.gguf")
    if not real.exists():
        quantize(path, real, "F16")
    _convert("openvino_convert", environments.openvino(), real, out)


def _bfloat16(path: Path, out: Path) -> None:
    _convert("transformers_convert", environments.transformers(), path, out)


def _convert(script: str, interpreter: Path, source: Path, out: Path) -> None:
    """Have an engine write a folder, which takes its place whole."""
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    environments.run(out.name, interpreter, SCRIPTS / f"{script}.py", source, part)
    part.replace(out)


MAKERS: Final[Mapping[str, Callable[[Path, Path], None]]] = {
    TWIN: _q4_0,
    INT8: _int8,
    BFLOAT16: _bfloat16,
}
