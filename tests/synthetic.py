"""Small GGUF files with random weights, written as the usual converter writes them.

`write` makes a file of one of the families; `Weights` is the same model as exact float64 arrays, in
the order the file has them, for implementations that know nothing of the engine.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

Array = NDArray[np.float64]

FAMILIES = ("llama", "qwen2", "qwen3", "gemma3")
QUANTIZED = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
SUPER_BLOCKS = (Type.Q4_K, Type.Q5_K, Type.Q6_K)
"""Types that keep 256 weights together."""
REAL = (Type.F16, Type.BF16, Type.F32)
CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """What a synthetic model looks like; `types` overrides `type` for tensors by name."""

    family: str = "llama"
    layers: int = 2
    width: int = 64
    heads: int = 4
    kv_heads: int = 2
    head_dim: int | None = None
    rotated: int | None = None
    feed_forward: int = 96
    vocab: int = 288
    context: int = 1024
    type: Type = Type.Q4_1
    types: Mapping[str, Type] = field(default_factory=dict)
    tied: bool = True
    rope_freqs: bool = False
    rope_base: float = 10000.0
    window: int = 24
    epsilon: float = 1e-5
    seed: int = 0

    @property
    def dim(self) -> int:
        """Dimensions of a head."""
        return self.head_dim or self.width // self.heads

    @property
    def turned(self) -> int:
        """Dimensions of a head that are rotated."""
        return self.rotated or self.dim


def of_type(kind: Type, **options: Any) -> Shape:
    """A model whose rows are long enough for the type."""
    if kind in SUPER_BLOCKS:
        options |= {"width": 256, "feed_forward": 512}
    return Shape(type=kind, **options)


MIXED = Shape(
    types={
        "token_embd.weight": Type.Q8_0,
        "blk.0.attn_v.weight": Type.Q4_0,
        "blk.1.ffn_down.weight": Type.F16,
        "blk.1.attn_q.weight": Type.Q5_0,
        "blk.1.attn_output.weight": Type.Q5_1,
    },
)
"""Every layout without super-blocks in one small model."""


@dataclass
class Weights:
    """What the file holds, exactly: float64 by tensor name, matrices as [outputs, inputs]."""

    shape: Shape
    tensors: dict[str, Array]
    types: dict[str, Type]

    def __getitem__(self, name: str) -> Array:
        return self.tensors[name]

    @property
    def head(self) -> str:
        """The tensor that serves as output layer."""
        return "token_embd.weight" if self.shape.tied else "output.weight"


def permute(matrix: Array, heads: int) -> Array:
    """Rows of q and k as the converter reorders them: halves of a head become neighbours."""
    outputs, inputs = matrix.shape
    halves = matrix.reshape(heads, 2, outputs // heads // 2, inputs)
    return halves.swapaxes(1, 2).reshape(outputs, inputs)


def tensor_sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The sizes of a model's tensors in the converter's order, the innermost dimension last."""
    width, query, key = shape.width, shape.heads * shape.dim, shape.kv_heads * shape.dim
    sizes: dict[str, tuple[int, ...]] = {"token_embd.weight": (shape.vocab, width)}
    for i in range(shape.layers):
        layer: dict[str, tuple[int, ...]] = {"attn_norm.weight": (width,)}
        for name, outputs in {"attn_q": query, "attn_k": key, "attn_v": key}.items():
            layer[f"{name}.weight"] = (outputs, width)
            if shape.family == "qwen2":
                layer[f"{name}.bias"] = (outputs,)
            if shape.family in ("qwen3", "gemma3") and name != "attn_v":
                layer[f"{name}_norm.weight"] = (shape.dim,)
        layer["attn_output.weight"] = (width, query)
        if shape.family == "gemma3":
            layer |= {"post_attention_norm.weight": (width,), "post_ffw_norm.weight": (width,)}
        layer |= {
            "ffn_norm.weight": (width,),
            "ffn_gate.weight": (shape.feed_forward, width),
            "ffn_up.weight": (shape.feed_forward, width),
            "ffn_down.weight": (width, shape.feed_forward),
        }
        sizes |= {f"blk.{i}.{name}": size for name, size in layer.items()}
    sizes["output_norm.weight"] = (width,)
    if not shape.tied:
        sizes["output.weight"] = (shape.vocab, width)
    if shape.rope_freqs:
        sizes["rope_freqs.weight"] = (shape.turned // 2,)
    return sizes


def random_tensors(shape: Shape) -> dict[str, NDArray[np.float32]]:
    """The tensors of a model before they are stored, in the converter's order."""
    return {
        name: random_tensor(shape, name, size).astype(np.float32)
        for name, size in tensor_sizes(shape).items()
    }


def random_tensor(shape: Shape, name: str, size: tuple[int, ...]) -> Array:
    """One of them."""
    kind = name.split(".")[-2]
    if kind == "rope_freqs":
        return np.linspace(1.0, 8.0, *size)
    # A tensor's values depend on its name only, so that a model's first layers are those of the
    # same model with fewer.
    normal = np.random.default_rng((shape.seed, zlib.crc32(name.encode()))).standard_normal(size)
    if name.endswith(".bias"):
        return 0.5 * normal
    if len(size) == 1:
        return 1.0 + 0.2 * normal
    # Queries and keys strong enough that attention prefers some positions over others.
    gain = {"token_embd": np.sqrt(shape.width), "attn_q": 2.0, "attn_k": 2.0}.get(kind, 1.0)
    values = normal * gain / np.sqrt(size[1])
    if shape.family == "llama" and kind in ("attn_q", "attn_k"):
        return permute(values, shape.heads if kind == "attn_q" else shape.kv_heads)
    return values


def tensor_type(shape: Shape, name: str, size: tuple[int, ...]) -> Type:
    """How the file stores a tensor: vectors are always F32."""
    return Type.F32 if len(size) == 1 else shape.types.get(name, shape.type)


def stored(values: NDArray[np.float32], kind: Type) -> NDArray[Any]:
    """The tensor's bytes as the file has them."""
    if kind in SUPER_BLOCKS:
        return stored_in_super_blocks(values, kind)
    return gguf.quants.quantize(values, kind)


def stored_in_super_blocks(values: NDArray[np.float32], kind: Type) -> NDArray[np.uint8]:
    """Q4_K, Q5_K and Q6_K, which the gguf package can only read.

    The scales are plain roundings of what a group spreads over, worse than a real quantiser's.
    """
    blocks = values.reshape(-1, 256).astype(np.float64)

    def half(numbers: Array) -> tuple[NDArray[np.uint8], Array]:
        rounded = numbers.astype(np.float16)[:, None]
        return rounded.view(np.uint8), rounded.astype(np.float64)

    if kind == Type.Q6_K:
        groups = blocks.reshape(-1, 16, 16)
        spread = groups.max(axis=2) - groups.min(axis=2)
        bits, unit = half(spread.max(axis=1) / 63 / 127)
        # A scale may be negative.
        sub_scales = np.clip(np.rint(spread / 63 / unit), 1, 127) * np.resize([1, -1], 16)
        codes = np.rint(groups / (unit * sub_scales)[:, :, None]).clip(-32, 31) + 32
        parts = codes.astype(np.uint8).reshape(-1, 2, 4, 32)  # halves, then quarters of these
        low = parts[:, :, :2] & 15 | (parts[:, :, 2:] & 15) << 4
        shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
        high = np.bitwise_or.reduce(parts >> 4 << shifts, axis=2)
        rows = [low, high, sub_scales.astype(np.int8).view(np.uint8), bits]
    else:
        top = 15 if kind == Type.Q4_K else 31
        groups = blocks.reshape(-1, 8, 32)
        minima = np.maximum(-groups.min(axis=2), 0)
        scales = (groups.max(axis=2) + minima) / top
        scale_bits, unit = half(scales.max(axis=1) / 63)
        minimum_bits, minimum_unit = half(minima.max(axis=1) / 63)
        s = np.rint(scales / unit).clip(1, 63).astype(np.uint8)
        m = np.rint(minima / minimum_unit).clip(0, 63).astype(np.uint8)
        shifted = groups + (minimum_unit * m)[:, :, None]
        codes = np.rint(shifted / (unit * s)[:, :, None]).clip(0, top).astype(np.uint8)
        packed = [
            s[:, :4] | s[:, 4:] >> 4 << 6,
            m[:, :4] | m[:, 4:] >> 4 << 6,
            s[:, 4:] & 15 | (m[:, 4:] & 15) << 4,
        ]
        fifth = np.packbits(codes >> 4, axis=1, bitorder="little")
        low = codes[:, ::2] & 15 | (codes[:, 1::2] & 15) << 4
        rows = [scale_bits, minimum_bits, *packed, *([fifth] if top == 31 else []), low]
    joined = np.concatenate([part.reshape(len(blocks), -1) for part in rows], axis=1)
    return np.ascontiguousarray(joined).reshape(values.shape[0], -1)


def metadata(shape: Shape) -> dict[str, Any]:
    """The keys of the file."""
    keys: dict[str, Any] = {
        "block_count": shape.layers,
        "context_length": shape.context,
        "embedding_length": shape.width,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.layer_norm_rms_epsilon": shape.epsilon,
        "rope.freq_base": shape.rope_base,
    }
    if shape.family == "llama":
        keys["vocab_size"] = shape.vocab
    if shape.family == "llama" or shape.rotated:
        keys["rope.dimension_count"] = shape.turned
    if shape.family == "gemma3":
        keys["attention.sliding_window"] = shape.window
    if shape.head_dim or shape.family in ("qwen3", "gemma3"):
        keys |= {"attention.key_length": shape.dim, "attention.value_length": shape.dim}
    named = {f"{shape.family}.{key}": value for key, value in keys.items()}
    return {"general.name": "synthetic", **named}


def byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes in byte-level BPE."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    shifted = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(shifted)) for b in range(256)]


def tokenizer_metadata(vocab: int) -> dict[str, Any]:
    """A byte-level BPE tokenizer: control tokens, the bytes, then pairs of letters, merged."""
    alphabet = byte_alphabet()
    letters = "etaoinshrdlu"
    pairs = [(a, b) for a in letters for b in letters]
    merges = pairs[: vocab - len(CONTROL_TOKENS) - len(alphabet)]
    tokens = [*CONTROL_TOKENS, *alphabet, *(a + b for a, b in merges)]
    tokens += [f"[UNUSED{i}]" for i in range(vocab - len(tokens))]
    unused = len(tokens) - len(CONTROL_TOKENS) - len(alphabet) - len(merges)
    types = [3] * len(CONTROL_TOKENS) + [1] * (len(alphabet) + len(merges)) + [5] * unused
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": [f"{a} {b}" for a, b in merges],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def add_key(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """A key with the value type that the converter gives such a value."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def write(
    path: Path,
    shape: Shape = Shape(),  # it is frozen
    *,
    keys: Mapping[str, Any] | None = None,
    tensors: Mapping[str, tuple[NDArray[Any], Type] | None] | None = None,
    architecture: str | None = None,
) -> Weights:
    """Write a model file.

    Args:
        path: where to.
        shape: the model.
        keys: further or other keys; None takes a key out.
        tensors: further or other tensors as (stored bytes, type); None takes a tensor out.
        architecture: what the file calls itself, if not its family.

    Returns:
        The model's exact weights, without the changes of `tensors`.
    """
    every: dict[str, Any] = {**metadata(shape)}
    if shape.vocab >= len(CONTROL_TOKENS) + 256:
        every |= tokenizer_metadata(shape.vocab)
    every |= keys or {}
    values = random_tensors(shape)
    kinds = {name: tensor_type(shape, name, array.shape) for name, array in values.items()}
    contents: dict[str, tuple[NDArray[Any], Type] | None] = {
        name: (stored(array, kinds[name]), kinds[name]) for name, array in values.items()
    }
    weights = Weights(
        shape,
        {
            name: gguf.quants.dequantize(*content).astype(np.float64)
            for name, content in contents.items()
            if content is not None
        },
        kinds,
    )
    contents |= tensors or {}
    writer = gguf.GGUFWriter(path, shape.family if architecture is None else architecture)
    for key, value in every.items():
        if value is not None:
            add_key(writer, key, value)
    for name, content in contents.items():
        if content is not None:
            writer.add_tensor(name, content[0], raw_dtype=content[1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights
