"""Every kernel against the scalar one, on every layout of a matrix, for every number of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from outrider import _native
from outrider.engines.machine import instruction_sets
from outrider.engines.native import NativeEngine
from passes import feed, same_bytes
from synthetic import QUANTIZED, REAL, SUPER_BLOCKS, of_type, write

TOKENS = [int(t) for t in np.random.default_rng(3).integers(0, 83, 37)]
LAYOUTS = [*((kind, False) for kind in (*QUANTIZED, *SUPER_BLOCKS, *REAL)), (Type.Q4_1, True)]


@pytest.mark.parametrize(
    ("kind", "float32"), LAYOUTS, ids=[f"{k.name} {'float32' * f}".strip() for k, f in LAYOUTS]
)
def test_kernels_agree_for_every_number_of_rows(kind: Type, float32: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    head_dim = 64 if kind in SUPER_BLOCKS else 48
    write(path, of_type(kind, layers=1, vocab=83, head_dim=head_dim))

    def logits(kernel: str, chunk: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        engine = NativeEngine(path, threads=1, cache_bytes=1 << 20, kernel=kernel, float32=float32)
        return feed(engine, engine.open([], len(TOKENS), share=False), TOKENS, chunk)

    expected = logits("scalar", 8)
    assert np.isfinite(expected).all()
    for kernel in _native.kernels():
        for chunk in (*range(1, 14), 16, 37):
            assert same_bytes(logits(kernel, chunk), expected), (kernel, chunk)


def test_the_reference_comes_last() -> None:
    assert _native.kernels()[-2:] == ["portable", "scalar"]


@pytest.mark.parametrize(("kernel", "flag"), [("avx2", "avx2"), ("avx512-vnni", "avx512_vnni")])
def test_linux_names_the_sets_that_kernels_run_on(kernel: str, flag: str) -> None:
    assert (kernel in _native.kernels()) == (flag in instruction_sets())
