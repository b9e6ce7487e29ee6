"""Writes the seeds of the fuzzers: one tiny model of each kind of weights, and one with all.

Run from the repository's root: python fuzz/seeds.py
"""

import sys
from pathlib import Path

from gguf import GGMLQuantizationType as Type

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from synthetic import MIXED, QUANTIZED, Shape, write  # noqa: E402

TINY = {"width": 32, "heads": 2, "kv_heads": 1, "feed_forward": 32, "vocab": 40, "context": 400}


def main() -> None:
    """Write every seed of the reader; the one called `mixed` is also what the passes run on."""
    seeds = ROOT / "fuzz" / "corpus" / "file"
    seeds.mkdir(parents=True, exist_ok=True)
    for kind in (*QUANTIZED, Type.F16, Type.BF16):
        write(seeds / kind.name.lower(), Shape(layers=1, type=kind, **TINY))
    write(seeds / "mixed", Shape(types=MIXED.types, tied=False, rope_freqs=True, **TINY))
    write(seeds / "tokenizer", Shape(layers=1, type=Type.Q4_0, **TINY | {"vocab": 260}))


if __name__ == "__main__":
    main()
