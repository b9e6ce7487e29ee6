"""The parts of GGUF files: what is taken out of one goes into another unchanged."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Kind
from hypothesis import given
from hypothesis import strategies as st

from outrider.models.gguf import GgufFile
from outrider.models.gguf_parts import (
    TensorPart,
    header,
    padding,
    read_parts,
    texts_value,
    uint32_value,
)
from synthetic import MIXED, write

NUMBERS = "BbHhIif?--Qqd"  # struct's letters in the order of the types; text and array have none


def number(kind: int) -> st.SearchStrategy[bytes]:
    size = struct.calcsize("<" + NUMBERS[kind])
    return st.binary(min_size=size, max_size=size)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


KINDS = [int(kind) for kind in Kind if kind not in (Kind.STRING, Kind.ARRAY)]
TEXTS = st.binary(max_size=12).map(text)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """The type and value of a key, of every kind."""
    kind = draw(st.sampled_from([*KINDS, Kind.STRING]))
    item = TEXTS if kind == Kind.STRING else number(kind)
    if draw(st.booleans()):
        return struct.pack("<I", kind) + draw(item)
    items = draw(st.lists(item, max_size=4))
    return struct.pack("<IIQ", Kind.ARRAY, kind, len(items)) + b"".join(items)


@given(
    keys=st.dictionaries(st.binary(max_size=8), values(), max_size=6),
    sizes=st.lists(st.integers(1, 40), max_size=4),
    alignment=st.sampled_from([1, 32, 128]),
)
def test_what_is_put_together_comes_apart(
    keys: dict[bytes, bytes],
    sizes: list[int],
    alignment: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "parts.gguf"
    keys = {name: value for name, value in keys.items() if name != b"general.alignment"}
    keys[b"general.alignment"] = uint32_value(alignment)
    tensors = [TensorPart(f"t{i}", (n,), Type.F32, 4 * n) for i, n in enumerate(sizes)]
    contents = [np.full(n, i, np.float32).tobytes() for i, n in enumerate(sizes)]
    padded = (data + bytes(padding(len(data), alignment)) for data in contents)
    path.write_bytes(header(keys, tensors, alignment) + b"".join(padded))

    assert [t.shape for t in GgufFile(path).tensors()] == [(n,) for n in sizes]
    parts = read_parts(path, alignment)
    assert parts.keys == keys
    assert list(parts.keys) == list(keys)
    written = path.read_bytes()
    found = [written[o : o + len(c)] for o, c in zip(parts.offsets, contents, strict=True)]
    assert found == contents


def test_a_header_is_what_the_usual_writer_makes_of_it(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write(path, MIXED, keys={"test.list": [1, 2], "test.off": False, "test.empty": ""})
    file = GgufFile(path)
    tensors = [TensorPart(t.name, t.shape, Type[t.type], t.bytes) for t in file.tensors()]
    parts = read_parts(path, 32)

    again = header(parts.keys, tensors)

    assert again == path.read_bytes()[: len(again)]
    assert parts.offsets[0] == len(again)
    read = gguf.GGUFReader(path)
    assert list(parts.offsets) == [int(t.data_offset) for t in read.tensors]


def test_names_and_texts_need_not_be_valid(tmp_path: Path) -> None:
    name, path = b"t\xff".decode(errors="surrogateescape"), tmp_path / "odd.gguf"
    keys = {b"k\xfe": texts_value(["ä", name])}
    path.write_bytes(header(keys, [TensorPart(name, (8,), Type.F32, 32)]) + bytes(32))

    assert GgufFile(path).tensors()[0].name == name
    assert list(GgufFile(path).metadata.values()) == [["ä", name]]
    assert read_parts(path, 32).keys == keys
