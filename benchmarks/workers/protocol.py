"""What every worker of a comparison speaks, over its standard input and output.

One JSON object a line. First the worker says its report: the seconds of each load, versions,
settings. Then it answers each request. {"tokens", "max_tokens", "reuse", "stop"} asks for greedy
tokens behind a prompt, up to one of `stop`, which is among them if it came; with "reuse" what was
computed of the same prompt before need not be computed again. The answer {"tokens", "first",
"prefill", "decode"} has the seconds until the first tokens are there, how many these were, and the
seconds from then to the end. {"forget": true} has the worker forget what it has learnt from earlier
prompts; the answer is {}.

It imports nothing of Outrider: a peer's worker runs in the peer's own environment.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

Loaded = TypeVar("Loaded")


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every worker takes."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("model")
    arguments.add_argument("--threads", type=int, required=True)
    arguments.add_argument("--context", type=int, required=True)
    arguments.add_argument("--loads", type=int, required=True)
    return arguments


def load_often(
    count: int, load: Callable[[], Loaded], close: Callable[[Loaded], None]
) -> tuple[Loaded, list[float]]:
    """Load a model `count` times; the last one stays. The seconds of each."""
    seconds: list[float] = []
    while True:
        start = time.perf_counter()
        loaded = load()
        seconds.append(time.perf_counter() - start)
        if len(seconds) == count:
            return loaded, seconds
        close(loaded)


def answer(tokens: list[int], first: int, prefill: float, decode: float) -> dict[str, Any]:
    """An answer as it is written."""
    return {"tokens": tokens, "first": first, "prefill": prefill, "decode": decode}


def serve(
    report: dict[str, Any],
    generate: Callable[[list[int], int, bool, list[int]], dict[str, Any]],
    forget: Callable[[], None] = lambda: None,
) -> None:
    """Report, then answer requests until the input ends.

    Args:
        report: what is said of the side.
        generate: answers tokens, max_tokens, reuse and stop.
        forget: drops what was learnt; nothing, for a side that learns nothing.
    """
    print(json.dumps(report), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("forget"):
            forget()
            said: dict[str, Any] = {}
        else:
            said = generate(
                request["tokens"], request["max_tokens"], request["reuse"], request["stop"]
            )
        print(json.dumps(said), flush=True)
