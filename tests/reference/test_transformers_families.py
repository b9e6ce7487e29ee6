"""Each family against transformers, which reads the same synthetic GGUF by itself.

Both see random tokens. How far the engine may be from transformers is not chosen but computed: the
model written down in numpy says what a cache of 16 bits costs, and what 8-bit activations and the
matrices' 8-bit groups cost besides, once it has been found to agree with transformers itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from model_reference import Model, distance
from outrider.engines.native import NativeEngine
from passes import feed
from synthetic import Array, Shape, write

pytestmark = pytest.mark.reference

TOKENS = [int(t) for t in np.random.default_rng(2).integers(0, 288, 60)]
TYPES = {"blk.0.ffn_down.weight": Type.Q6_K, "blk.1.attn_q.weight": Type.Q5_K}
# Transformers takes qwen3's heads to have 128 dimensions, whatever the file says.
SHAPES = {
    "llama": Shape(),
    "qwen2": Shape(family="qwen2", rope_base=1e6, tied=False),
    "qwen3": Shape(family="qwen3", rope_base=1e6, head_dim=128, heads=2, kv_heads=1),
    "gemma3": Shape(
        family="gemma3", rope_base=1e6, layers=7, head_dim=256, heads=2, kv_heads=1, window=20
    ),
    "super-blocks": Shape(width=256, feed_forward=512, type=Type.Q4_K, types=TYPES),
    "Q5_0": Shape(type=Type.Q5_0),
    "Q5_1": Shape(type=Type.Q5_1),
}
FLOAT32 = 1e-5
"""What transformers' own arithmetic in 32 bits may cost."""
CHANCE = 1.1
"""The same number of roundings, of values that differ in their last bits, costs about as much."""


def by_transformers(path: Path) -> Array:
    """Its logits, float64[tokens, vocab]."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, local_files_only=True, dtype=torch.float32
    ).eval()
    with torch.inference_mode():
        return np.asarray(model(torch.tensor([TOKENS])).logits[0].double().numpy())


def by_engine(path: Path, float32: bool) -> NDArray[np.float32]:
    engine = NativeEngine(path, threads=2, cache_bytes=8 << 20, float32=float32)
    return feed(engine, engine.open([], len(TOKENS)), TOKENS)


def error(got: Array | NDArray[np.float32], true: Array) -> float:
    """The relative error, as the root of the mean square over rows."""
    return float(np.sqrt(np.mean(distance(got, true) ** 2)))


@pytest.mark.parametrize("name", SHAPES)
def test_engine_agrees_with_transformers(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    weights = write(path, SHAPES[name])
    expected = by_transformers(path)
    exact = Model(weights, half_cache=False).logits(TOKENS)
    assert error(exact, expected) < FLOAT32

    cache = error(Model(weights).logits(TOKENS), exact)
    assert error(by_engine(path, float32=True), expected) < CHANCE * cache + FLOAT32
    quantisation = error(Model(weights, quantized=True).logits(TOKENS), exact)
    assert error(by_engine(path, float32=False), expected) < CHANCE * quantisation
