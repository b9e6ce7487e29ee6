"""Processes that compute in turn: each is stopped while another works.

A side is a worker that reads one request a line and writes one answer a line; see
`benchmarks/outrider_worker.py` for what stands in them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from outrider.errors import UsageError


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt to be answered by every side.

    Attributes:
        tokens: the prompt.
        category: the kind of task, where the prompt's file says so.
    """

    tokens: tuple[int, ...]
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One prompt, answered once by one side; times in seconds, tokens as they were chosen."""

    side: str
    prompt: int
    category: str | None
    repeat: int
    prompt_tokens: int
    tokens: tuple[int, ...]
    prefill: float
    decode: float

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second, up to the first token."""
        return self.prompt_tokens / self.prefill

    @property
    def decode_rate(self) -> float:
        """Tokens a second, from the first to the last."""
        return (len(self.tokens) - 1) / self.decode


class Side:
    """A worker process that computes only while it is asked.

    Args:
        name: what it is called in tables and records.
        command: the worker and its arguments.
        file: the model file it computes, as tables call it.
        variables: further environment variables.

    Raises:
        UsageError: the worker ended; it has said why on standard error.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        file: str,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.file = name, file
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(variables or {})},
        )
        try:
            self.report: dict[str, Any] = self._read()
        except UsageError:
            self.close()
            raise
        self._process.send_signal(signal.SIGSTOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        # SIGKILL also ends a process that is stopped.
        self._process.kill()
        self._process.communicate()

    def generate(self, tokens: Sequence[int], max_tokens: int, *, reuse: bool) -> dict[str, Any]:
        """Wake the process, have it answer, and stop it again."""
        assert self._process.stdin is not None
        self._process.send_signal(signal.SIGCONT)
        request = {"tokens": list(tokens), "max_tokens": max_tokens, "reuse": reuse}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        self._process.send_signal(signal.SIGSTOP)
        return answer

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise UsageError(f"The worker of {self.name} ended; its message stands above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(
    sides: Sequence[Side],
    tasks: Sequence[Task],
    *,
    max_tokens: int,
    repeats: int,
    reuse: bool = False,
) -> tuple[list[Measurement], list[Measurement]]:
    """All tasks by all sides, interleaved; who begins changes from task to task.

    Args:
        sides: who takes part.
        tasks: what is answered.
        max_tokens: of each answer, at least 2.
        repeats: how often each task is answered.
        reuse: let a side keep what it computed of a prompt for the next time it is asked.

    Returns:
        The first task by each side beforehand, which does not count, and what counts.
    """

    def answer(side: Side, prompt: int, repeat: int) -> Measurement:
        task = tasks[prompt]
        values = side.generate(task.tokens, max_tokens, reuse=reuse)
        return Measurement(
            side=side.name,
            prompt=prompt,
            category=task.category,
            repeat=repeat,
            prompt_tokens=len(task.tokens),
            tokens=tuple(values["tokens"]),
            prefill=values["prefill"],
            decode=values["decode"],
        )

    warm_up = [answer(side, 0, 0) for side in sides]
    found = []
    for repeat in range(repeats):
        for prompt in range(len(tasks)):
            turn = (repeat + prompt) % len(sides)
            found += [answer(side, prompt, repeat) for side in [*sides[turn:], *sides[:turn]]]
        print(f"{repeat + 1} of {repeats} repeats done", file=sys.stderr)
    return warm_up, found
