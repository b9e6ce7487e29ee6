"""A model as the judge of answers, and how far it agrees with known ones."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from outrider.errors import UsageError
from outrider.files import read_text
from outrider.strategies.answering.agreement import cohen_kappa
from outrider.strategies.answering.grading import kind
from outrider.strategies.answering.record import Answered
from outrider.types import Generator, Message, Request, Sampling

RUBRICS: Final = Path(__file__).parents[2] / "data" / "rubrics.toml"
"""Rubrics of our own, by subject."""

LEAST_KAPPA: Final = 0.4
"""Below this agreement with known answers a judge's verdicts do not count."""

PROBES: Final = 12
"""Known right answers of a subject that a judge is tried on, and as many wrong ones."""

_TAIL: Final = 600
"""Characters of a text's end that a judge reads where no answer was extracted."""

_INSTRUCTIONS: Final = (
    "You grade answers. You are given a question, the reference answer, which is right, and an "
    "answer to be graded. Compare the two; do not answer the question yourself.\n\n{rubric}\n\n"
    "Write one short sentence that says why, then a line with your verdict: "
    "'Verdict: right' or 'Verdict: wrong'."
)
_CASE: Final = "Question: {question}\nReference: {gold}\nAnswer: {answer}"
_EXAMPLES: Final = (
    (
        {
            "question": "Who painted the Mona Lisa?",
            "gold": "Leonardo da Vinci",
            "answer": "Leonardo",
        },
        "The answer names the same painter by his first name.\nVerdict: right",
    ),
    (
        {"question": "Which metal is liquid?", "gold": "mercury", "answer": "It is gallium."},
        "The answer names another metal than the reference.\nVerdict: wrong",
    ),
)
_VERDICT = re.compile(r"verdict\W*(?:is\W+)?(right|wrong|correct|incorrect)", re.IGNORECASE)
_SAID: Final = ("{}", "It is {}.", "The answer is {}.", "I think that it is {}.")


@dataclass(frozen=True, slots=True)
class JudgeOpinion:
    """What a model says of one answer.

    Attributes:
        right: None where it came to no verdict.
        reason: why, in its words.
    """

    right: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a judge rated answers known to be right or wrong.

    Attributes:
        known: whether each is right.
        said: what the judge said; no verdict counts as a wrong one.
        undecided: how many had no verdict.
    """

    known: tuple[bool, ...]
    said: tuple[bool, ...]
    undecided: int

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; None where it is not defined."""
        return cohen_kappa(self.known, self.said)

    @property
    def agreed(self) -> int:
        """Answers that the judge rated as they are."""
        return sum(a == b for a, b in zip(self.known, self.said, strict=True))

    @property
    def trusted(self) -> bool:
        """Whether the judge's verdicts count."""
        kappa = self.kappa
        return kappa is not None and kappa >= LEAST_KAPPA


class ModelJudge:
    """A model that compares an answer with the reference by a rubric.

    Args:
        generator: the model.
        chat: whether it takes messages; else it continues a text.
        rubrics: by subject, with `default`.
        streams: answers judged at the same time.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        chat: bool,
        rubrics: Mapping[str, str],
        streams: int = 8,
    ) -> None:
        self._generator, self._chat = generator, chat
        self._rubrics, self._streams = rubrics, streams

    def opinions(self, answers: Sequence[Answered]) -> list[JudgeOpinion]:
        """An opinion of each answer, in their order.

        Raises:
            OutriderError: the model cannot be asked.
        """
        with ThreadPoolExecutor(self._streams) as pool:
            return list(pool.map(self._opinion, answers))

    def _opinion(self, answer: Answered) -> JudgeOpinion:
        completion = self._generator.generate(self._request(answer))
        return read_opinion(completion.text)

    def _request(self, answer: Answered) -> Request:
        rubric = self._rubrics.get(answer.subject, self._rubrics["default"]).strip()
        instructions = _INSTRUCTIONS.format(rubric=rubric)
        examples = [(_CASE.format(**case), verdict) for case, verdict in _EXAMPLES]
        shown = answer.answer or answer.text.strip()[-_TAIL:]
        asked = _CASE.format(question=answer.question, gold=answer.gold, answer=shown)
        sampling = Sampling(temperature=0.0, seed=0)
        if not self._chat:
            text = "\n\n".join((instructions, *(f"{c}\n{v}" for c, v in examples), asked))
            return Request(
                prompt=f"{text}\n", sampling=sampling, max_tokens=120, stop=("\n\n", "Question:")
            )
        messages = [Message("system", instructions)]
        for case, verdict in examples:
            messages += [Message("user", case), Message("assistant", verdict)]
        messages.append(Message("user", asked))
        return Request(messages=tuple(messages), sampling=sampling, max_tokens=120)


def read_opinion(text: str) -> JudgeOpinion:
    """The verdict of what a judge wrote, and what stands before it."""
    found = list(_VERDICT.finditer(text))
    if not found:
        return JudgeOpinion(None, " ".join(text.split()))
    right = found[-1][1].casefold() in ("right", "correct")
    reason = " ".join(text[: found[-1].start()].split()).strip(" *'")
    return JudgeOpinion(right, reason or f"the judge says {found[-1][1].casefold()}")


def read_rubrics(path: Path) -> dict[str, str]:
    """The rubrics of a TOML file, subject by subject; `default` comes from ours where it has none.

    Raises:
        UsageError: the file cannot be read, or a rubric is no text.
    """
    try:
        values = tomllib.loads(read_text(path, f"The rubrics {path}"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The rubrics {path} are not valid TOML: {error}.") from error
    for subject, text in values.items():
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"The rubric of {subject!r} in {path} has to be a text.")
    if path != RUBRICS and "default" not in values:
        values["default"] = read_rubrics(RUBRICS)["default"]
    return values


def agreement(
    judge: ModelJudge, answers: Sequence[Answered], *, seed: int = 0
) -> dict[str, Agreement]:
    """How the judge rates answers of which it is known whether they are right, by subject.

    The right ones say the known answer of a question or an alias, the wrong ones that of another
    question of the subject, in the same few forms of words.

    Args:
        judge: is tried.
        answers: whose questions and known answers are used; mathematics and choices need no judge.
        seed: of the choice of questions, answers and words.

    Raises:
        OutriderError: the model cannot be asked.
    """
    # A question that could not be read is none that a judge could be shown.
    worded = [a for a in answers if a.question and kind(a) == "text"]
    found = {}
    for subject in sorted({a.subject for a in worded}):
        probes = probe([a for a in worded if a.subject == subject], seed)
        opinions = judge.opinions([answer for answer, _ in probes])
        found[subject] = Agreement(
            tuple(right for _, right in probes),
            tuple(bool(opinion.right) for opinion in opinions),
            sum(opinion.right is None for opinion in opinions),
        )
    return found


def probe(answers: Sequence[Answered], seed: int) -> list[tuple[Answered, bool]]:
    """Answers to a subject's questions, and whether each is right; as many of either."""
    random = Random(f"probe/{seed}")
    chosen = random.sample(answers, min(PROBES, len(answers)))
    probes = []
    for answer in chosen:
        names = (answer.gold or "", *answer.aliases)
        others = sorted({a.gold or "" for a in answers if a.gold not in names} - {""})
        said = random.choice(_SAID)
        probes.append((replace(answer, answer=said.format(random.choice(names))), True))
        if others:
            probes.append((replace(answer, answer=said.format(random.choice(others))), False))
    return probes
