"""Model files that the engine cannot compute: each is refused by the key or tensor at fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from outrider.engines.native import NativeEngine
from outrider.errors import ModelFileError
from synthetic import Shape, random_tensors, stored, write

SHAPE = Shape(tied=False, rope_freqs=True)
EVERY_TENSOR = sorted(random_tensors(SHAPE))
OPTIONAL = {"output.weight", "rope_freqs.weight"}


def refused(path: Path, message: str, **options: Any) -> None:
    with pytest.raises(ModelFileError, match=message):
        NativeEngine(path, threads=1, cache_bytes=1 << 20, **options)


@pytest.mark.parametrize("name", [n for n in EVERY_TENSOR if n not in OPTIONAL])
def test_missing_tensor(name: str, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", SHAPE, tensors={name: None})
    refused(tmp_path / "m.gguf", f"lacks the tensor '{name}'")


@pytest.mark.parametrize("name", EVERY_TENSOR)
def test_wrong_shape(name: str, tmp_path: Path) -> None:
    values = random_tensors(SHAPE)[name]
    other = np.concatenate([values, values[:1]])
    kind = Type.F32 if values.ndim == 1 else Type.Q4_1
    write(tmp_path / "m.gguf", SHAPE, tensors={name: (stored(other, kind), kind)})
    # One more row of the embedding is a larger vocabulary than the key says.
    refused(tmp_path / "m.gguf", f"'{name}'")


def test_transposed_matrix(tmp_path: Path) -> None:
    name = "blk.1.ffn_down.weight"
    values = np.ascontiguousarray(random_tensors(SHAPE)[name].T)
    write(tmp_path / "m.gguf", SHAPE, tensors={name: (stored(values, Type.Q8_0), Type.Q8_0)})
    refused(tmp_path / "m.gguf", f"'{name}' has the shape 64 × 96 .* 96 × 64")


@pytest.mark.parametrize("name", ["blk.2.attn_norm.weight", "blk.0.attn_q.bias", "extra"])
def test_extra_tensor(name: str, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", SHAPE, tensors={name: (np.ones(64, np.float32), Type.F32)})
    refused(tmp_path / "m.gguf", f"'{name}'")


@pytest.mark.parametrize("kind", [Type.Q2_K, Type.Q3_K], ids=lambda t: t.name)
@pytest.mark.parametrize("float32", [False, True])
def test_type_that_is_not_computed(kind: Type, float32: bool, tmp_path: Path) -> None:
    from gguf import GGML_QUANT_SIZES

    shape = Shape(width=256)
    elements, size = GGML_QUANT_SIZES[kind]
    content = np.zeros((256, 256 // elements * size), np.uint8)
    name = "blk.1.attn_q.weight"
    write(tmp_path / "m.gguf", shape, tensors={name: (content, kind)})
    refused(tmp_path / "m.gguf", f"'{name}' has weights of {kind.name}", float32=float32)


@pytest.mark.parametrize("name", ["output_norm.weight", "blk.0.ffn_norm.weight"])
def test_norm_that_is_not_float32(name: str, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", SHAPE, tensors={name: (np.ones(64, np.float16), Type.F16)})
    refused(tmp_path / "m.gguf", f"'{name}'.*F16.*F32")


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_rope_factor_of_no_sense(factor: float, tmp_path: Path) -> None:
    factors = np.full(8, factor, np.float32)
    write(tmp_path / "m.gguf", SHAPE, tensors={"rope_freqs.weight": (factors, Type.F32)})
    refused(tmp_path / "m.gguf", "rope_freqs.weight")


@pytest.mark.parametrize("name", ["qwen9", "gptj", "", "ll\xe4ma"])
def test_unsupported_architecture(name: str, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", architecture=name)
    refused(tmp_path / "m.gguf", f"general.architecture.*{name}")


def test_architecture_of_no_valid_text(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf")
    content = (tmp_path / "m.gguf").read_bytes()
    at = content.index(b"llama")
    (tmp_path / "m.gguf").write_bytes(content[:at] + b"\xff\xfe\xffma" + content[at + 5 :])
    refused(tmp_path / "m.gguf", "general.architecture")


NO_SENSE: dict[str, list[Any]] = {
    "llama.block_count": [None, 0, 2000, 2.0, "two", [2, 2]],
    "llama.context_length": [None, 0, 1 << 31],
    "llama.embedding_length": [None, 0, 16, 1 << 20],
    "llama.feed_forward_length": [None, 0, [96, 96], 100],
    "llama.attention.head_count": [None, 0, 3, [4, 4]],
    "llama.attention.head_count_kv": [0, 3, 8, [2, 2]],
    "llama.attention.key_length": [0, 8, 24, 2048],
    "llama.attention.value_length": [32],
    "llama.attention.layer_norm_rms_epsilon": [None, 0.0, 2.0, -1.0, float("nan"), "small"],
    "llama.rope.freq_base": [0.0, 1.0, float("nan"), float("inf"), "big"],
    "llama.rope.dimension_count": [0, 1, 15, 32],
    "llama.vocab_size": [300, 287, 0, "many"],
    "llama.rope.scaling.type": ["linear", "yarn", "new", 1],
    "llama.rope.scaling.factor": [2.0],
    "llama.expert_count": [8],
    "llama.attention.scale": [0.5],
    "llama.something.new": ["x"],
    "general.architecture": [7],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in NO_SENSE.items() for value in values]
)
def test_key_that_is_missing_unknown_or_makes_no_sense(
    key: str, value: Any, tmp_path: Path
) -> None:
    write(tmp_path / "m.gguf", SHAPE, keys={key: value})
    refused(tmp_path / "m.gguf", key.removeprefix("llama."))


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("qwen2", ["attn_q.bias", "attn_k.bias", "attn_v.bias"]),
        ("qwen3", ["attn_q_norm.weight", "attn_k_norm.weight"]),
        ("gemma3", ["attn_q_norm.weight", "post_attention_norm.weight", "post_ffw_norm.weight"]),
    ],
)
def test_vectors_of_a_family(family: str, names: list[str], tmp_path: Path) -> None:
    shape = Shape(family=family)
    for name in (f"blk.1.{name}" for name in names):
        write(tmp_path / "m.gguf", shape, tensors={name: None})
        refused(tmp_path / "m.gguf", f"lacks the tensor '{name}'")
        longer = np.ones(96, np.float32)
        write(tmp_path / "m.gguf", shape, tensors={name: (longer, Type.F32)})
        refused(tmp_path / "m.gguf", f"'{name}' has the shape 96")
        write(tmp_path / "m.gguf", tensors={name: (longer, Type.F32)})
        refused(tmp_path / "m.gguf", f"'{name}' is not part")


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "gemma3"])
def test_rope_factors_where_the_family_has_none(family: str, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", Shape(family=family, rope_freqs=True))
    refused(tmp_path / "m.gguf", "rope_freqs.weight")


@pytest.mark.parametrize("value", [None, 0, "wide"])
def test_window_that_is_missing_or_makes_no_sense(value: Any, tmp_path: Path) -> None:
    key = "gemma3.attention.sliding_window"
    write(tmp_path / "m.gguf", Shape(family="gemma3"), keys={key: value})
    refused(tmp_path / "m.gguf", "attention.sliding_window")


@pytest.mark.parametrize(
    ("family", "key"),
    [
        ("llama", "attention.sliding_window"),
        ("qwen2", "attention.sliding_window"),
        ("gemma3", "final_logit_softcapping"),
        ("gemma3", "attention.sliding_window_pattern"),
        ("gemma3", "rope.freq_base_swa"),
    ],
)
def test_key_of_another_family(family: str, key: str, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", Shape(family=family), keys={f"{family}.{key}": 30})
    refused(tmp_path / "m.gguf", key)


def test_scaled_rope_of_another_family(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", Shape(family="gemma3"), keys={"gemma3.rope.scaling.type": "linear"})
    refused(tmp_path / "m.gguf", "rope.scaling.type' is 'linear'")


def test_key_that_has_a_default(tmp_path: Path) -> None:
    shape = Shape(kv_heads=4)
    absent = ("attention.head_count_kv", "rope.freq_base", "rope.dimension_count", "vocab_size")
    write(tmp_path / "m.gguf", shape, keys={f"llama.{key}": None for key in absent})
    assert NativeEngine(tmp_path / "m.gguf", threads=1, cache_bytes=1 << 20).vocab_size == 288


def test_width_that_is_no_multiple_of_a_group(tmp_path: Path) -> None:
    # Only types without groups can hold such rows at all.
    write(tmp_path / "m.gguf", Shape(width=80, heads=5, kv_heads=5, type=Type.F16))
    refused(tmp_path / "m.gguf", "embedding_length.*80")


def test_feed_forward_that_is_no_multiple_of_a_group(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", Shape(feed_forward=100, type=Type.F16))
    refused(tmp_path / "m.gguf", "feed_forward_length.*100")


def test_heads_that_do_not_fill_a_vector(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", Shape(heads=8))
    refused(tmp_path / "m.gguf", "8 dimensions")


def test_query_that_is_no_multiple_of_a_group(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", Shape(heads=3, kv_heads=1, head_dim=16, type=Type.F16))
    refused(tmp_path / "m.gguf", "attention.head_count.*48")


def test_file_that_is_cut_after_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "truncated")


@pytest.mark.parametrize("weight", [np.nan, np.inf, -np.inf, 1e30])
def test_real_weight_that_8_bits_cannot_hold(weight: float, tmp_path: Path) -> None:
    name = "blk.1.ffn_down.weight"
    values = random_tensors(SHAPE)[name].copy()
    values[5, 40] = weight
    write(tmp_path / "m.gguf", SHAPE, tensors={name: (values, Type.F32)})
    refused(tmp_path / "m.gguf", f"'{name}' holds a weight that is not a finite number")
