"""From a file's tensors to matrices in memory: every weight, every page, and how far it is."""

from __future__ import annotations

import ctypes
import operator
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from model_reference import quantized_weights
from outrider import _native
from outrider.engines.native import NativeEngine
from outrider.models import Progress
from outrider.models.gguf import GgufFile
from passes import Batch
from synthetic import QUANTIZED, REAL, SUPER_BLOCKS, Shape, write

SEVERAL_PIECES = Shape(layers=1, width=256, vocab=9001, type=Type.Q8_0)
"""Its embedding of 2.4 MB is repacked in pieces, and ends within a block of 32 rows."""


def embedding(engine: NativeEngine, tokens: Sequence[int]) -> NDArray[np.float32]:
    """Rows of the embedding as the engine holds it."""
    batch = Batch()
    sequence = engine.open([], 8)
    rows = [batch.add(sequence, token, want=False) for token in tokens]
    found = batch.run(engine, layers=1, hidden=(0,)).hidden(rows)[0]
    engine.close(sequence)
    return found


@pytest.mark.parametrize("float32", [False, True])
@pytest.mark.parametrize("kind", [*QUANTIZED, *SUPER_BLOCKS, *REAL], ids=lambda t: t.name)
def test_every_weight_is_where_its_layout_says(kind: Type, float32: bool, tmp_path: Path) -> None:
    shape = Shape(layers=1, width=256, feed_forward=256, vocab=83, type=kind)
    weights = write(tmp_path / "m.gguf", shape)
    engine = NativeEngine(tmp_path / "m.gguf", threads=1, cache_bytes=1 << 20, float32=float32)
    held = weights.tensors if float32 else quantized_weights(weights)
    expected = held["token_embd.weight"].astype(np.float32)
    assert np.array_equal(embedding(engine, range(83)), expected)


def test_every_16_bit_number_is_read_exactly(tmp_path: Path) -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    halves = np.where(np.isfinite(halves), halves, np.float16(0))
    path, shape = tmp_path / "m.gguf", Shape(layers=1, width=256, vocab=256)
    write(path, shape, tensors={"token_embd.weight": (halves, Type.F16)})
    engine = NativeEngine(path, threads=1, cache_bytes=1 << 20, float32=True)
    assert np.array_equal(embedding(engine, range(256)), halves.astype(np.float32))


@pytest.mark.parametrize("float32", [False, True])
def test_a_matrix_of_several_pieces(float32: bool, tmp_path: Path) -> None:
    weights = write(tmp_path / "m.gguf", SEVERAL_PIECES)
    tokens = [*range(0, 9001, 20), *range(8990, 9001)]
    for threads in (1, 3):
        engine = NativeEngine(
            tmp_path / "m.gguf", threads=threads, cache_bytes=1 << 20, float32=float32
        )
        expected = weights["token_embd.weight"][tokens].astype(np.float32)
        assert np.array_equal(embedding(engine, tokens), expected)


def test_progress_counts_the_bytes_of_matrices(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", SEVERAL_PIECES)
    seen: list[Progress] = []
    engine = NativeEngine(tmp_path / "m.gguf", threads=2, cache_bytes=1 << 20, progress=seen.append)

    matrices = sum(t.bytes for t in engine.file.tensors() if len(t.shape) == 2)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert done[-1] == matrices
    for progress in seen:
        assert (progress.name, progress.total, progress.phase) == ("synthetic", matrices, "load")
        assert progress.source == str(tmp_path / "m.gguf")


@pytest.mark.parametrize("threads", [1, 3])
def test_what_progress_raises_ends_the_loading(threads: int, tmp_path: Path) -> None:
    seen: list[Progress] = []

    def refuse(progress: Progress) -> None:
        seen.append(progress)
        raise LookupError(progress.name)

    write(tmp_path / "m.gguf", SEVERAL_PIECES)
    with pytest.raises(LookupError, match="synthetic"):
        NativeEngine(tmp_path / "m.gguf", threads=threads, cache_bytes=1 << 20, progress=refuse)
    (only,) = seen
    if threads == 1:
        assert only.total is not None
        assert only.done < only.total / 2


def test_an_interrupt_ends_the_loading(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", SEVERAL_PIECES)
    file = GgufFile(tmp_path / "m.gguf")
    load = partial(_native.Engine, file.native, False, 1, _native.kernels()[0], 0, 1 << 20, 8)
    made: list[object] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            # Without a line of Python between the two, nobody but the loader can notice.
            made.extend(map(operator.call, [ctypes.pythonapi.PyErr_SetInterrupt, load]))
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(made) == 1


def test_no_page_of_the_file_stays(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", SEVERAL_PIECES)
    file = GgufFile(tmp_path / "m.gguf")
    assert resident_bytes(file.path) > 0
    engine = NativeEngine(file, threads=3, cache_bytes=1 << 20)
    assert resident_bytes(file.path) == 0
    # They can be read again.
    assert file.native.metadata() == file.metadata
    again = NativeEngine(file, threads=1, cache_bytes=1 << 20)
    assert np.array_equal(embedding(engine, range(99)), embedding(again, range(99)))


def resident_bytes(path: Path) -> int:
    """Bytes of a mapped file that are in this process's memory."""
    total, mapped = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.partition(" ")[0]:
            mapped = line.endswith(str(path))
        elif mapped and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total
