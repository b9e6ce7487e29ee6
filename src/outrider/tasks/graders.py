"""Graders: each takes a problem and a text and says whether the text answers it, and why."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from outrider.errors import UsageError
from outrider.tasks import mathematics
from outrider.tasks.base import LETTERS, Grade, Grader, Problem
from outrider.tasks.extract import extract_answer
from outrider.tasks.programs import grade_program

NOTHING_FOUND: Final = "no answer was found in the text"

_MATHEMATICS = re.compile(r"[\d\\^=<>≤≥]|^\(?[a-z]\)?$|\b[a-z]\s*[-+*/]\s*[a-z]\b")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def grade_mathematics(problem: Problem, text: str) -> Grade:
    """Right where math-verify finds the extracted answer equal to the known one."""
    gold, answer = _gold(problem), extract_answer(text)
    if answer is None:
        return Grade(False, None, NOTHING_FOUND)
    return _compared(mathematics.equal(gold, answer), gold, answer)


def grade_number(problem: Problem, text: str) -> Grade:
    """Right where the extracted answer is the same number; needs no library."""
    gold, answer = _gold(problem), extract_answer(text)
    wanted = mathematics.number(gold)
    if wanted is None:
        raise UsageError(
            f"The answer of problem {problem.id} is no number: {gold!r}; grade it as mathematics "
            "or text."
        )
    if answer is None:
        return Grade(False, None, NOTHING_FOUND)
    return _compared(_value(answer) == wanted, gold, answer)


def grade_choice(problem: Problem, text: str) -> Grade:
    """Right where the letter named, or the choice written out, is the right one's."""
    gold, letter = _gold(problem), chosen_letter(problem, text)
    if letter is None:
        return Grade(False, None, NOTHING_FOUND)
    return _compared(letter == gold, gold, letter)


def grade_text(problem: Problem, text: str) -> Grade:
    """Right where the answer is the known one or an alias (`data["aliases"]`), normalised.

    Case, accents, punctuation, spaces and articles make no difference.
    """
    gold = _gold(problem)
    answer = extract_answer(text, numbers=False)
    if answer is None:
        lines = text.strip().splitlines()
        answer = lines[0].strip() if len(lines) == 1 else None
    if not answer:
        return Grade(False, None, NOTHING_FOUND)
    wanted = {normalise(name) for name in (gold, *problem.data.get("aliases", ()))}
    return _compared(normalise(answer) in wanted, gold, answer)


def grade_auto(problem: Problem, text: str) -> Grade:
    """By the kind of the known answer: choices, mathematics, or text."""
    return grader_of(problem)(problem, text)


def grader_of(problem: Problem) -> Grader:
    """The grader that suits a problem's known answer."""
    if problem.choices:
        return grade_choice
    if "entry_point" in problem.data and "test" in problem.data:
        return grade_program
    return grade_mathematics if is_mathematics(_gold(problem)) else grade_text


def is_mathematics(answer: str) -> bool:
    """Whether an answer is a number, a formula or an equation rather than words."""
    words = re.findall(r"[^\W\d_]{2,}", re.sub(r"\\[A-Za-z]+", "", answer))
    return bool(_MATHEMATICS.search(answer)) and not words


def normalise(text: str) -> str:
    """A text without case, accents, punctuation, articles and doubled spaces."""
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = "".join(
        " " if unicodedata.category(c)[0] in "PS" or c in string.punctuation else c for c in text
    )
    return " ".join(_ARTICLES.sub(" ", text).split())


def chosen_letter(problem: Problem, text: str) -> str | None:
    """Which choice a text names: by its letter, or else by its words; None where by neither."""
    letters = LETTERS[: len(problem.choices)]
    answer = extract_answer(text, numbers=False) or text.strip()
    bare = re.sub(r"\\(?:text|mathrm|textbf)\s*\{([^{}]*)\}", r"\1", answer).strip(" *_$`'\"")
    if match := re.match(rf"[(\[]?(?:(?:choice|option|选项?)\s*)?([{letters}])(?![\w'’])", bare):
        return match[1]
    if match := re.match(rf"(?:choice|option)\s*\(?([{letters}])\b", bare, re.IGNORECASE):
        return match[1].upper()
    by_words = [
        letter
        for letter, choice in zip(letters, problem.choices, strict=True)
        if normalise(choice) and normalise(choice) == normalise(answer)
    ]
    if by_words:
        return by_words[0]
    named = re.findall(rf"(?<![\w'’])[(\[]([{letters}])[)\]]|\*\*([{letters}])\b", text)
    return next((a or b for a, b in reversed(named)), None)


def _value(answer: str) -> Fraction | None:
    """The number that an answer such as `x = 5 apples` gives."""
    value = mathematics.number(answer.rpartition("=")[2])
    if value is None:
        match = re.search(r"-?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?", answer.rpartition("=")[2])
        value = mathematics.number(match[0].rstrip(",")) if match else None
    return value


def _gold(problem: Problem) -> str:
    if problem.answer is None:
        raise UsageError(f"Problem {problem.id} has no known answer to grade against.")
    return problem.answer


def _compared(same: bool, gold: str, answer: str) -> Grade:
    return Grade(same, answer, f"{answer} {'is' if same else 'is not'} {gold}")


GRADERS: Final[Mapping[str, Grader]] = {
    "auto": grade_auto,
    "choice": grade_choice,
    "mathematics": grade_mathematics,
    "number": grade_number,
    "program": grade_program,
    "text": grade_text,
}
"""By name."""
