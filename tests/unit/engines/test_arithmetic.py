"""What the engine computes, against the model written down in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from model_reference import Model, distance
from outrider import _native
from outrider.engines.native import NativeEngine
from passes import Batch, feed
from synthetic import FAMILIES, QUANTIZED, REAL, SUPER_BLOCKS, Shape, Weights, of_type, write

SHAPES = {
    "grouped heads": Shape(),
    "one key-value head": Shape(heads=6, kv_heads=1, head_dim=16, width=96),
    "as many key-value heads": Shape(heads=2, kv_heads=2),
    "rope factors": Shape(rope_freqs=True),
    "other rope base": Shape(rope_base=500000.0),
    "untied output": Shape(tied=False),
    "wide heads": Shape(head_dim=48),
    "partial rotary": Shape(head_dim=48, rotated=32),
    "partial rotary with factors": Shape(rotated=8, rope_freqs=True),
    "three layers": Shape(layers=3),
    "vocabulary of no round size": Shape(vocab=83),
    "feed-forward of several pieces": Shape(feed_forward=1120),
    "large epsilon": Shape(epsilon=0.5),
    **{family: Shape(family=family, rope_base=1e6) for family in FAMILIES},
    **{f"{family} with wide heads": Shape(family=family, head_dim=48) for family in FAMILIES},
    "layers with a window and one without": Shape(family="gemma3", layers=7, rope_base=1e6),
    "qwen2 with partial rotary": Shape(family="qwen2", head_dim=48, rotated=16),
    "window of a single position": Shape(family="gemma3", layers=6, window=1),
}
TOKENS = [int(t) for t in np.random.default_rng(7).integers(0, 83, 40)]


def all_logits(path: Path, tokens: list[int], **options: Any) -> NDArray[np.float32]:
    engine = NativeEngine(path, threads=1, cache_bytes=4 << 20, **options)
    return feed(engine, engine.open([], len(tokens)), tokens)


@pytest.mark.parametrize("name", SHAPES)
def test_float_mode_computes_the_model(name: str, tmp_path: Path) -> None:
    weights = write(tmp_path / "model.gguf", SHAPES[name])
    got = all_logits(tmp_path / "model.gguf", TOKENS, float32=True)
    expected = Model(weights).logits(TOKENS)
    assert distance(got, expected)[0] < 1e-6
    # A key or value now and then rounds to the other neighbour in 16 bits.
    assert distance(got, expected).max() < 1e-3
    assert np.median(distance(got, expected)) < 1e-4


@pytest.mark.parametrize("kind", [*QUANTIZED, *SUPER_BLOCKS, *REAL], ids=lambda t: t.name)
def test_float_mode_takes_the_exact_weights(kind: Type, tmp_path: Path) -> None:
    weights = write(tmp_path / "model.gguf", of_type(kind))
    got = all_logits(tmp_path / "model.gguf", TOKENS, float32=True)
    assert distance(got, Model(weights).logits(TOKENS)).max() < 1e-3


def check_quantised(path: Path, weights: Weights, **options: Any) -> None:
    """Compare over short texts.

    Rounding turns a last bit of difference into a whole code, here and there, and what follows in
    the text inherits it; most short texts are spared.
    """
    texts = [TOKENS[i : i + 3] for i in range(0, len(TOKENS) - 2, 2)]
    got = np.concatenate([all_logits(path, text, **options) for text in texts])
    quantised, exact = (
        np.concatenate([Model(weights, quantized=mode).logits(text) for text in texts])
        for mode in (True, False)
    )
    loss = np.median(distance(exact, quantised))
    assert distance(got, quantised).max() < 5e-2
    assert np.median(distance(got, quantised)) < 1e-5
    assert np.median(distance(got, quantised)) < loss / 100


@pytest.mark.parametrize("kernel", _native.kernels())
@pytest.mark.parametrize("kind", [*QUANTIZED, *SUPER_BLOCKS, *REAL], ids=lambda t: t.name)
def test_quantised_mode_is_as_documented(kind: Type, kernel: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    check_quantised(path, write(path, of_type(kind)), kernel=kernel)


@pytest.mark.parametrize("kernel", _native.kernels())
@pytest.mark.parametrize("family", FAMILIES)
def test_quantised_mode_of_every_family(family: str, kernel: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    check_quantised(path, write(path, Shape(family=family, window=2)), kernel=kernel)


def test_quantised_mode_with_everything_mixed(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    kinds = [*QUANTIZED, *REAL]
    names = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    types = {
        f"blk.{i}.{name}.weight": kinds[(i + n) % len(kinds)]
        for i in range(2)
        for n, name in enumerate(names)
    }
    types |= {"token_embd.weight": Type.BF16, "output.weight": Type.Q8_0}
    shape = Shape(types=types, tied=False, head_dim=48, rotated=32, rope_freqs=True, vocab=83)
    check_quantised(path, write(path, shape))


def test_real_matrices_become_8_bit_groups(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    shape = Shape(types={"blk.0.attn_q.weight": Type.F16, "token_embd.weight": Type.F32})
    write(path, shape)
    assert NativeEngine(path, threads=1, cache_bytes=1 << 20).repacked == {
        "F16 → 8-bit": 1,
        "F32 → 8-bit": 1,
        "Q4_1 → 4-bit with minimum": 13,
    }
    exactly = NativeEngine(path, threads=1, cache_bytes=1 << 20, float32=True)
    assert exactly.repacked == {"F16 → float32": 1, "F32 → float32": 1, "Q4_1 → float32": 13}


@pytest.mark.parametrize(
    ("kind", "layout", "bits_above"),
    [
        (Type.Q4_K, "4-bit with sub-scales and minimum", 0.125),
        (Type.Q5_0, "5-bit", 0.0),
        (Type.Q5_1, "5-bit with minimum", 0.0),
        (Type.Q5_K, "5-bit with sub-scales and minimum", 0.125),
        (Type.Q6_K, "8-bit", 1.9375),
    ],
    ids=lambda v: v.name if isinstance(v, Type) else "",
)
def test_what_a_type_becomes_and_what_it_weighs(
    kind: Type, layout: str, bits_above: float, tmp_path: Path
) -> None:
    # Only the matrices of this type count, all of whole blocks.
    shape = of_type(kind)
    write(tmp_path / "model.gguf", shape)
    engine = NativeEngine(tmp_path / "model.gguf", threads=1, cache_bytes=1 << 20)
    assert engine.repacked == {f"{kind.name} → {layout}": 15}
    vectors = 4 * (2 * shape.layers + 1) * shape.width
    weights = shape.vocab * shape.width + shape.layers * shape.width * (
        2 * shape.width + 2 * shape.kv_heads * shape.dim + 3 * shape.feed_forward
    )
    above = engine.weight_bytes - (engine.file_bytes - vectors)
    assert above * 8 == bits_above * weights


def test_hidden_states_are_those_between_the_layers(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    weights = write(path)
    engine = NativeEngine(path, threads=1, cache_bytes=4 << 20, float32=True)
    batch = Batch()
    rows = batch.commit(engine.open([], len(TOKENS)), TOKENS)
    got = batch.run(engine, hidden=(2, 0)).hidden(rows)
    expected = Model(weights).states(TOKENS)
    assert got.shape == (2, len(TOKENS), 64)
    assert np.array_equal(got[1], expected[0].astype(np.float32))
    assert distance(got[0], expected[2]).max() < 1e-3


def test_fewer_layers_are_the_model_of_these_layers(tmp_path: Path) -> None:
    write(tmp_path / "two.gguf", Shape(layers=2))
    weights = write(tmp_path / "one.gguf", Shape(layers=1))
    engine = NativeEngine(tmp_path / "two.gguf", threads=1, cache_bytes=4 << 20, float32=True)
    sequence = engine.open([], len(TOKENS))
    feed(engine, sequence, TOKENS[:30])
    batch = Batch()
    rows = batch.chain(sequence, TOKENS[30:])
    got = batch.run(engine, layers=1).numpy(rows)
    assert distance(got, Model(weights).logits(TOKENS)[30:]).max() < 1e-3


def test_the_synthetic_file_loads_in_the_text_layer(synthetic_path: Path) -> None:
    from outrider.models.gguf import GgufFile
    from outrider.text import ChatTemplate, Tokenizer

    metadata = GgufFile(synthetic_path).metadata
    tokenizer = Tokenizer.from_metadata(metadata)
    ids = tokenizer.encode("the rain in Spain – 12 €\n")
    assert max(ids) < metadata["llama.vocab_size"]
    assert len(ids) < len("the rain in Spain – 12 €\n".encode())
    assert tokenizer.decode(ids) == "the rain in Spain – 12 €\n"
    ChatTemplate.from_metadata(metadata)
