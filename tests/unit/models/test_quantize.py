"""Copies of model files in other types: what is in them, and what is refused."""

from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from outrider.engines.native import NativeEngine
from outrider.errors import ModelFileError, OutriderError, UsageError
from outrider.models import quantize as module
from outrider.models.gguf import GgufFile
from outrider.models.gguf_parts import TensorPart, header, padding, read_parts
from outrider.models.quantize import FILE_TYPES, ORIGIN_KEY, Conversion, quantize
from synthetic import MIXED, Shape, random_tensors, stored, write

EMBEDDING = "token_embd.weight"
FULL = Shape(type=Type.F32)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model in 32-bit floats."""
    write(tmp_path / "full.gguf", FULL)
    return tmp_path / "full.gguf"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "copy.gguf"


def contents(path: Path) -> dict[str, tuple[str, bytes]]:
    """Type and bytes of each tensor, read by the usual reader."""
    tensors = gguf.GGUFReader(path).tensors
    return {t.name: (t.tensor_type.name, t.data.tobytes()) for t in tensors}


def types(plan: list[Conversion]) -> dict[str, str]:
    return {c.name: c.target for c in plan}


# ------------------------------------------------------------------------------- what is made


@pytest.mark.parametrize("target", FILE_TYPES)
@pytest.mark.parametrize("slab", [1, 200, 1 << 22])
def test_matrices_are_what_the_type_makes_of_them(
    target: str, slab: int, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLAB", slab)
    plan = quantize(source, out, target, pure=True)

    found = contents(out)
    assert list(found) == [c.name for c in plan] == list(random_tensors(FULL))
    for name, values in random_tensors(FULL).items():
        kind = Type.F32 if values.ndim == 1 else Type[target]
        assert found[name] == (kind.name, stored(values, kind).tobytes())
    sizes = [(c.bytes_before, c.bytes_after) for c in plan]
    before, after = contents(source).values(), found.values()
    assert sizes == [(len(a[1]), len(b[1])) for a, b in zip(before, after, strict=True)]


@pytest.mark.parametrize("target", FILE_TYPES)
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_the_engine_computes_the_copy(target: str, family: str, tmp_path: Path, out: Path) -> None:
    write(tmp_path / "f.gguf", Shape(family=family, type=Type.BF16, tied=False))
    quantize(tmp_path / "f.gguf", out, target, pure=True)

    engine = NativeEngine(out, threads=1, cache_bytes=1 << 20)

    assert [kind.split(" → ")[0] for kind in engine.repacked] == [target]


def test_the_matrices_of_the_vocabulary_keep_8_bits(tmp_path: Path, out: Path) -> None:
    shape = Shape(type=Type.F16, tied=False, types={"output.weight": Type.Q8_0})
    write(tmp_path / "f.gguf", shape)
    for target in ("Q4_0", "Q4_1"):
        found = types(quantize(tmp_path / "f.gguf", out, target, force=True))
        assert found.pop(EMBEDDING) == found.pop("output.weight") == "Q8_0"
        assert set(found.values()) == {target, "F32"}
        assert contents(out)["output.weight"] == contents(tmp_path / "f.gguf")["output.weight"]
    found = types(quantize(tmp_path / "f.gguf", out, "Q4_0", force=True, pure=True))
    assert found[EMBEDDING] == found["output.weight"] == "Q4_0"
    found = types(quantize(tmp_path / "f.gguf", out, "F16", force=True))
    assert found[EMBEDDING] == found["output.weight"] == "F16"


def test_fewer_than_8_bits_are_not_widened_for_the_vocabulary(tmp_path: Path, out: Path) -> None:
    write(tmp_path / "f.gguf", Shape(type=Type.Q5_0))
    assert types(quantize(tmp_path / "f.gguf", out, "Q4_0"))[EMBEDDING] == "Q4_0"


def test_more_bits_than_before_are_called_widened(tmp_path: Path, out: Path) -> None:
    write(tmp_path / "f.gguf", MIXED)
    plan = quantize(tmp_path / "f.gguf", out, "Q8_0")
    assert {(c.source, c.widened) for c in plan} == {
        ("Q4_0", True),
        ("Q4_1", True),
        ("Q5_0", True),
        ("Q5_1", True),
        ("Q8_0", False),
        ("F16", False),
        ("F32", False),
    }


def test_super_blocks_are_read_and_types_may_be_written_small(tmp_path: Path, out: Path) -> None:
    shape = Shape(
        width=256, feed_forward=256, type=Type.Q6_K, types={"blk.0.ffn_up.weight": Type.Q4_K}
    )
    weights = write(tmp_path / "f.gguf", shape)
    quantize(tmp_path / "f.gguf", out, "q8_0")
    for name in (EMBEDDING, "blk.0.ffn_up.weight"):
        expected = gguf.quants.quantize(weights[name].astype(np.float32), Type.Q8_0)
        assert contents(out)[name] == ("Q8_0", expected.tobytes())


def test_tensors_of_other_dimensions_are_copied(tmp_path: Path, out: Path) -> None:
    cube = np.linspace(-1, 1, 4 * 2 * 32, dtype=np.float32).reshape(4, 2, 32)
    write(tmp_path / "f.gguf", FULL, tensors={"cube": (cube, Type.F32)})
    plan = quantize(tmp_path / "f.gguf", out, "Q4_0")
    assert types(plan)["cube"] == "F32"
    assert contents(out)["cube"] == ("F32", cube.tobytes())


def test_keys_are_copied_with_their_types(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "f.gguf"
    write(path, FULL, keys={"test.list": [1, -2], "test.off": False, "general.file_type": 0})
    quantize(path, out, "Q4_1")

    before, after = (read_parts(p, 32).keys for p in (path, out))
    news = {b"general.file_type", b"general.quantization_version", ORIGIN_KEY.encode()}
    assert {k: v for k, v in after.items() if k not in news} == {
        k: v for k, v in before.items() if k not in news
    }
    metadata = GgufFile(out).metadata
    assert metadata["general.file_type"] == gguf.LlamaFileType.MOSTLY_Q4_1
    assert metadata["general.quantization_version"] == gguf.GGML_QUANT_VERSION
    assert metadata[ORIGIN_KEY] == [f"f.gguf {GgufFile(path).fingerprint()}: F32"]


def test_a_copy_of_a_copy_names_both(source: Path, out: Path, tmp_path: Path) -> None:
    quantize(source, out, "Q4_0")
    quantize(out, tmp_path / "wide.gguf", "Q8_0")

    first, second = GgufFile(tmp_path / "wide.gguf").metadata[ORIGIN_KEY]
    assert first == f"full.gguf {GgufFile(source).fingerprint()}: F32"
    assert second == f"copy.gguf {GgufFile(out).fingerprint()}: F32, Q4_0, Q8_0"


def test_a_wider_alignment_is_kept(source: Path, tmp_path: Path, out: Path) -> None:
    tensors = [
        TensorPart(t.name, t.shape, Type[t.type], t.bytes) for t in GgufFile(source).tensors()
    ]
    keys = read_parts(source, 32).keys | {b"general.alignment": b"\4\0\0\0\0\1\0\0"}
    data = [values[1] + bytes(padding(len(values[1]), 256)) for values in contents(source).values()]
    (tmp_path / "wide.gguf").write_bytes(header(keys, tensors, 256) + b"".join(data))

    quantize(tmp_path / "wide.gguf", out, "Q4_0")

    assert all(offset % 256 == 0 for offset in read_parts(out, 256).offsets)
    quantize(source, tmp_path / "other.gguf", "Q4_0")
    assert contents(out) == contents(tmp_path / "other.gguf")


def test_progress_counts_the_bytes_of_the_source(source: Path, out: Path) -> None:
    told: list[tuple[int, int]] = []
    plan = quantize(source, out, "Q8_0", progress=lambda done, total: told.append((done, total)))
    total = sum(c.bytes_before for c in plan)
    assert told[-1] == (total, total)
    assert told == sorted(told)
    assert {t for _, t in told} == {total}


# ----------------------------------------------------------------------------- what is refused


def refused(
    message: str, *arguments: Any, kind: type[OutriderError] = UsageError, **options: Any
) -> None:
    out = arguments[1]
    before = out.read_bytes() if out.is_file() else None
    with pytest.raises(kind, match=message):
        quantize(*arguments, **options)
    assert (out.read_bytes() if out.is_file() else None) == before
    assert not list(out.parent.glob(f".{out.name}.*"))


def test_unknown_type(source: Path, out: Path) -> None:
    refused("Unknown type 'Q8'; did you mean 'Q8_0'", source, out, "Q8")
    refused("known: F16, Q4_0, Q4_1, Q8_0", source, out, "tiny")


def test_places_that_cannot_be_written(source: Path, out: Path, tmp_path: Path) -> None:
    refused("is a directory", source, tmp_path, "Q4_0")
    refused(r"absent does not exist", source, tmp_path / "absent" / "x.gguf", "Q4_0")
    out.write_bytes(b"mine")
    refused(r"copy.gguf exists already; .*--force", source, out, "Q4_0")
    assert quantize(source, out, "Q4_0", force=True)
    assert contents(out)


def test_the_source_is_never_written_over(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link.gguf").symlink_to(source)
    (tmp_path / "hard.gguf").hardlink_to(source)
    for path in (source, tmp_path / "link.gguf", tmp_path / "hard.gguf"):
        refused("is the file to convert", source, path, "Q4_0", force=True)


def test_sources_that_cannot_be_read(source: Path, out: Path, tmp_path: Path) -> None:
    refused("No such file", tmp_path / "absent.gguf", out, "Q4_0", kind=ModelFileError)
    (tmp_path / "noise.gguf").write_bytes(b"noise")
    refused("noise.gguf: .*not a GGUF", tmp_path / "noise.gguf", out, "Q4_0", kind=ModelFileError)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    refused("full.gguf: Tensor .*truncated", source, out, "Q4_0", kind=ModelFileError)


def test_types_that_are_not_read(tmp_path: Path, out: Path) -> None:
    name = "blk.0.attn_q.weight"
    values = np.zeros((64, 36), np.uint8)
    write(tmp_path / "f.gguf", FULL, tensors={name: (values, Type.IQ4_NL)})
    refused(f"{name}' has weights of type 20", tmp_path / "f.gguf", out, "F16", kind=ModelFileError)


def test_rows_that_do_not_divide(tmp_path: Path, out: Path) -> None:
    write(tmp_path / "f.gguf", FULL, tensors={"odd": (np.ones((2, 48), np.float32), Type.F32)})
    message = "Tensor 'odd' has rows of 48 weights and Q4_0 packs 32; F16"
    refused(message, tmp_path / "f.gguf", out, "Q4_0", kind=ModelFileError)
    assert types(quantize(tmp_path / "f.gguf", out, "F16"))["odd"] == "F16"


@pytest.mark.parametrize("value", [np.nan, np.inf, -65600.0])
@pytest.mark.parametrize("target", FILE_TYPES)
def test_weights_that_do_not_fit(value: float, target: str, tmp_path: Path, out: Path) -> None:
    name = "blk.1.ffn_up.weight"
    values = random_tensors(FULL)[name]
    values[-1, -1] = value
    write(tmp_path / "f.gguf", FULL, tensors={name: (values, Type.F32)})
    out.write_bytes(b"earlier")
    message = f"f.gguf: Tensor '{name}' has a weight .*beyond 65504"
    refused(message, tmp_path / "f.gguf", out, target, force=True, kind=ModelFileError)


def test_nothing_to_convert(tmp_path: Path, out: Path) -> None:
    write(tmp_path / "f.gguf", Shape(type=Type.Q4_0, types={EMBEDDING: Type.Q8_0}))
    refused("nothing to convert", tmp_path / "f.gguf", out, "Q4_0")
    assert types(quantize(tmp_path / "f.gguf", out, "Q4_0", pure=True))[EMBEDDING] == "Q4_0"


def test_a_key_of_ours_that_is_something_else(tmp_path: Path, out: Path) -> None:
    write(tmp_path / "f.gguf", FULL, keys={ORIGIN_KEY: 7})
    refused(f"f.gguf: .*'{ORIGIN_KEY}'", tmp_path / "f.gguf", out, "F16", kind=ModelFileError)


def test_a_missing_package_names_the_extra(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    refused(r"gguf, which is not installed; .*'outrider\[quantize\]'", source, out, "F16")


def test_a_full_disk(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 1000))
    refused("has 0.0 MB free and the copy needs 0.1 MB", source, out, "Q8_0")


def test_what_the_system_refuses_is_one_sentence(source: Path, tmp_path: Path) -> None:
    out = tmp_path / ("x" * 250)  # with the ending of the draft it is too long a name
    refused(r"The copy .* cannot be made: .*File name too long", source, out, "Q8_0")


def test_an_interrupted_copy_leaves_nothing(source: Path, out: Path) -> None:
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(source, out, "Q8_0", progress=interrupt)
    assert [p.name for p in out.parent.iterdir()] == [source.name]
