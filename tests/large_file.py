"""A model file of 2 GB, written about as fast as the disk takes it."""

from __future__ import annotations

import math
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from synthetic import (
    Shape,
    add_key,
    metadata,
    random_tensor,
    stored,
    tensor_sizes,
    tensor_type,
    tokenizer_metadata,
)

RANDOM_ROWS = 512

LARGE = Shape(
    layers=28,
    width=2048,
    heads=32,
    kv_heads=8,
    feed_forward=8192,
    vocab=128_256,
    tied=False,
    types={
        "token_embd.weight": Type.Q8_0,
        "output.weight": Type.Q8_0,
        **{
            f"blk.{layer}.{name}.weight": Type.Q8_0
            for layer in range(0, 28, 2)
            for name in ("ffn_gate", "ffn_up", "ffn_down")
        },
    },
)
"""Layers like those of a Llama with a milliard weights, Q4_1 but for every other feed-forward."""


def write_repeated(path: Path, shape: Shape) -> None:
    """Write a valid file of the shape whose matrices repeat the same random weights."""
    sizes = tensor_sizes(shape)
    kinds = {name: tensor_type(shape, name, size) for name, size in sizes.items()}
    matrices = [name for name, size in sizes.items() if len(size) == 2]
    contents = {
        kind: repeated_blocks(
            kind,
            shape.width,
            max(math.prod(sizes[name]) for name in matrices if kinds[name] == kind),
        )
        for kind in {kinds[name] for name in matrices}
    }
    writer = gguf.GGUFWriter(path, shape.family)
    for key, value in (metadata(shape) | tokenizer_metadata(shape.vocab)).items():
        add_key(writer, key, value)
    for name, size in sizes.items():
        kind = kinds[name]
        if name in matrices:
            rows, row_bytes = gguf.quant_shape_to_byte_shape(size, kind)
            content = contents[kind][: rows * row_bytes].reshape(rows, row_bytes)
        else:
            content = random_tensor(shape, name, size).astype(np.float32)
        writer.add_tensor(name, content, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def repeated_blocks(kind: Type, width: int, elements: int) -> NDArray[np.uint8]:
    """So many weights of a quantised type, one block after another.

    A block says all about its weights, so that rows of any length can be cut from these.
    """
    values = np.random.default_rng(0).standard_normal((RANDOM_ROWS, width)) / np.sqrt(width)
    some = stored(values.astype(np.float32), kind).ravel()
    per_block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    return np.resize(some, elements // per_block * block_bytes)
