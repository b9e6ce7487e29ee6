"""A copy of a model file with its matrices in another type.

What is multiplied with is converted: tensors of two dimensions. Vectors (norms, biases) stay as
they are. For a 4-bit type the token embedding and the output layer stay or become Q8_0 where the
file has them in 8 bits or more: they choose the token, and cost most quality for the bytes saved.
Matrices go through memory in slabs of rows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np

from outrider.errors import ModelFileError, UsageError, unknown_name
from outrider.models.gguf import GgufFile, TensorInfo
from outrider.models.gguf_parts import (
    ALIGNMENT,
    ALIGNMENT_KEY,
    TensorPart,
    header,
    padding,
    read_parts,
    texts_value,
    uint32_value,
)

FILE_TYPES = {"F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7}
"""The types a file can be converted to, and what `general.file_type` calls it then."""
FOUR_BITS = ("Q4_0", "Q4_1")
TOKEN_MATRICES = ("token_embd.weight", "output.weight")
ORIGIN_KEY = "outrider.converted_from"
"""The files a file was converted from, the first one first: name, fingerprint, types."""
QUANTIZATION_VERSION = 2  # of the layouts; readers of quantised files ask for it
LARGEST = float(np.finfo(np.float16).max)  # scales are 16-bit floats in all of these types
SLAB = 1 << 22  # weights

Listener = Callable[[int, int], None]
"""Told the bytes of the source that are done, and all of them."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What becomes of one tensor.

    Attributes:
        name: the tensor's.
        shape: innermost dimension first.
        source: its type in the source.
        target: its type in the copy.
        bytes_before: in the source.
        bytes_after: in the copy.
    """

    name: str
    shape: tuple[int, ...]
    source: str
    target: str
    bytes_before: int
    bytes_after: int

    @property
    def widened(self) -> bool:
        """Whether a weight takes more bits than before: it is no closer to the original for it."""
        return self.bytes_after > self.bytes_before


def quantize(
    source: Path,
    out: Path,
    type_: str,
    *,
    pure: bool = False,
    force: bool = False,
    progress: Listener | None = None,
) -> list[Conversion]:
    """Write a copy of a GGUF file with its matrices in another type.

    Keys are copied as they are, but for `general.file_type`, `general.quantization_version` where
    it is missing, and `outrider.converted_from`. The copy takes its place whole or not at all.

    Args:
        source: the file.
        out: the copy.
        type_: F16, Q8_0, Q4_0 or Q4_1.
        pure: convert the token embedding and the output layer to that type too.
        force: replace a file that is there.
        progress: told how far it is, often.

    Returns:
        What became of each tensor, in the file's order.

    Raises:
        UsageError: the type or the place cannot be honoured, all matrices are of the type
            already, or the package gguf is missing.
        ModelFileError: the source is damaged, or holds what the type cannot; names the tensor.
    """
    target = type_.upper()
    if target not in FILE_TYPES:
        raise unknown_name("type", type_, FILE_TYPES)
    ggml = _gguf()
    _check_place(source, out, force)
    try:
        file = GgufFile(source)
        plan = plan_of(file, target, pure=pure)
    except ModelFileError as error:
        raise ModelFileError(f"{source}: {error}") from error
    if all(c.source == c.target for c in plan):
        raise UsageError(
            f"Every matrix of {source} has the type that a conversion to {target} would give it; "
            "there is nothing to convert."
        )
    with _written(out, sum(c.bytes_after for c in plan)) as written:
        _write(ggml, file, plan, FILE_TYPES[target], written, progress or (lambda *_: None))
    return plan


def plan_of(file: GgufFile, type_: str, *, pure: bool = False) -> list[Conversion]:
    """What a conversion would make of each tensor of a file; nothing is written.

    Args:
        file: as it is.
        type_: one of `FILE_TYPES`.
        pure: as in `quantize`.

    Raises:
        ModelFileError: the file holds what the type cannot; names the tensor.
        UsageError: the package gguf is missing.
    """
    ggml = _gguf()
    return [_conversion(ggml, tensor, type_, pure) for tensor in file.tensors()]


def target_type(tensor: TensorInfo, target: str, bits: float, pure: bool) -> str:
    """The type that a tensor gets in a conversion to `target`.

    Args:
        tensor: as it is.
        target: what was asked for.
        bits: of a weight, as it is.
        pure: make no exception for the matrices of the vocabulary.
    """
    if len(tensor.shape) != 2:
        return tensor.type
    if target in FOUR_BITS and tensor.name in TOKEN_MATRICES and bits >= 8 and not pure:
        return "Q8_0"
    return target


def _conversion(ggml: ModuleType, tensor: TensorInfo, target: str, pure: bool) -> Conversion:
    weights, size = ggml.GGML_QUANT_SIZES[ggml.GGMLQuantizationType[tensor.type]]
    kind = target_type(tensor, target, 8 * size / weights, pure)
    weights, size = ggml.GGML_QUANT_SIZES[ggml.GGMLQuantizationType[kind]]
    if tensor.shape[0] % weights:
        raise ModelFileError(
            f"Tensor '{tensor.name}' has rows of {tensor.shape[0]} weights and {kind} packs "
            f"{weights}; F16 holds rows of any length."
        )
    after = int(np.prod(tensor.shape)) // weights * size
    return Conversion(tensor.name, tensor.shape, tensor.type, kind, tensor.bytes, after)


def _write(
    ggml: ModuleType,
    file: GgufFile,
    plan: list[Conversion],
    file_type: int,
    out: BinaryIO,
    progress: Listener,
) -> None:
    alignment = file.metadata.get(ALIGNMENT_KEY, ALIGNMENT)
    parts = read_parts(file.path, alignment)
    tensors = [
        TensorPart(c.name, c.shape, ggml.GGMLQuantizationType[c.target], c.bytes_after)
        for c in plan
    ]
    out.write(header(_keys(parts.keys, file, file_type), tensors, alignment))
    total, done = sum(c.bytes_before for c in plan), 0
    with file.path.open("rb") as source:
        for conversion, offset in zip(plan, parts.offsets, strict=True):
            source.seek(offset)
            for read, data in _converted(ggml, conversion, source):
                out.write(data)
                done += read
                progress(done, total)
            out.write(bytes(padding(conversion.bytes_after, alignment)))


def _keys(keys: dict[bytes, bytes], file: GgufFile, file_type: int) -> dict[bytes, bytes]:
    """The keys of the copy."""
    types = ", ".join(sorted({tensor.type for tensor in file.tensors()}))
    origin = f"{file.path.name} {file.fingerprint()}: {types}"
    earlier = file.metadata.get(ORIGIN_KEY, [])
    if not isinstance(earlier, list):
        raise ModelFileError(f"{file.path}: The key '{ORIGIN_KEY}' is no list of texts.")
    copied = dict(keys)
    copied.setdefault(b"general.quantization_version", uint32_value(QUANTIZATION_VERSION))
    copied[b"general.file_type"] = uint32_value(file_type)
    copied[ORIGIN_KEY.encode()] = texts_value([*earlier, origin])
    return copied


def _converted(
    ggml: ModuleType, conversion: Conversion, source: BinaryIO
) -> Iterator[tuple[int, bytes]]:
    """A tensor's bytes in the copy, slab by slab, each after the number of bytes it was made of."""
    source_type = ggml.GGMLQuantizationType[conversion.source]
    target_type = ggml.GGMLQuantizationType[conversion.target]
    rows = int(np.prod(conversion.shape[1:]))
    row_bytes = conversion.bytes_before // rows
    slab = max(1, SLAB // conversion.shape[0])
    for first in range(0, rows, slab):
        data = source.read(min(slab, rows - first) * row_bytes)
        if source_type == target_type:
            yield len(data), data
            continue
        packed = np.frombuffer(data, np.uint8).reshape(-1, row_bytes)
        values = ggml.quants.dequantize(packed, source_type)
        # Written so that what is not a number fails too.
        if not np.abs(values).max() <= LARGEST:
            raise ModelFileError(
                f"{source.name}: Tensor '{conversion.name}' has a weight that is not a number or "
                f"beyond {LARGEST:.0f}, which {conversion.target} cannot hold."
            )
        yield len(data), ggml.quants.quantize(values, target_type).tobytes()


def _gguf() -> ModuleType:
    """The package gguf, which an extra brings."""
    try:
        import gguf  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "Converting a model needs the package gguf, which is not installed; the extra "
            "'outrider[quantize]' or pip install gguf brings it."
        ) from error
    return gguf


def _check_place(source: Path, out: Path, force: bool) -> None:
    if out.is_dir():
        raise UsageError(f"{out} is a directory; name the file to write.")
    if not out.parent.is_dir():
        raise UsageError(f"The directory {out.parent} does not exist; make it first.")
    if not out.exists():
        return
    if source.exists() and source.samefile(out):
        raise UsageError(f"{out} is the file to convert; name another to write.")
    if not force:
        raise UsageError(f"{out} exists already; force (--force) replaces it.")


@contextmanager
def _written(out: Path, size: int) -> Iterator[BinaryIO]:
    """A file that takes the place of `out` once everything is written; else nothing is left.

    Args:
        out: its place.
        size: bytes that will be written, about.
    """
    free = shutil.disk_usage(out.parent).free
    if free < size:
        raise UsageError(
            f"The disk that holds {out.parent} has {free / 1e6:.1f} MB free and the copy needs "
            f"{size / 1e6:.1f} MB; free some space or write elsewhere."
        )
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                draft.replace(out)
            finally:
                draft.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"The copy {out} cannot be made: {error}.") from error
