"""Each family against transformers, which reads the same synthetic GGUF by itself.

Both see random tokens. What they say has to agree to rounding in float32 mode, and to what 8-bit
activations and the matrices' 8-bit groups cost otherwise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from outrider.engines.native import NativeEngine
from passes import feed
from synthetic import Shape, write

pytestmark = pytest.mark.reference

TOKENS = [int(t) for t in np.random.default_rng(2).integers(0, 288, 60)]
TYPES = {"blk.0.ffn_down.weight": Type.Q6_K, "blk.1.attn_q.weight": Type.Q5_K}
# Transformers takes qwen3's heads to have 128 dimensions, whatever the file says.
SHAPES = {
    "llama": Shape(),
    "qwen2": Shape(family="qwen2"),
    "qwen3": Shape(family="qwen3", head_dim=128, heads=2, kv_heads=1),
    "gemma3": Shape(family="gemma3", layers=7, head_dim=256, heads=2, kv_heads=1, window=20),
    "super-blocks": Shape(width=256, feed_forward=512, type=Type.Q4_K, types=TYPES),
    "Q5_0": Shape(type=Type.Q5_0),
    "Q5_1": Shape(type=Type.Q5_1),
}


@pytest.mark.parametrize("name", SHAPES)
def test_engine_agrees_with_transformers(name: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    path = tmp_path / "model.gguf"
    write(path, SHAPES[name])
    model = AutoModelForCausalLM.from_pretrained(
        str(tmp_path), gguf_file=path.name, local_files_only=True, dtype=torch.float32
    ).eval()
    with torch.inference_mode():
        expected = model(torch.tensor([TOKENS])).logits[0].numpy()
    for float32, limit in ((True, 1e-3), (False, 0.03)):
        engine = NativeEngine(path, threads=2, cache_bytes=8 << 20, float32=float32)
        got = feed(engine, engine.open([], len(TOKENS)), TOKENS)
        error = np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)
        assert np.median(error) < limit
