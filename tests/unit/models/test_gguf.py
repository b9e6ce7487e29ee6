"""The reader of GGUF files: what it reads, and what it refuses."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Kind
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.errors import ModelFileError
from outrider.models.gguf import GgufFile
from synthetic import Shape, stored, write

SCALARS: dict[Kind, tuple[str, list[Any]]] = {
    Kind.UINT8: ("<B", [0, 255]),
    Kind.INT8: ("<b", [-128, 127]),
    Kind.UINT16: ("<H", [0, 65535]),
    Kind.INT16: ("<h", [-32768, 32767]),
    Kind.UINT32: ("<I", [0, 2**32 - 1]),
    Kind.INT32: ("<i", [-(2**31), 2**31 - 1]),
    Kind.FLOAT32: ("<f", [0.0, -1.5, float("inf")]),
    Kind.BOOL: ("<?", [True, False]),
    Kind.UINT64: ("<Q", [0, 2**64 - 1]),
    Kind.INT64: ("<q", [-(2**63), 2**63 - 1]),
    Kind.FLOAT64: ("<d", [0.1, -1e300]),
}


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def key(name: str | bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def array(kind: int, count: int, items: bytes) -> bytes:
    return struct.pack("<IQ", kind, count) + items


def tensor(name: str | bytes, shape: list[int], kind: int = 0, offset: int = 0) -> bytes:
    return (
        text(name)
        + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        + struct.pack("<IQ", kind, offset)
    )


def build(
    keys: list[bytes] | None = None,
    tensors: list[bytes] | None = None,
    *,
    data: bytes = bytes(256),
    magic: bytes = b"GGUF",
    version: int = 3,
    tensor_count: int | None = None,
    key_count: int | None = None,
) -> bytes:
    """A file put together by hand."""
    keys, tensors = keys or [], tensors or []
    head = magic + struct.pack(
        "<IQQ",
        version,
        len(tensors) if tensor_count is None else tensor_count,
        len(keys) if key_count is None else key_count,
    )
    head += b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes], GgufFile]:
    def load(content: bytes) -> GgufFile:
        path = tmp_path / "file.gguf"
        path.write_bytes(content)
        return GgufFile(path)

    return load


# ---------------------------------------------------------------------------------- reading


def test_synthetic_model_reads_as_with_the_reference_reader(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    types = {"blk.0.attn_q.weight": Type.F16, "blk.0.attn_k.weight": Type.BF16}
    types |= {"blk.0.attn_v.weight": Type.Q8_0, "blk.1.attn_q.weight": Type.Q4_0}
    write(path, Shape(types=types, rope_freqs=True), keys={"test.list": [1, 2], "test.off": False})
    got, expected = GgufFile(path), gguf.GGUFReader(path)
    fields = {n: f.contents() for n, f in expected.fields.items() if not n.startswith("GGUF.")}
    assert got.metadata == fields
    assert got.name == "synthetic"
    assert [(t.name, t.type, t.shape, t.bytes) for t in got.tensors()] == [
        (t.name, t.tensor_type.name, tuple(map(int, t.shape)), t.n_bytes) for t in expected.tensors
    ]


@pytest.mark.parametrize("kind", SCALARS, ids=lambda k: k.name)
@pytest.mark.parametrize("version", [2, 3])
def test_every_kind_of_number(kind: Kind, version: int, load: Callable[[bytes], GgufFile]) -> None:
    layout, values = SCALARS[kind]
    packed = [struct.pack(layout, value) for value in values]
    keys = [key(f"k{i}", kind, item) for i, item in enumerate(packed)]
    keys.append(key("all", Kind.ARRAY, array(kind, len(values), b"".join(packed))))
    keys.append(key("none", Kind.ARRAY, array(kind, 0, b"")))
    file = load(build(keys, version=version))
    exact = [struct.unpack(layout, item)[0] for item in packed]
    assert file.metadata == {
        **{f"k{i}": value for i, value in enumerate(exact)},
        "all": exact,
        "none": [],
    }
    assert all(type(a) is type(b) for a, b in zip(file.metadata["all"], exact, strict=True))


def test_texts_of_every_sort(load: Callable[[bytes], GgufFile]) -> None:
    keys = [
        key("empty", Kind.STRING, text("")),
        key("zero", Kind.STRING, text("a\0b")),
        key("näme", Kind.STRING, text("€ 🎉")),
        key("bytes", Kind.STRING, text(b"\xff\xfe")),
        key("list", Kind.ARRAY, array(Kind.STRING, 2, text("x") + text(b"\xf0\x9f"))),
    ]
    assert load(build(keys)).metadata == {
        "empty": "",
        "zero": "a\0b",
        "näme": "€ 🎉",
        "bytes": b"\xff\xfe".decode(errors="surrogateescape"),
        "list": ["x", b"\xf0\x9f".decode(errors="surrogateescape")],
    }


def test_a_file_of_keys_alone_needs_no_padding(load: Callable[[bytes], GgufFile]) -> None:
    content = build([key("a", Kind.UINT8, b"\x07")], data=b"").rstrip(b"\0")
    assert load(content).metadata == {"a": 7}


def test_tensor_names_need_not_be_valid_text(load: Callable[[bytes], GgufFile]) -> None:
    (found,) = load(build(tensors=[tensor(b"t\xff", [8])])).tensors()
    assert (found.name, found.type, found.shape, found.bytes) == ("t\udcff", "F32", (8,), 32)


def test_alignment_of_the_file_is_followed(load: Callable[[bytes], GgufFile]) -> None:
    alignment = key("general.alignment", Kind.UINT32, struct.pack("<I", 128))
    tensors = [tensor("a", [8]), tensor("b", [8], offset=128)]
    head = build([alignment], tensors, data=b"")
    assert len(load(head + bytes(-len(head) % 128 + 160)).tensors()) == 2
    with pytest.raises(ModelFileError, match="'b'"):
        load(head + bytes(-len(head) % 128 + 159))


def test_paths_need_not_be_valid_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.gguf"))
    path.write_bytes(build([key("a", Kind.UINT8, b"\x07")]))
    assert GgufFile(path).metadata == {"a": 7}


def test_fingerprint_tells_files_apart(load: Callable[[bytes], GgufFile]) -> None:
    one, other = build(data=bytes(64)), build(data=bytes(63) + b"\1")
    assert load(one).fingerprint() == load(one).fingerprint()
    assert len({load(c).fingerprint() for c in (one, other, build(data=bytes(65)))}) == 3


# --------------------------------------------------------------------------------- refusing


def test_every_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    shape = Shape(layers=1, width=32, heads=2, kv_heads=1, feed_forward=32, vocab=40)
    write(path, shape, keys={"tokenizer.ggml.tokens": ["a", "b", ""], "test.number": 0.5})
    content = path.read_bytes()
    # Files end with padding that belongs to no tensor.
    last = gguf.GGUFReader(path).tensors[-1]
    end = int(last.data_offset + last.n_bytes)
    GgufFile(path)
    data = int(gguf.GGUFReader(path).data_offset)
    for size in [*range(data + 33), *range(data + 33, end, 97), end - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(ModelFileError, match=r"truncated|empty|not a GGUF|ends inside"):
            GgufFile(path)


def test_truncation_names_the_key_or_tensor(load: Callable[[bytes], GgufFile]) -> None:
    content = build([key("some.key", Kind.STRING, text("x" * 100))], [tensor("some.tensor", [64])])
    with pytest.raises(ModelFileError, match=r"'some.key'"):
        load(content[:80])
    with pytest.raises(ModelFileError, match=r"'some.tensor'"):
        load(content[:190])
    with pytest.raises(ModelFileError, match=r"'some.tensor'"):
        load(content[:-1])


HUGE = 2**60
BAD: dict[str, tuple[bytes, str]] = {
    "wrong magic": (build(magic=b"GGML"), "not a GGUF"),
    "version 1": (build(version=1), "version 1 "),
    "version 4": (build(version=4), "version 4 "),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "little endian"),
    "duplicated key": (build([key("a", 0, b"\1"), key("a", 0, b"\1")]), "'a' stands twice"),
    "duplicated tensor": (build(tensors=[tensor("t", [8])] * 2), "'t' stands twice"),
    "unknown value type": (build([key("a", 13, b"\1")]), "'a' has the unknown value type 13"),
    "array of arrays": (build([key("a", 9, array(9, 1, array(0, 1, b"\1")))]), "'a'"),
    "array of unknown type": (build([key("a", 9, array(99, 1, b"\1"))]), "'a'.*99"),
    "huge array": (build([key("a", 9, array(0, HUGE, b"\1"))]), "'a'"),
    "huge array of numbers": (build([key("a", 9, array(12, 2**61, b"\1"))]), "'a'"),
    "huge array of texts": (build([key("a", 9, array(8, HUGE, text("x")))]), "'a'"),
    "huge text": (build([key("a", 8, struct.pack("<Q", 2**64 - 1))]), "'a'"),
    "huge name of a key": (build([struct.pack("<Q", 2**64 - 1)]), "key 1 of 1"),
    "huge number of keys": (build(key_count=HUGE), "key"),
    "huge number of tensors": (build(tensor_count=HUGE, data=b""), "ends inside .*tensor"),
    "no dimensions": (build(tensors=[tensor("t", [])]), "'t' has 0 dimensions"),
    "five dimensions": (build(tensors=[tensor("t", [1] * 5)]), "'t' has 5 dimensions"),
    "a dimension of nothing": (build(tensors=[tensor("t", [8, 0])]), "'t'.*shape"),
    "huge dimension": (build(tensors=[tensor("t", [2**63])]), "'t'"),
    "overflowed shape": (build(tensors=[tensor("t", [2**32, 2**32])]), "'t'.*shape"),
    "shape that wraps to small": (build(tensors=[tensor("t", [2**62, 4, 2])]), "'t'.*shape"),
    "size that wraps to small": (build(tensors=[tensor("t", [2**56, 64])]), "'t'"),
    "unknown tensor type": (build(tensors=[tensor("t", [8], 200)]), "'t'.*type 200"),
    "removed tensor type": (build(tensors=[tensor("t", [32], 4)]), "'t'.*type 4"),
    "broken group": (build(tensors=[tensor("t", [33], 2)]), "'t'.*33.*Q4_0"),
    "crooked offset": (build(tensors=[tensor("t", [8], offset=8)]), "'t'.*multiple of 32"),
    "huge offset": (build(tensors=[tensor("t", [8], offset=2**64 - 32)]), "'t'.*beyond the end"),
    "offset behind the end": (build(tensors=[tensor("t", [8], offset=256)]), "'t'.*beyond"),
    "tensors on the same bytes": (
        build(tensors=[tensor("t", [8], offset=32), tensor("u", [24])]),
        "'u' and 't'.*same bytes",
    ),
    "alignment of nothing": (build([key("general.alignment", 4, bytes(4))]), "general.alignment"),
    "crooked alignment": (
        build([key("general.alignment", 4, struct.pack("<I", 48))]),
        "general.alignment.*48",
    ),
    "huge alignment": (
        build([key("general.alignment", 10, struct.pack("<Q", 2**63))]),
        "general.alignment",
    ),
    "alignment in words": (build([key("general.alignment", 8, text("32"))]), "general.alignment"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_by_name(name: str, load: Callable[[bytes], GgufFile]) -> None:
    content, message = BAD[name]
    with pytest.raises(ModelFileError, match=message):
        load(content)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for path, message in {
        tmp_path: "regular file",
        tmp_path / "missing": "No such file",
        tmp_path / "empty": "empty",
        tmp_path / "pipe": "regular file",
        tmp_path / "empty" / "below": "Not a directory",
    }.items():
        with pytest.raises(ModelFileError, match=message) as caught:
            GgufFile(path)
        assert str(path) in str(caught.value)


@pytest.fixture(scope="module")
def small() -> bytes:
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
    return build(
        [
            key("general.architecture", Kind.STRING, text("llama")),
            key("general.alignment", Kind.UINT32, struct.pack("<I", 32)),
            key("list", Kind.ARRAY, array(Kind.STRING, 2, text("ab") + text("c"))),
            key("numbers", Kind.ARRAY, array(Kind.INT16, 3, bytes(6))),
            key("number", Kind.FLOAT64, bytes(8)),
        ],
        [tensor("a", [32, 2], int(Type.Q8_0)), tensor("b", [4, 2, 2], 0, 96)],
        data=stored(values, Type.Q8_0).tobytes() + bytes(28 + 64),
    )


@settings(max_examples=400, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=6)
)
def test_flipped_bytes_load_or_are_refused(
    flips: list[tuple[int, int]], small: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(small)
    for place, bits in flips:
        content[place % len(content)] ^= bits
    path = tmp_path_factory.getbasetemp() / "flipped.gguf"
    path.write_bytes(content)
    try:
        file = GgufFile(path)
    except ModelFileError as error:
        assert str(error)  # noqa: PT017  # either outcome is right
    else:
        assert sum(t.bytes for t in file.tensors()) <= 2 * len(content)
