"""Outrider's side of a comparison: greedy decoding through `LLM`, the loop included.

Plain: with speculation it takes part in `outrider lab run peers`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from outrider.engines.base import CachedSequence
from outrider.engines.native import NativeEngine
from outrider.lab.contest import PLAIN
from outrider.lab.environment import versions
from outrider.llm import LLM, load
from outrider.types import Request
from protocol import Question, answer, load_often, parser, serve


class ForgetfulEngine(NativeEngine):
    """Takes from the prefix cache only while `reuse` is set; else computes every prompt whole."""

    reuse = False

    def open(self, tokens: Sequence[int], capacity: int, *, share: bool = True) -> CachedSequence:
        """A sequence that shares nothing unless it may; see `TargetModel.open`."""
        return super().open(tokens, capacity, share=share and self.reuse)


def generate(llm: LLM, asked: Question) -> dict[str, Any]:
    """Greedy tokens and the seconds they took, as the caller of `LLM.stream` sees them."""
    request = Request(
        tokens=tuple(asked.tokens), max_tokens=asked.max_tokens, ignore_eos=not asked.stop
    )
    chosen: list[int] = []
    came = 0
    start = first = time.perf_counter()
    for event in llm.stream(request):
        if event.tokens and not chosen:
            first, came = time.perf_counter(), len(event.tokens)
        chosen += event.tokens
        if event.error:
            raise SystemExit(event.error)
        if event.usage and event.usage.cached_tokens and not asked.reuse:
            raise SystemExit("A prompt came from the prefix cache: its prefill would flatter.")
    return answer(chosen, came, first - start, time.perf_counter() - first)


def main() -> None:
    """Load, report, then answer."""
    given = parser(__doc__).parse_args()
    settings = {"threads": given.threads, "context": given.context}

    def load_all() -> LLM:
        return LLM(given.model, **settings, plan=PLAIN)

    last, seconds = load_often(given.loads, load_all, LLM.close)
    last.close()
    engine = ForgetfulEngine(given.model, **settings)
    model = replace(load(Path(given.model), **settings), engine=engine)
    with LLM(model, plan=PLAIN) as llm:

        def respond(asked: Question) -> dict[str, Any]:
            engine.reuse = asked.reuse
            return generate(llm, asked)

        report = {
            "load": seconds,
            "versions": versions(),
            "settings": {
                **settings,
                "kernel": engine.kernel,
            },
        }
        serve(report, respond)


if __name__ == "__main__":
    main()
