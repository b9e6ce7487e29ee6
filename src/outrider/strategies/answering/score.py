"""The score of a run beside others: how much is right, and how fast it came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ACCURACY_WEIGHT: Final = 0.6
LATENCY_WEIGHT: Final = 0.4


@dataclass(frozen=True, slots=True)
class Score:
    """A run's standing among the runs given.

    Attributes:
        accuracy: its share of right answers over the best run's.
        latency: the fastest run's seconds over its own.
    """

    accuracy: float
    latency: float

    @property
    def value(self) -> float:
        """0.6 · accuracy + 0.4 · latency; 1 for a run that is best at both."""
        return ACCURACY_WEIGHT * self.accuracy + LATENCY_WEIGHT * self.latency


def scores(accuracies: Sequence[float], seconds: Sequence[float]) -> list[Score]:
    """Each run's score relative to the best of them.

    Args:
        accuracies: shares of right answers; where nobody has one right, all stand at 0.
        seconds: what each run takes for an answer.
    """
    best, fastest = max(accuracies), min(seconds)
    return [
        Score(accuracy / best if best else 0.0, fastest / taken if taken else 1.0)
        for accuracy, taken in zip(accuracies, seconds, strict=True)
    ]
