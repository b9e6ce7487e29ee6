"""Transformers' side of a comparison: greedy decoding, plain or with prompt lookup.

It reads the GGUF file itself and computes with what the weights are unpacked to at loading, which
is faster than to unpack them in every pass.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, GgufConfig
from transformers.generation.streamers import BaseStreamer
from transformers.utils.logging import disable_progress_bar

from protocol import answer, load_often, parser, serve


class Clock(BaseStreamer):
    """Notes when the first tokens came, and how many they were; the prompt comes before them."""

    def __init__(self) -> None:
        self.prompt, self.first, self.came = True, 0.0, 0

    def put(self, value: torch.Tensor) -> None:
        """Take tokens as they come."""
        if self.prompt:
            self.prompt = False
        elif not self.came:
            self.first, self.came = time.perf_counter(), value.numel()

    def end(self) -> None:
        """Nothing is left to do."""


class Peer:
    """A model; every prompt is computed whole."""

    def __init__(self, path: Path, *, dtype: torch.dtype, lookup: int) -> None:
        self._model = AutoModelForCausalLM.from_pretrained(
            str(path.parent),
            gguf_file=path.name,
            quantization_config=GgufConfig(dequantize=True),
            local_files_only=True,
            dtype=dtype,
        ).eval()
        self._lookup = lookup

    def generate(
        self, tokens: list[int], max_tokens: int, reuse: bool, stop: list[int]
    ) -> dict[str, Any]:
        """Greedy tokens; seconds to the first and from first to last."""
        if reuse:
            raise SystemExit("This side computes every prompt whole.")
        config = GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=stop or None,
            pad_token_id=0,
            prompt_lookup_num_tokens=self._lookup or None,
        )
        clock = Clock()
        prompt = torch.tensor([tokens])
        start = time.perf_counter()
        with torch.inference_mode():
            said = self._model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=config,
                streamer=clock,
            )
        end = time.perf_counter()
        chosen = said[0, len(tokens) :].tolist()
        return answer(chosen, clock.came, clock.first - start, end - clock.first)


def main() -> None:
    """Load, report, then answer."""
    arguments = parser(__doc__)
    arguments.add_argument("--dtype", choices=["float32", "bfloat16"], required=True)
    arguments.add_argument("--lookup", type=int, default=0, help="drafted tokens; 0 is plain")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    disable_progress_bar()

    def load() -> Peer:
        return Peer(Path(given.model), dtype=getattr(torch, given.dtype), lookup=given.lookup)

    peer, seconds = load_often(given.loads, load, lambda loaded: None)
    report = {
        "load": seconds,
        "versions": {name: version(name) for name in ("torch", "transformers", "gguf")},
        "settings": {
            "threads": torch.get_num_threads(),
            "dtype": given.dtype,
            "lookup": given.lookup,
        },
    }
    serve(report, peer.generate)


if __name__ == "__main__":
    main()
