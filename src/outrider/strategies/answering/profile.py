"""A profile: the subjects of a set of questions, and how each is asked.

A profile is a TOML file. Paths in it are relative to it.

    description = "…"
    [assign]                        # how a question comes to its subject
    by = ["field", "rules", "classifier"]
    [subjects.algebra]
    knowledge = "algebra.md"        # stands first, so that all questions of the subject share it
    system = "…"
    prompt = "Problem: {question}"
    max_tokens = 800
    sampling = { temperature = 0.1, top_p = 0.9 }
    [[subjects.algebra.examples]]
    question = "…"
    answer = "…"
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final, Literal

from outrider.types import Sampling

Way = Literal["field", "rules", "classifier"]
WAYS: Final = ("field", "rules", "classifier")
CLASSIFIERS: Final = ("ngrams", "model")
PLACE: Final = "{question}"


@dataclass(frozen=True, slots=True)
class Example:
    """A question with the answer that the model is to take as its model."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """How the questions of one subject are asked.

    Attributes:
        name: of the subject.
        knowledge: a text that stands before everything else.
        system: what the model is told to do.
        prompt: what is asked, with `{question}` in it.
        examples: worked, in their order.
        sampling: how tokens are chosen; its seed is the run's.
        max_tokens: of an answer.
        stop: texts that end an answer.
        answer_pattern: what finds the answer in the text: its last match, of which the first group
            counts where it has one. None takes the ladder of `extract_answer`.
        rules: a question that one of these patterns is found in belongs to the subject.
        numbers: the last equation or number of a text counts as its answer where no words mark
            one.
    """

    name: str
    knowledge: str = ""
    system: str = ""
    prompt: str = PLACE
    examples: tuple[Example, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    answer_pattern: re.Pattern[str] | None = None
    rules: tuple[re.Pattern[str], ...] = ()
    numbers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """How a question comes to its subject: the first way that finds one decides.

    Attributes:
        by: the ways, in the order in which they are tried.
        key: the field of a question that names its subject.
        aliases: other names of subjects that the field may hold.
        classifier: "ngrams" is trained on the questions of the package and on the profile's
            examples; "model" asks the model itself for one token.
        default: the subject of a question for which no way finds one.
    """

    by: tuple[Way, ...] = WAYS
    key: str = "subject"
    aliases: Mapping[str, str] = field(default_factory=dict)
    classifier: Literal["ngrams", "model"] = "ngrams"
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Subjects, and how questions come to them.

    Attributes:
        name: what people call it.
        path: the file.
        description: a line for people.
        assign: how a question comes to its subject.
        subjects: by name, in the order in which they are answered.
    """

    name: str
    path: Path
    description: str
    assign: Assign
    subjects: Mapping[str, Subject]

    @property
    def fingerprint(self) -> str:
        """Tells profiles apart by what they ask: 16 hexadecimal digits."""
        values = [asdict(self.assign)]
        values += (
            {f.name: getattr(subject, f.name) for f in fields(subject)}
            for subject in self.subjects.values()
        )
        text = json.dumps(values, sort_keys=True, default=_plain)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    if isinstance(value, re.Pattern):
        return value.pattern
    if isinstance(value, Example | Sampling):
        return asdict(value)
    raise TypeError(type(value).__name__)
