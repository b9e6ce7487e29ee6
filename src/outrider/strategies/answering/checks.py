"""What a run has to keep to be handed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MEAN_SECONDS: Final = 14.4
"""Seconds a question at most, on the mean."""

TOTAL_SECONDS: Final = 7200.0
"""Seconds for all questions at most."""

FLOOR: Final = 0.1
"""The least share of right answers."""


@dataclass(frozen=True, slots=True)
class Check:
    """One condition.

    Attributes:
        name: of the condition.
        passed: whether it is met.
        text: a line that says by how much.
    """

    name: str
    passed: bool
    text: str


def check(
    *,
    questions: int,
    answered: int,
    total_seconds: float,
    accuracy: float | None,
    floor: float,
    attempts: Sequence[str],
) -> list[Check]:
    """The conditions and whether they are met.

    Args:
        questions: of the file.
        answered: of these, with an answer or an error of their own.
        total_seconds: of the whole run.
        accuracy: the share of right answers among those with a known one; None where none is known.
        floor: what it has to be at least.
        attempts: what was asked of the network while it was switched off.
    """
    mean = total_seconds / questions
    network = (
        "no call of the network was asked for, and none could be made"
        if not attempts
        else f"asked for {len(attempts)} times, first: {attempts[0]}"
    )
    if accuracy is not None:
        right = f"{accuracy:.1%} right, at least {floor:.1%}"
    elif not answered:
        right = "nothing was answered"
    else:
        right = f"no question has a known answer, so nothing shows that {floor:.1%} are right"
    return [
        Check("offline", not attempts, network),
        Check("complete", answered == questions, f"{answered} of {questions} questions"),
        Check("mean", mean <= MEAN_SECONDS, f"{mean:.2f} s a question, at most {MEAN_SECONDS}"),
        Check(
            "total",
            total_seconds <= TOTAL_SECONDS,
            f"{total_seconds:.1f} s, at most {TOTAL_SECONDS:.0f}",
        ),
        Check("accuracy", accuracy is not None and accuracy >= floor, right),
    ]
