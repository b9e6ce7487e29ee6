"""Outrider's side of a comparison: greedy decoding through `LLM`, the loop included.

Plain, or with --speculation as it is by default: then it learns from prompt to prompt until it is
told to forget, or with --cold forgets before every prompt.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from outrider.engines.base import CachedSequence
from outrider.engines.native import NativeEngine
from outrider.lab.environment import versions
from outrider.llm import LLM, load
from outrider.plan import Plan
from outrider.types import Request
from protocol import answer, load_often, parser, serve


class ForgetfulEngine(NativeEngine):
    """Takes from the prefix cache only while `reuse` is set; else computes every prompt whole."""

    reuse = False

    def open(self, tokens: Sequence[int], capacity: int, *, share: bool = True) -> CachedSequence:
        """A sequence that shares nothing unless it may; see `TargetModel.open`."""
        return super().open(tokens, capacity, share=share and self.reuse)


def generate(
    llm: LLM, tokens: Sequence[int], max_tokens: int, reuse: bool, ignore_eos: bool
) -> dict[str, Any]:
    """Greedy tokens and the seconds they took, as the caller of `LLM.stream` sees them."""
    request = Request(tokens=tuple(tokens), max_tokens=max_tokens, ignore_eos=ignore_eos)
    chosen: list[int] = []
    came = 0
    start = first = time.perf_counter()
    for event in llm.stream(request):
        if event.tokens and not chosen:
            first, came = time.perf_counter(), len(event.tokens)
        chosen += event.tokens
        if event.error:
            raise SystemExit(event.error)
        if event.usage and event.usage.cached_tokens and not reuse:
            raise SystemExit("A prompt came from the prefix cache: its prefill would flatter.")
    return answer(chosen, came, first - start, time.perf_counter() - first)


def main() -> None:
    """Load, report, then answer."""
    arguments = parser(__doc__)
    arguments.add_argument("--speculation", action="store_true")
    arguments.add_argument("--cold", action="store_true")
    given = arguments.parse_args()
    settings = {"threads": given.threads, "context": given.context}
    plan = Plan() if given.speculation else Plan(name="plain", drafter="none")
    last, seconds = load_often(
        given.loads, lambda: LLM(given.model, **settings, plan=plan), LLM.close
    )
    last.close()
    engine = ForgetfulEngine(given.model, **settings)
    model = replace(load(Path(given.model), **settings), engine=engine)
    with LLM(model, plan=plan) as llm:

        def forget() -> None:
            with llm.fresh():
                pass

        def respond(
            tokens: list[int], max_tokens: int, reuse: bool, stop: list[int]
        ) -> dict[str, Any]:
            if stop and set(stop) != llm.tokenizer.stop_ids:
                raise SystemExit(f"The model ends at {sorted(llm.tokenizer.stop_ids)}, not {stop}.")
            engine.reuse = reuse
            if given.cold:
                forget()
            return generate(llm, tokens, max_tokens, reuse, ignore_eos=not stop)

        report = {
            "load": seconds,
            "versions": versions(),
            "settings": {
                **settings,
                "kernel": engine.kernel,
                "drafter": plan.drafter,
                "controller": None if plan.plain else plan.controller,
                "cold": given.cold,
            },
        }
        serve(report, respond, forget)


if __name__ == "__main__":
    main()
