"""Which subject a question belongs to: by what it says itself, by rules, or by a classifier."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final, Protocol

from outrider.errors import OutriderError, UsageError
from outrider.prompts import LETTERS
from outrider.strategies.answering.profile import Profile, Subject
from outrider.strategies.answering.questions import BUILT_IN, Question, read_questions
from outrider.types import Generator, Message, Request

LONGEST_NGRAM: Final = 4


class Classifier(Protocol):
    """Says which of the subjects a text is of."""

    def classify(self, text: str) -> str | None:
        """The subject's name; None where it cannot tell."""
        ...


class NgramClassifier:
    """Naive Bayes over character n-grams: counts, add-one smoothing, equal priors.

    A multinomial model (Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008,
    section 13.2). Characters rather than words, so that Chinese needs no segmenting.

    Args:
        texts: for each subject, texts of it.

    Raises:
        UsageError: a subject has no text.
    """

    def __init__(self, texts: Mapping[str, Sequence[str]]) -> None:
        for subject, given in texts.items():
            if not given:
                raise UsageError(
                    f"No question is known from which to learn what {subject!r} is; give the "
                    'subject examples or rules, or assign by = ["field"].'
                )
        counts = {
            subject: Counter(gram for text in given for gram in _ngrams(text))
            for subject, given in texts.items()
        }
        size = len(set().union(*counts.values()))
        self._counts = counts
        self._unseen = {
            subject: -math.log(count.total() + size) for subject, count in counts.items()
        }

    def classify(self, text: str) -> str | None:
        """The likeliest subject; None where the text shares nothing with any."""
        grams = list(_ngrams(text))
        if not any(gram in count for gram in grams for count in self._counts.values()):
            return None
        scores = {
            subject: sum(math.log(count[gram] + 1) for gram in grams)
            + len(grams) * self._unseen[subject]
            for subject, count in self._counts.items()
        }
        return max(scores, key=lambda subject: scores[subject])


class ModelClassifier:
    """The model itself, asked for the letter of a subject.

    Args:
        generator: whom to ask.
        subjects: to choose from.
        chat: whether it takes messages.
    """

    def __init__(self, generator: Generator, subjects: Sequence[str], *, chat: bool) -> None:
        if len(subjects) > len(LETTERS):
            raise UsageError(f"A model is asked for one of {len(LETTERS)} subjects at most.")
        self._generator, self._chat = generator, chat
        self._subjects = dict(zip(LETTERS, subjects, strict=False))

    def classify(self, text: str) -> str | None:
        """The subject whose letter it says first; None where it says none."""
        choices = "\n".join(f"{letter}. {name}" for letter, name in self._subjects.items())
        ask = f"{text}\n\nOf which subject is this question?\n{choices}\nAnswer with one letter."
        if self._chat:
            request = Request(messages=(Message("user", ask),), max_tokens=1)
        else:
            request = Request(prompt=f"{ask}\nAnswer:", max_tokens=1)
        try:
            said = self._generator.generate(request).text
        except OutriderError:
            return None  # a question that cannot be asked is no reason to end the rest
        return self._subjects.get(said.strip()[:1].upper())


class Assigner:
    """Assigns questions to the subjects of a profile.

    Args:
        profile: names the ways and the subjects.
        generator: for a profile whose classifier is the model.
        chat: whether the generator takes messages.
    """

    def __init__(self, profile: Profile, generator: Generator, *, chat: bool) -> None:
        self._profile, self._generator, self._chat = profile, generator, chat
        self._names = {name.casefold(): name for name in profile.subjects}
        self._names |= profile.assign.aliases

    def subject(self, question: Question) -> Subject:
        """The subject of a question.

        Raises:
            UsageError: no way of the profile finds one, and it has no default.
        """
        ways = {"field": self._by_field, "rules": self._by_rules, "classifier": self._by_classifier}
        assign = self._profile.assign
        for way in assign.by:
            if (name := ways[way](question)) is not None:
                return self._profile.subjects[name]
        if assign.default is not None:
            return self._profile.subjects[assign.default]
        given = question.fields.get(assign.key)
        raise UsageError(
            f"No subject of the profile {self._profile.name} fits question {question.id}"
            + (f", which says {given!r}" if given is not None else "")
            + f"; known: {', '.join(self._profile.subjects)}. A default in [assign] takes the rest."
        )

    def _by_field(self, question: Question) -> str | None:
        given = question.fields.get(self._profile.assign.key)
        return self._names.get(given.strip().casefold()) if isinstance(given, str) else None

    def _by_rules(self, question: Question) -> str | None:
        for name, subject in self._profile.subjects.items():
            if any(rule.search(question.text) for rule in subject.rules):
                return name
        return None

    def _by_classifier(self, question: Question) -> str | None:
        return self._classifier.classify(question.text)

    @cached_property
    def _classifier(self) -> Classifier:
        subjects = self._profile.subjects
        if self._profile.assign.classifier == "model":
            return ModelClassifier(self._generator, tuple(subjects), chat=self._chat)
        return NgramClassifier(training_texts(subjects.values()))


def training_texts(subjects: Iterable[Subject]) -> dict[str, list[str]]:
    """What is known to be of each subject: its examples, and the package's questions of it."""
    texts = {
        subject.name: [example.question for example in subject.examples] for subject in subjects
    }
    for question in read_questions(BUILT_IN):
        if (name := question.fields["subject"]) in texts:
            texts[name].append(question.text)
    return texts


def _ngrams(text: str) -> Iterable[str]:
    text = f" {' '.join(text.casefold().split())} "
    for length in range(1, LONGEST_NGRAM + 1):
        for start in range(len(text) - length + 1):
            yield text[start : start + length]
