"""The parts of a GGUF file as bytes, and how another file is put together from such parts.

A key keeps the bytes that stand in the file, its type included, so that a copy changes nothing
about it. (The values of `GgufFile.metadata` have forgotten whether they were signed, or how wide.)
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3, little endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MAGIC, VERSION = b"GGUF", 3
UINT32, STRING, ARRAY = 4, 8, 9
BYTES_OF_NUMBER = {0: 1, 1: 1, 2: 2, 3: 2, UINT32: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a number or truth value, by the number of its type."""
ALIGNMENT_KEY, ALIGNMENT = "general.alignment", 32


@dataclass(frozen=True, slots=True)
class Parts:
    """What a file consists of.

    Attributes:
        keys: type and value of each key as they stand in the file, in its order.
        offsets: where each tensor's bytes begin, from the start of the file, in its order.
    """

    keys: dict[bytes, bytes]
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorPart:
    """A tensor of a file to be written; the shape has the innermost dimension first."""

    name: str
    shape: tuple[int, ...]
    type: int
    bytes: int


def read_parts(path: Path, alignment: int) -> Parts:
    """The parts of a file that `GgufFile` has opened: its counts and lengths are taken as checked.

    Args:
        path: the file.
        alignment: what its tensors are aligned to, in bytes.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tensor_count, key_count = struct.unpack_from("<QQ", data, 8)
        at = 24
        keys = {}
        for _ in range(key_count):
            value = _end_of_text(data, at)
            end = _end_of_value(data, value)
            keys[data[at + 8 : value]] = data[value:end]
            at = end
        offsets: list[int] = []
        for _ in range(tensor_count):
            at = _end_of_text(data, at)
            (dimensions,) = struct.unpack_from("<I", data, at)
            # The number of dimensions, each of them, and the type stand before the offset.
            at += 4 + 8 * dimensions + 4
            offsets += struct.unpack_from("<Q", data, at)
            at += 8
    start = at + padding(at, alignment)
    return Parts(keys, tuple(start + offset for offset in offsets))


def header(
    keys: Mapping[bytes, bytes], tensors: Sequence[TensorPart], alignment: int = ALIGNMENT
) -> bytes:
    """Everything that stands before the tensors' bytes, padded.

    Each tensor's bytes have to follow in order, each padded to the alignment.
    """
    out = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(keys))]
    out += (_text(name) + value for name, value in keys.items())
    offset = 0
    for tensor in tensors:
        out.append(_text(tensor.name.encode(errors="surrogateescape")))
        out.append(struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape))
        out.append(struct.pack("<IQ", tensor.type, offset))
        offset += tensor.bytes + padding(tensor.bytes, alignment)
    written = b"".join(out)
    return written + bytes(padding(len(written), alignment))


def padding(size: int, alignment: int) -> int:
    """Bytes from a size to the next multiple of the alignment."""
    return -size % alignment


def uint32_value(value: int) -> bytes:
    """A number as a key's type and value."""
    return struct.pack("<II", UINT32, value)


def texts_value(values: Iterable[str]) -> bytes:
    """An array of texts as a key's type and value."""
    texts = [_text(value.encode(errors="surrogateescape")) for value in values]
    return struct.pack("<IIQ", ARRAY, STRING, len(texts)) + b"".join(texts)


def _text(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def _end_of_text(data: mmap.mmap, at: int) -> int:
    (length,) = struct.unpack_from("<Q", data, at)
    return at + 8 + int(length)


def _end_of_value(data: mmap.mmap, at: int) -> int:
    """Where the value of a key ends whose type stands at `at`."""
    (kind,) = struct.unpack_from("<I", data, at)
    at += 4
    if kind == STRING:
        return _end_of_text(data, at)
    if kind != ARRAY:
        return at + BYTES_OF_NUMBER[kind]
    kind, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if kind != STRING:
        return at + int(count) * BYTES_OF_NUMBER[kind]
    for _ in range(count):
        at = _end_of_text(data, at)
    return at
