"""What every worker of a comparison speaks, over its standard input and output.

One JSON object a line. First the worker says its report: the seconds of each load, versions,
settings. Then it answers each request. {"tokens", "max_tokens", "reuse", "stop", "options"} asks
for greedy tokens behind a prompt, up to one of `stop`, which is among them if it came; with "reuse"
what was computed of the same prompt before need not be computed again; "options" are for workers
that answer in several ways. The answer {"tokens", "first", "prefill", "decode"} has the seconds
until the first tokens are there, how many these were, and the seconds from then to the end.
{"forget": true} has the worker forget what it has learnt from earlier prompts; the answer is {}.

It imports nothing of Outrider: a peer's worker runs in the peer's own environment.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TextIO, TypeVar

Loaded = TypeVar("Loaded")

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Question:
    """A request for an answer: see above."""

    tokens: list[int]
    max_tokens: int
    reuse: bool
    stop: list[int]
    options: dict[str, Any]

    def whole(self) -> None:
        """For a side that keeps nothing of a prompt."""
        if self.reuse:
            raise SystemExit("This side computes every prompt whole.")


def end_with_parent() -> None:
    """Have the kernel end this process with the one that started it.

    A worker is stopped for most of its life, and a stopped process notices nothing.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@cache
def answers() -> TextIO:
    """Where answers go; what libraries print goes to standard error from now on."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every worker takes."""
    end_with_parent()
    answers()
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
    generate: Callable[[Question], dict[str, Any]],
    forget: Callable[[], None] = lambda: None,
) -> None:
    """Report, then answer requests until the input ends.

    Args:
        report: what is said of the side.
        generate: answers a question.
        forget: drops what was learnt; nothing, for a side that learns nothing.
    """

    def say(values: dict[str, Any]) -> None:
        print(json.dumps(values), file=answers(), flush=True)

    say(report)
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("forget"):
            forget()
            say({})
        else:
            say(generate(Question(**request)))
