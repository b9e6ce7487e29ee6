"""Sides that answer in turn, each stopped while another computes, and what is kept of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from outrider.lab.peers.sides import Side


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
        tokens: as they were chosen; the end of a text ends no answer.
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
    def decoded(self) -> int:
        """Tokens that came after the first."""
        return max(0, len(self.tokens) - self.first)


class FileSide(Side):
    """A side that says which model file it computes, as tables call it."""

    def __init__(self, name: str, command: Sequence[str], *, file: str, **further: Any) -> None:
        super().__init__(name, command, **further)
        self.file = file


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
            first=values["first"],
        )

    warm_up = [answer(side, 0, 0) for side in sides]
    found = []
    for repeat in range(repeats):
        for prompt in range(len(tasks)):
            turn = (repeat + prompt) % len(sides)
            found += [answer(side, prompt, repeat) for side in [*sides[turn:], *sides[:turn]]]
        print(f"{repeat + 1} of {repeats} repeats done", file=sys.stderr)
    return warm_up, found
