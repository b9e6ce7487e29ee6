"""Writes what the fuzzers start from: small models of every family and type of weights.

Usage: python fuzz/seeds.py FOLDER, which gets `models` for the passes and `files` for the reader.
"""

import sys
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import gguf
from gguf import GGMLQuantizationType as Type

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from synthetic import FAMILIES, QUANTIZED, REAL, SUPER_BLOCKS, Shape, write  # noqa: E402

TINY: Mapping[str, Any] = {
    "layers": 1,
    "width": 32,
    "heads": 2,
    "kv_heads": 1,
    "feed_forward": 32,
    "vocab": 40,
    "context": 1200,
    "type": Type.Q4_0,
}
ATTENTION = [f"blk.0.attn_{name}.weight" for name in ("q", "k", "v", "output")]
MATRICES = [*ATTENTION, *(f"blk.0.ffn_{name}.weight" for name in ("gate", "up", "down"))]


def shape(**options: Any) -> Shape:
    """A tiny model, but for what is said."""
    return Shape(**TINY | options)


def mixed(*kinds: Type) -> dict[str, Type]:
    """These types in turn for the matrices of a layer."""
    return dict(zip(MATRICES, cycle(kinds), strict=False))


MODELS = {
    "llama": shape(
        layers=2,
        types=mixed(*QUANTIZED) | {"token_embd.weight": Type.Q8_0},
        tied=False,
        rope_freqs=True,
    ),
    # The sixth layer attends to everything.
    "gemma3": shape(family="gemma3", layers=6, window=20),
    "qwen2": shape(family="qwen2", type=Type.Q5_1, kv_heads=2),
    # More queries for a key than are computed together.
    "qwen3": shape(family="qwen3", type=Type.Q5_0, heads=14, head_dim=16, rotated=8),
    # Rows of these types are multiples of 256 long.
    "super-blocks": shape(
        width=256,
        head_dim=16,
        type=Type.Q4_K,
        types=mixed(*SUPER_BLOCKS)
        | {"blk.0.attn_output.weight": Type.Q4_0, "blk.0.ffn_down.weight": Type.Q4_1},
    ),
}
# The smaller a file, the more of it is reached by a change of some bytes.
FILES = {
    "quantised": shape(types=mixed(*QUANTIZED), vocab=8, tied=False, rope_freqs=True),
    "real": shape(types=dict(zip(ATTENTION[:3], REAL, strict=True)), vocab=8),
    **{
        kind.name: shape(heads=16, head_dim=16, types={"blk.0.attn_output.weight": kind}, vocab=8)
        for kind in SUPER_BLOCKS
    },
    **{family: shape(family=family, vocab=8) for family in FAMILIES},
    "tokenizer": shape(vocab=260),
}

DEFAULTS = {"general.alignment": 32, "llama.rope.scaling.type": "none"}
"""Keys that say what holds without them."""


def sentencepiece(vocab: int) -> dict[str, Any]:
    """The keys of a SentencePiece tokenizer: scores instead of merges."""
    model = "tokenizer.ggml."
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"▁{i}" for i in range(vocab - 4)]
    return {
        model + "model": "llama",
        model + "tokens": pieces,
        model + "scores": [-float(i) for i in range(vocab)],
        model + "token_type": [3, 3, 3, 2] + [1] * (vocab - 4),
        model + "bos_token_id": 2,
        model + "add_bos_token": True,
        model + "add_space_prefix": False,
    }


def write_every_value(path: Path) -> None:
    """A file without tensors that has a key of each type of value, and arrays of some."""
    writer = gguf.GGUFWriter(path, "llama")
    for kind in gguf.GGUFValueType:
        if kind is gguf.GGUFValueType.ARRAY:
            continue
        value = "text" if kind is gguf.GGUFValueType.STRING else 1
        writer.add_key_value(f"a.{kind.name.lower()}", value, kind)
        writer.add_key_value(
            f"b.{kind.name.lower()}", [value, value], gguf.GGUFValueType.ARRAY, kind
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main(folder: Path) -> None:
    """Write every seed."""
    for kind, shapes in (("models", MODELS), ("files", FILES)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, model in shapes.items():
            write(folder / kind / name, model)
    write(folder / "files" / "sentencepiece", shape(), keys=sentencepiece(TINY["vocab"]))
    write(folder / "files" / "keys", shape(vocab=8), keys=DEFAULTS)
    write_every_value(folder / "files" / "values")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
