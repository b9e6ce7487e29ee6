"""Writes a model as OpenVINO computes drafted tokens fastest: 8-bit weights, a scale a channel.

Takes a GGUF file that OpenVINO GenAI reads, with real-valued weights, and a folder.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nncf
import openvino
import openvino_genai


def main() -> None:
    """Read, compress, write."""
    source, out = map(Path, sys.argv[1:])
    with TemporaryDirectory(dir=out.parent) as folder:
        # What is read is written beside the file.
        link = Path(folder) / source.name
        link.symlink_to(source.resolve())
        openvino_genai.LLMPipeline(str(link), "CPU", enable_save_ov_model=True)
        model = openvino.Core().read_model(link.with_name("openvino_model.xml"))
        compressed = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
        out.mkdir()
        openvino.save_model(compressed, out / "openvino_model.xml", compress_to_fp16=False)
        for part in ("tokenizer", "detokenizer"):
            for suffix in ("xml", "bin"):
                shutil.copy(Path(folder) / f"openvino_{part}.{suffix}", out)


if __name__ == "__main__":
    main()
