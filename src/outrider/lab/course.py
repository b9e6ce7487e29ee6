"""The questions of a course on speculative decoding, answered from what was measured.

Each experiment answers some of them. A question that no measurement answers stays open, and the
report says which experiment would answer it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from outrider import registry
from outrider.lab.evidence import Evidence


@dataclass(frozen=True)
class Question:
    """One of the twelve.

    Attributes:
        key: that an experiment answers it under.
        text: the question.
        experiments: that answer it, the one to run for it first, each with the name of the
            picture that its answer rests on.
    """

    key: str
    text: str
    experiments: Mapping[str, str]

    @cached_property
    def run(self) -> str:
        """The experiment to run for it: the first that is installed, or else the first."""
        known = registry.names("experiments")
        names = list(self.experiments)
        return next((name for name in names if name in known), names[0])


QUESTIONS: Final = (
    Question(
        "throughput",
        "What is the throughput without drafts?",
        {"baseline": "baseline"},
    ),
    Question(
        "speedup",
        "What speed-up does speculation bring?",
        {"speculation": "speculation"},
    ),
    Question(
        "maximum",
        "How far is that from what theory allows, and why?",
        {"k-sweep": "k-sweep"},
    ),
    Question(
        "acceptance",
        "How many drafted tokens are accepted?",
        {"speculation": "speculation-theory", "acceptance": "acceptance"},
    ),
    Question(
        "length",
        "What is the best draft length K?",
        {"k-sweep": "k-sweep"},
    ),
    Question(
        "doubling",
        "Why does doubling K not double the speed?",
        {"k-sweep": "k-sweep-phases"},
    ),
    Question(
        "temperature",
        "How does the temperature change acceptance?",
        {"temperature": "temperature"},
    ),
    Question(
        "stops",
        "From which temperature on does drafting not pay?",
        {"temperature": "temperature"},
    ),
    Question(
        "alignment",
        "Why does it matter how well draft and target agree?",
        {"alignment": "alignment", "speculation": "speculation-theory"},
    ),
    Question(
        "break-even",
        "Below which acceptance is drafting slower than not?",
        {"alignment": "alignment", "speculation": "speculation-theory"},
    ),
    Question(
        "batching",
        "Does it go together with batching?",
        {"batch": "batch"},
    ),
    Question(
        "memory",
        "How much more memory does drafting need?",
        {"memory": "memory"},
    ),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What an experiment of a run answers.

    Attributes:
        evidence: that it rests on.
        text: the answer.
    """

    evidence: Evidence
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A question with its answers.

    Attributes:
        question: what was asked.
        told: the answers, those of the experiments that the question names first; none where
            nothing was measured that answers it.
    """

    question: Question
    told: Sequence[Told]


def answered(evidence: Sequence[Evidence]) -> list[Answer]:
    """All questions in their order, with what the experiments of runs answer."""
    said = [(each, each.answers) for each in evidence]
    found = []
    for question in QUESTIONS:
        told = [
            Told(each, answers[question.key]) for each, answers in said if question.key in answers
        ]
        found.append(Answer(question, sorted(told, key=lambda t: _place(question, t.evidence))))
    return found


def _place(question: Question, evidence: Evidence) -> int:
    name = evidence.experiment.name
    known = list(question.experiments)
    return known.index(name) if name in known else len(known)
