"""Arithmetic and algebra made to order: seeded, without end, and of graded depth.

Problem i of a task is a function of the kind, the seed, its level and i alone, so that a longer
task begins with a shorter one's problems, and a held-out set is another seed. There are few
problems of the easiest levels, so that long tasks repeat them and two seeds share some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final, TypeAlias

from outrider.errors import UsageError
from outrider.tasks.algebra import ALGEBRA
from outrider.tasks.arithmetic import ARITHMETIC
from outrider.tasks.base import Problem

Maker: TypeAlias = Callable[[Random], tuple[str, str]]
"""Makes a question and its answer."""

_KINDS: Final[Mapping[str, tuple[Maker, ...]]] = {"arithmetic": ARITHMETIC, "algebra": ALGEBRA}
"""The makers of each kind, from the easiest level up."""

NAMES: Final = tuple(_KINDS)


def generate(
    kind: str,
    *,
    count: int = 100,
    levels: str | None = None,
    level: int | None = None,
    seed: int = 0,
) -> tuple[Problem, ...]:
    """Problems of a kind, their levels taking turns.

    Args:
        kind: arithmetic or algebra.
        count: how many.
        levels: which, as `1-4`; None takes all.
        level: the same for a single one.
        seed: other seeds give other problems.

    Raises:
        UsageError: the kind has no such level, or the count is below 1.
    """
    makers = _KINDS[kind]
    if count < 1:
        raise UsageError(f"The count of {kind} has to be at least 1, not {count}.")
    if level is not None and levels is not None:
        raise UsageError(f"Give {kind} either level or levels, not both.")
    chosen = _levels(kind, str(level) if levels is None and level is not None else levels)
    problems = []
    for index in range(count):
        depth = chosen[index % len(chosen)]
        question, answer = makers[depth - 1](Random(f"{kind}/{seed}/{depth}/{index}"))
        problems.append(
            Problem(
                id=f"{kind}-{seed}-{index}",
                question=question,
                answer=answer,
                subject=kind,
                level=depth,
            )
        )
    return tuple(problems)


def _levels(kind: str, text: str | None) -> range:
    top = len(_KINDS[kind])
    first, dash, last = (text or f"1-{top}").partition("-")
    try:
        levels = range(int(first), int(last if dash else first) + 1)
    except ValueError:
        levels = range(0)
    if not levels or levels[0] < 1 or levels[-1] > top:
        raise UsageError(
            f"The levels of {kind} are 1 to {top}, written as 3 or 1-{top}; not {text!r}."
        )
    return levels
