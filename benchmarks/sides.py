"""Processes that compute in turn: each is stopped while another works.

A side is a worker that reads one request a line and writes one answer a line; see
`workers/protocol.py` for what stands in them.
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
    """One prompt, answered once by one side; times in seconds.

    Attributes:
        side: whose answer it is.
        prompt: which one, from 0.
        category: of the prompt.
        repeat: which one, from 0.
        prompt_tokens: of the prompt.
        tokens: as they were chosen, without the one that ended the text.
        prefill: until the first tokens were there.
        decode: from then to the end.
        first: how many the first were.
    """

    side: str
    prompt: int
    category: str | None
    repeat: int
    prompt_tokens: int
    tokens: tuple[int, ...]
    prefill: float
    decode: float
    first: int = 1

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second, up to the first token."""
        return self.prompt_tokens / self.prefill

    @property
    def decode_rate(self) -> float:
        """Tokens a second, from the first to the last; 0 where none came after the first."""
        return self.decoded / self.decode if self.decoded else 0.0

    @property
    def end_to_end_rate(self) -> float:
        """Tokens a second, from the question to the last."""
        return len(self.tokens) / (self.prefill + self.decode)

    @property
    def decoded(self) -> int:
        """Tokens that came after the first."""
        return max(0, len(self.tokens) - self.first)


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
            # What the worker starts stops and ends with it.
            start_new_session=True,
        )
        try:
            self.report: dict[str, Any] = self._read()
        except UsageError:
            self.close()
            raise
        self._signal(signal.SIGSTOP)

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
        self._signal(signal.SIGKILL)
        self._process.communicate()

    def generate(
        self, tokens: Sequence[int], max_tokens: int, *, reuse: bool, stop: Sequence[int] = ()
    ) -> dict[str, Any]:
        """Wake the process, have it answer, and stop it again."""
        return self._ask(
            {
                "tokens": list(tokens),
                "max_tokens": max_tokens,
                "reuse": reuse,
                "stop": list(stop),
            }
        )

    def forget(self) -> None:
        """Have it forget what it learnt from earlier prompts."""
        self._ask({"forget": True})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._signal(signal.SIGCONT)
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        self._signal(signal.SIGSTOP)
        return answer

    def _signal(self, number: signal.Signals) -> None:
        """To the worker and all that it has started."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, number)

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
    stop: Sequence[int] = (),
) -> tuple[list[Measurement], list[Measurement]]:
    """All tasks by all sides, interleaved; who begins changes from task to task.

    Every repeat begins with sides that have learnt nothing.

    Args:
        sides: who takes part.
        tasks: what is answered.
        max_tokens: of each answer, at least 2.
        repeats: how often each task is answered.
        reuse: let a side keep what it computed of a prompt for the next time it is asked.
        stop: tokens that end an answer; none lets it go on to its last token.

    Returns:
        The first task by each side beforehand, which does not count, and what counts.
    """

    def answer(side: Side, prompt: int, repeat: int) -> Measurement:
        task = tasks[prompt]
        values = side.generate(task.tokens, max_tokens, reuse=reuse, stop=stop)
        tokens = values["tokens"]
        if tokens and tokens[-1] in stop:
            del tokens[-1]
        return Measurement(
            side=side.name,
            prompt=prompt,
            category=task.category,
            repeat=repeat,
            prompt_tokens=len(task.tokens),
            tokens=tuple(tokens),
            prefill=values["prefill"],
            decode=values["decode"],
            first=values["first"],
        )

    warm_up = [answer(side, 0, 0) for side in sides]
    found = []
    for repeat in range(repeats):
        for side in sides:
            side.forget()
        for prompt in range(len(tasks)):
            turn = (repeat + prompt) % len(sides)
            found += [answer(side, prompt, repeat) for side in [*sides[turn:], *sides[:turn]]]
        print(f"{repeat + 1} of {repeats} repeats done", file=sys.stderr)
    return warm_up, found
