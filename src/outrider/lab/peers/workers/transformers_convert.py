"""Writes a model as engines read it that know transformers' format: weights in bfloat16.

Takes a GGUF file and a folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GgufConfig


def main() -> None:
    """Read, write."""
    source, out = map(Path, sys.argv[1:])
    model = AutoModelForCausalLM.from_pretrained(
        str(source.parent),
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        local_files_only=True,
        dtype=torch.bfloat16,
    )
    # The weights are unpacked, and the copy's configuration is not to say that they are packed.
    model.config.__dict__.pop("quantization_config", None)
    model.save_pretrained(out)


if __name__ == "__main__":
    main()
