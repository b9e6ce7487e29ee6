"""Outrider's side of a comparison: plain greedy decoding through `LLM`, the loop included.

One JSON object a line. First comes a report: seconds of each load, versions, settings. Then each
request {"tokens", "max_tokens", "reuse"} is answered by {"tokens", "prefill", "decode"}: the greedy
tokens, end-of-text ignored, and the seconds to the first of them and from the first to the last.
With "reuse" what was computed of the same prompt before need not be computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from outrider.engines.base import CachedSequence
from outrider.engines.native import NativeEngine
from outrider.lab.environment import versions
from outrider.llm import LLM, load
from outrider.types import Request, Speculation


class ForgetfulEngine(NativeEngine):
    """Takes from the prefix cache only while `reuse` is set; else computes every prompt whole."""

    reuse = False

    def open(self, tokens: Sequence[int], capacity: int, *, share: bool = True) -> CachedSequence:
        """A sequence that shares nothing unless it may; see `TargetModel.open`."""
        return super().open(tokens, capacity, share=share and self.reuse)


def generate(llm: LLM, tokens: Sequence[int], max_tokens: int, reuse: bool) -> dict[str, Any]:
    """Greedy tokens and the seconds they took, as the caller of `LLM.stream` sees them."""
    request = Request(
        tokens=tuple(tokens),
        max_tokens=max_tokens,
        ignore_eos=True,
        speculation=Speculation(enabled=False),
    )
    chosen: list[int] = []
    start = first = time.perf_counter()
    for event in llm.stream(request):
        if event.tokens and not chosen:
            first = time.perf_counter()
        chosen += event.tokens
        if event.error:
            raise SystemExit(event.error)
        if event.usage and event.usage.cached_tokens and not reuse:
            raise SystemExit("A prompt came from the prefix cache: its prefill would flatter.")
    return {"tokens": chosen, "prefill": first - start, "decode": time.perf_counter() - first}


def main() -> None:
    """Load, report, then answer one request a line until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--loads", type=int, required=True)
    given = parser.parse_args()
    settings = {"threads": given.threads, "context": given.context}
    seconds: list[float] = []
    for _ in range(given.loads):
        start = time.perf_counter()
        with LLM(given.model, **settings):
            seconds.append(time.perf_counter() - start)
    engine = ForgetfulEngine(given.model, **settings)
    with LLM(replace(load(Path(given.model), **settings), engine=engine)) as llm:
        report = {
            "load": seconds,
            "versions": versions(),
            "settings": {**settings, "kernel": engine.kernel},
        }
        print(json.dumps(report), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            engine.reuse = request["reuse"]
            print(json.dumps(generate(llm, **request)), flush=True)


if __name__ == "__main__":
    main()
