"""Outrider's side of a comparison: plain greedy decoding through `LLM`, the loop included.

One JSON object a line. First comes a report: seconds of each load, versions, settings. Then each
request {"tokens", "max_tokens"} is answered by {"tokens", "prefill", "decode"}: the greedy tokens,
end-of-text ignored, and the seconds to the first of them and from the first to the last.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np

from outrider.engines.base import HISTORY, Rows
from outrider.engines.native import NativeEngine
from outrider.sampling import Sampler
from outrider.types import Sampling


class Plain:
    """The engine driven by hand."""

    def __init__(self, path: str, *, threads: int, context: int) -> None:
        self.engine = NativeEngine(path, threads=threads, context=context)

    def generate(self, tokens: list[int], max_tokens: int) -> dict[str, Any]:
        """Greedy tokens and the seconds they took."""
        self.engine.clear_cache()
        start = time.perf_counter()
        sequence = self.engine.open([], len(tokens) + max_tokens)
        sampler = Sampler(Sampling(), vocab_size=self.engine.vocab_size, seed=0)
        chosen: list[int] = []
        feed = tokens
        while len(chosen) < max_tokens:
            n = len(feed)
            outcome = self.engine.forward(
                Rows(
                    sequence=np.full(n, sequence.id, np.int32),
                    token=np.array(feed, np.int32),
                    parent=np.arange(HISTORY, n + HISTORY, dtype=np.int32),
                    commit=np.ones(n, np.bool_),
                    want_logits=np.arange(n) == n - 1,
                )
            )
            chosen += outcome.choose([n - 1], [sampler], [len(tokens) + len(chosen)])
            if len(chosen) == 1:
                first = time.perf_counter()
            feed = chosen[-1:]
        end = time.perf_counter()
        self.engine.close(sequence)
        return {"tokens": chosen, "prefill": first - start, "decode": end - first}


def main() -> None:
    """Load, report, then answer one request a line until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--loads", type=int, required=True)
    given = parser.parse_args()
    seconds: list[float] = []
    for _ in range(given.loads):
        start = time.perf_counter()
        model = Plain(given.model, threads=given.threads, context=given.context)
        seconds.append(time.perf_counter() - start)
    report = {
        "load": seconds,
        "versions": {},
        "settings": {
            "threads": given.threads,
            "context": given.context,
            "kernel": model.engine.kernel,
        },
    }
    print(json.dumps(report), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(model.generate(request["tokens"], request["max_tokens"])), flush=True)


if __name__ == "__main__":
    main()
