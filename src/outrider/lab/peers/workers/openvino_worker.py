"""OpenVINO GenAI's side of a comparison: greedy decoding, plain or with prompt lookup."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import numpy as np
import openvino
import openvino_genai

from protocol import Question, answer, load_often, parser, serve


class Clock(openvino_genai.StreamerBase):
    """Notes when the first tokens came, and how many they were."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.came = 0.0, 0

    def write(self, tokens: int | list[int]) -> openvino_genai.StreamingStatus:
        """Take tokens as they come."""
        if not self.came:
            self.first, self.came = time.perf_counter(), len(np.atleast_1d(tokens))
        return openvino_genai.StreamingStatus.RUNNING

    def end(self) -> None:
        """Nothing is left to do."""


class Peer:
    """A pipeline; every prompt is computed whole."""

    def __init__(self, model: str, *, threads: int, lookup: int, ngram: int) -> None:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False
        scheduler.cache_size = 1
        # Paged attention: the other backend is slower here, and cannot draft.
        properties: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "ATTENTION_BACKEND": "PA",
            "scheduler_config": scheduler,
        }
        if lookup:
            properties["prompt_lookup"] = True
        self._pipeline = openvino_genai.LLMPipeline(model, "CPU", **properties)
        self._lookup, self._ngram = lookup, ngram

    def generate(self, asked: Question) -> dict[str, Any]:
        """Greedy tokens; seconds to the first and from first to last."""
        asked.whole()
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = asked.max_tokens
        config.ignore_eos = not asked.stop
        config.stop_token_ids = set(asked.stop)
        config.apply_chat_template = False
        if self._lookup:
            config.num_assistant_tokens = self._lookup
            config.max_ngram_size = self._ngram
        clock = Clock()
        prompt = openvino.Tensor(np.array([asked.tokens], np.int64))
        start = time.perf_counter()
        said = self._pipeline.generate(prompt, config, clock)
        end = time.perf_counter()
        return answer(list(said.tokens[0]), clock.came, clock.first - start, end - clock.first)


def main() -> None:
    """Load, report, then answer."""
    arguments = parser(__doc__)
    arguments.add_argument("--lookup", type=int, default=0, help="drafted tokens; 0 is plain")
    arguments.add_argument("--ngram", type=int, default=3, help="the longest match looked for")
    given = arguments.parse_args()

    def load() -> Peer:
        return Peer(
            given.model,
            threads=given.threads,
            lookup=given.lookup,
            ngram=given.ngram,
        )

    peer, seconds = load_often(given.loads, load, lambda loaded: None)
    report = {
        "load": seconds,
        "versions": {name: version(name) for name in ("openvino", "openvino-genai")},
        "settings": {
            "threads": given.threads,
            "lookup": given.lookup,
            "ngram": given.ngram if given.lookup else None,
        },
    }
    serve(report, peer.generate)


if __name__ == "__main__":
    main()
