"""Transformers' side of a comparison: greedy decoding, plain, with prompt lookup, or assisted.

It reads GGUF files itself and computes with what the weights are unpacked to at loading, which is
faster than to unpack them in every pass. The option "lookup" says how many tokens prompt lookup
drafts, "assisted" how many the draft model does; without either it decodes plainly.
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

from protocol import Question, answer, load_often, parser, serve


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


def read(path: str, dtype: torch.dtype) -> Any:
    """A model with the weights of a GGUF file, unpacked."""
    return AutoModelForCausalLM.from_pretrained(
        str(Path(path).parent),
        gguf_file=Path(path).name,
        quantization_config=GgufConfig(dequantize=True),
        local_files_only=True,
        dtype=dtype,
    ).eval()


class Peer:
    """A model, and one that drafts where there is one; every prompt is computed whole."""

    def __init__(self, path: str, *, draft: str | None, dtype: torch.dtype) -> None:
        self._model = read(path, dtype)
        self._draft = read(draft, dtype) if draft else None

    def generate(self, asked: Question) -> dict[str, Any]:
        """Greedy tokens; seconds to the first and from first to last."""
        asked.whole()
        assisted = asked.options.get("assisted")
        config = GenerationConfig(
            max_new_tokens=asked.max_tokens,
            do_sample=False,
            eos_token_id=asked.stop or None,
            pad_token_id=0,
            prompt_lookup_num_tokens=asked.options.get("lookup"),
        )
        drafting: dict[str, Any] = {}
        if assisted:
            assert self._draft is not None
            drafting["assistant_model"] = self._draft
            settings = self._draft.generation_config
            settings.num_assistant_tokens = assisted
            settings.num_assistant_tokens_schedule = "constant"
        clock = Clock()
        prompt = torch.tensor([asked.tokens])
        start = time.perf_counter()
        with torch.inference_mode():
            said = self._model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=config,
                streamer=clock,
                **drafting,
            )
        end = time.perf_counter()
        chosen = said[0, len(asked.tokens) :].tolist()
        return answer(chosen, clock.came, clock.first - start, end - clock.first)


def main() -> None:
    """Load, report, then answer."""
    arguments = parser(__doc__)
    arguments.add_argument("--dtype", choices=["float32", "bfloat16"], required=True)
    arguments.add_argument("--draft", help="a model that drafts")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    disable_progress_bar()

    def load() -> Peer:
        return Peer(given.model, draft=given.draft, dtype=getattr(torch, given.dtype))

    peer, seconds = load_often(given.loads, load, lambda loaded: None)
    report = {
        "load": seconds,
        "versions": {name: version(name) for name in ("torch", "transformers", "gguf")},
        "settings": {
            "threads": torch.get_num_threads(),
            "dtype": given.dtype,
            "draft": Path(given.draft).name if given.draft else None,
        },
    }
    serve(report, peer.generate)


if __name__ == "__main__":
    main()
