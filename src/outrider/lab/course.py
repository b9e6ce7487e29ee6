"""The questions of a course on speculative decoding, answered from what was measured.

Each experiment answers some of them. A question that no measurement answers stays open, and the
report says which experiment would answer it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Question:
    """One of the twelve.

    Attributes:
        key: that an experiment answers it under.
        text: the question.
        experiment: that answers it.
    """

    key: str
    text: str
    experiment: str


QUESTIONS: Final = (
    Question("throughput", "What is the throughput without drafts?", "baseline"),
    Question("speedup", "What speed-up does speculation bring?", "speculation"),
    Question("maximum", "How far is that from what theory allows, and why?", "k-sweep"),
    Question("acceptance", "How many drafted tokens are accepted?", "speculation"),
    Question("length", "What is the best draft length K?", "k-sweep"),
    Question("doubling", "Why does doubling K not double the speed?", "k-sweep"),
    Question("temperature", "How does the temperature change acceptance?", "temperature"),
    Question("stops", "From which temperature on does drafting not pay?", "temperature"),
    Question("alignment", "Why does it matter how well draft and target agree?", "speculation"),
    Question("break-even", "Below which acceptance is drafting slower than not?", "speculation"),
    Question("batching", "Does it go together with batching?", "batch"),
    Question("memory", "How much more memory does drafting need?", "memory"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A question with its answer.

    Attributes:
        question: what was asked.
        text: the answer; None where nothing was measured that answers it.
    """

    question: Question
    text: str | None


def answered(told: Mapping[str, str]) -> Sequence[Answer]:
    """All questions in their order, with what experiments told.

    Args:
        told: answers by the questions' keys.
    """
    return [Answer(question, told.get(question.key)) for question in QUESTIONS]
