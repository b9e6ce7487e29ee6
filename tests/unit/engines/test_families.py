"""The promise of test_bitwise for the other families, for windows and for super-blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from outrider import _native
from outrider.engines.native import NativeEngine
from passes import Batch, Oracle, feed, same_bytes
from simulation import Simulation
from synthetic import Shape, write

SOME = {
    "blk.0.attn_q.weight": Type.Q5_0,
    "blk.0.attn_v.weight": Type.Q5_1,
    "blk.1.ffn_down.weight": Type.Q5_1,
    "token_embd.weight": Type.Q8_0,
}
SUPER = {
    "blk.0.attn_v.weight": Type.Q6_K,
    "blk.0.ffn_gate.weight": Type.Q5_K,
    "token_embd.weight": Type.Q4_K,
}
WINDOW = 100
SHAPES = {
    "qwen2": Shape(family="qwen2", types=SOME, vocab=96),
    "qwen3": Shape(family="qwen3", types=SOME, vocab=96, head_dim=48),
    "gemma3": Shape(family="gemma3", types=SOME, vocab=96, layers=7, window=WINDOW, kv_heads=1),
    "super-blocks": Shape(
        width=256, feed_forward=512, type=Type.Q4_K, types=SUPER, vocab=96, layers=1
    ),
}
MACHINES: list[dict[str, Any]] = [
    *({"threads": 1, "kernel": kernel} for kernel in _native.kernels()),
    {"threads": 2},
    {"threads": 3},
]
TEXT = [int(t) for t in np.random.default_rng(13).integers(0, 96, 380)]


class Known:
    """A model file, and what it has to say, computed one row a pass."""

    def __init__(self, path: Path, shape: Shape) -> None:
        self.path = path
        write(path, shape)
        self.oracle = Oracle(self.engine(max_rows=1, threads=1))
        self.logits = self.oracle.every(TEXT)

    def engine(self, **options: Any) -> NativeEngine:
        return NativeEngine(self.path, **{"cache_bytes": 16 << 20, **options})


@pytest.fixture(scope="module", params=SHAPES)
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Known:
    return Known(tmp_path_factory.mktemp("family") / "m.gguf", SHAPES[request.param])


@pytest.fixture(params=MACHINES, ids=lambda m: " ".join(f"{k}={v}" for k, v in m.items()))
def engine(request: pytest.FixtureRequest, known: Known) -> NativeEngine:
    return known.engine(**request.param)


def test_chunking_of_the_prompt(known: Known, engine: NativeEngine) -> None:
    n = 40 if engine.kernel == "scalar" else len(TEXT)
    for chunk in (7, 65, 256):
        sequence = engine.open([], n, share=False)
        assert same_bytes(feed(engine, sequence, TEXT[:n], chunk), known.logits[:n])
        engine.close(sequence)


# Where windows begin: inside the first chunk, with the second one, and on either side of both.
@pytest.mark.parametrize("history", [WINDOW - 3, 253, 256 + WINDOW - 4])
def test_trees_across_borders(known: Known, engine: NativeEngine, history: int) -> None:
    sequence = engine.open([], history + 12)
    feed(engine, sequence, TEXT[:history], 256)
    batch = Batch()
    (root,) = batch.commit(sequence, TEXT[history : history + 1])
    side = batch.add(sequence, 5, root)
    chain = batch.chain(sequence, TEXT[history + 1 : history + 7], root)
    branch = batch.chain(sequence, [8, 9], chain[3])
    result = batch.run(engine)
    assert same_bytes(result.numpy([root, *chain]), known.logits[history : history + 7])
    begun = TEXT[: history + 1]
    assert same_bytes(result.numpy([side])[0], known.oracle.after([*begun, 5]))
    followed = [*begun, *TEXT[history + 1 : history + 5], 8, 9]
    assert same_bytes(result.numpy(branch[1:])[0], known.oracle.after(followed))
    engine.keep(sequence, chain[:5])
    rest = slice(history + 6, history + 10)
    assert same_bytes(feed(engine, sequence, TEXT[rest], 2), known.logits[rest])


@pytest.mark.parametrize("kernel", _native.kernels())
@pytest.mark.parametrize("float32", [False, True])
def test_random_serving_with_a_short_window(kernel: str, float32: bool, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write(path, Shape(family="gemma3", window=5, layers=6, types=SOME))
    options: dict[str, Any] = {"cache_bytes": 4 << 20, "float32": float32}
    oracle = Oracle(NativeEngine(path, threads=1, max_rows=1, **options))
    engine = NativeEngine(path, threads=2, kernel=kernel, **options)
    Simulation(engine, oracle, np.random.default_rng(3)).run(25)


def test_what_lies_before_the_window_changes_nothing(tmp_path: Path) -> None:
    # A single layer with a window: what is out of its sight could as well be another text.
    path = tmp_path / "m.gguf"
    write(path, Shape(family="gemma3", layers=1, window=30, vocab=96))
    engine = NativeEngine(path, threads=2, cache_bytes=4 << 20)
    texts = [TEXT[:300], [*TEXT[40:310], *TEXT[270:300]]]
    logits = [feed(engine, engine.open([], 300), text, 100) for text in texts]
    assert same_bytes(logits[0][299:], logits[1][299:])
    assert not same_bytes(logits[0][298:299], logits[1][298:299])
