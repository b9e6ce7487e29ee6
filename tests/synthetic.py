"""Small GGUF files with random weights, written as the usual converter writes them.

`write` makes a file of the llama family; `Weights` is the same model as exact float64 arrays, in
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

QUANTIZED = (Type.Q4_0, Type.Q4_1, Type.Q8_0)
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


MIXED = Shape(
    types={
        "token_embd.weight": Type.Q8_0,
        "blk.0.attn_v.weight": Type.Q4_0,
        "blk.1.ffn_down.weight": Type.F16,
        "blk.1.attn_q.weight": Type.Q8_0,
    },
)
"""Every layout of a matrix in one small model."""


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


def permute(matrix: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of q and k as the converter reorders them: halves of a head become neighbours."""
    outputs, inputs = matrix.shape
    halves = matrix.reshape(heads, 2, outputs // heads // 2, inputs)
    return halves.swapaxes(1, 2).reshape(outputs, inputs)


def random_tensors(shape: Shape) -> dict[str, NDArray[np.float32]]:
    """The tensors of a model before they are stored, in the converter's order."""
    tensors: dict[str, NDArray[np.float32]] = {}

    def normal(name: str, *size: int) -> Array:
        # A tensor's values depend on its name only, so that a model's first layers are those of
        # the same model with fewer.
        seeds = (shape.seed, zlib.crc32(name.encode()))
        return np.random.default_rng(seeds).standard_normal(size)

    def matrix(name: str, outputs: int, inputs: int, gain: float = 1.0) -> None:
        values = normal(name, outputs, inputs) * gain / np.sqrt(inputs)
        tensors[name] = values.astype(np.float32)

    def norm(name: str) -> None:
        tensors[name] = (1.0 + 0.2 * normal(name, shape.width)).astype(np.float32)

    width, query, key = shape.width, shape.heads * shape.dim, shape.kv_heads * shape.dim
    heads_of = {"attn_q": shape.heads, "attn_k": shape.kv_heads}
    matrix("token_embd.weight", shape.vocab, width, gain=np.sqrt(width))
    for i in range(shape.layers):
        at = f"blk.{i}."
        norm(at + "attn_norm.weight")
        # Strong enough that attention prefers some positions over others.
        for name, heads in heads_of.items():
            matrix(f"{at}{name}.weight", heads * shape.dim, width, gain=2.0)
            tensors[f"{at}{name}.weight"] = permute(tensors[f"{at}{name}.weight"], heads)
        matrix(at + "attn_v.weight", key, width)
        matrix(at + "attn_output.weight", width, query)
        norm(at + "ffn_norm.weight")
        matrix(at + "ffn_gate.weight", shape.feed_forward, width)
        matrix(at + "ffn_up.weight", shape.feed_forward, width)
        matrix(at + "ffn_down.weight", width, shape.feed_forward)
    norm("output_norm.weight")
    if not shape.tied:
        matrix("output.weight", shape.vocab, width)
    if shape.rope_freqs:
        pairs = shape.turned // 2
        tensors["rope_freqs.weight"] = np.linspace(1.0, 8.0, pairs, dtype=np.float32)
    return tensors


def tensor_type(shape: Shape, name: str, values: NDArray[np.float32]) -> Type:
    """How the file stores a tensor: vectors are always F32."""
    return Type.F32 if values.ndim == 1 else shape.types.get(name, shape.type)


def stored(values: NDArray[np.float32], kind: Type) -> NDArray[Any]:
    """The tensor's bytes as the file has them."""
    return gguf.quants.quantize(values, kind)


def metadata(shape: Shape) -> dict[str, Any]:
    """The keys of the file."""
    keys: dict[str, Any] = {
        "general.name": "synthetic",
        "llama.block_count": shape.layers,
        "llama.context_length": shape.context,
        "llama.embedding_length": shape.width,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.attention.layer_norm_rms_epsilon": shape.epsilon,
        "llama.rope.freq_base": shape.rope_base,
        "llama.rope.dimension_count": shape.turned,
        "llama.vocab_size": shape.vocab,
    }
    if shape.head_dim:
        keys["llama.attention.key_length"] = shape.head_dim
        keys["llama.attention.value_length"] = shape.head_dim
    return keys


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
    architecture: str = "llama",
) -> Weights:
    """Write a model file.

    Args:
        path: where to.
        shape: the model.
        keys: further or other keys; None takes a key out.
        tensors: further or other tensors as (stored bytes, type); None takes a tensor out.
        architecture: what the file calls itself.

    Returns:
        The model's exact weights, without the changes of `tensors`.
    """
    every: dict[str, Any] = {**metadata(shape)}
    if shape.vocab >= len(CONTROL_TOKENS) + 256:
        every |= tokenizer_metadata(shape.vocab)
    every |= keys or {}
    values = random_tensors(shape)
    kinds = {name: tensor_type(shape, name, array) for name, array in values.items()}
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
    writer = gguf.GGUFWriter(path, architecture)
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
