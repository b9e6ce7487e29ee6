"""Graders: each takes a problem and a text and says whether the text answers it, and why."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

from outrider.errors import UsageError
from outrider.prompts import LETTERS
from outrider.tasks import mathematics
from outrider.tasks.base import Grade, Grader, Problem
from outrider.tasks.extract import extract_answer
from outrider.tasks.programs import grade_program

NOTHING_FOUND: Final = "no answer was found in the text"

_MATHEMATICS = re.compile(r"[\d\\^=<>≤≥]|^\(?[a-z]\)?$|\b[a-z]\s*[-+*/]\s*[a-z]\b")
_UNDECIDED = re.compile(r"\b(?:not|no|never|nor|or|cannot|neither)\b|n['’]t\b|不|非|或|没有")
_CHINESE: Final = "[㐀-鿿]"
_CHINESE_EDGE = re.compile(rf"(?<={_CHINESE})(?=[a-z0-9])|(?<=[a-z0-9])(?={_CHINESE})")
_SENTENCE_WORDS: Final = 15
_SENTENCE_CHARACTERS: Final = 120
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
    return _compared(mathematics.number_in(answer) == wanted, gold, answer)


def grade_choice(problem: Problem, text: str) -> Grade:
    """Right where the letter named, or the choice written out, is the right one's."""
    gold, letter = _gold(problem), chosen_letter(problem, text)
    if letter is None:
        return Grade(False, None, NOTHING_FOUND)
    return _compared(letter == gold, gold, letter)


def grade_text(problem: Problem, text: str) -> Grade:
    """Right where the answer names the known one or an alias (`data["aliases"]`).

    Names are compared as in `names_one`; a text of one line is an answer without a marker too.
    """
    gold = _gold(problem)
    answer = extract_answer(text, numbers=False) or only_line(text)
    if answer is None:
        return Grade(False, None, NOTHING_FOUND)
    names = (gold, *problem.data.get("aliases", ()))
    return _compared(names_one(answer, names), gold, answer)


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


def names_one(answer: str, names: Iterable[str]) -> bool:
    """Whether an answer is one of some names, or a short sentence that gives it.

    Case, accents, punctuation, spaces and articles make no difference. A sentence that denies or
    offers a choice gives no name.
    """
    said = normalise(answer)
    wanted = [name for name in map(normalise, names) if name]
    if said in wanted:
        return True
    if len(said.split()) > _SENTENCE_WORDS or len(said) > _SENTENCE_CHARACTERS:
        return False
    if _UNDECIDED.search(f" {answer.casefold()} "):
        return False
    # Chinese is written without spaces between its words, and beside figures and letters.
    spaced = f" {_CHINESE_EDGE.sub(' ', said)} "
    return any(name in said if _is_chinese(name) else f" {name} " in spaced for name in wanted)


def only_line(text: str) -> str | None:
    """A text that is a single line; None where it has more, or none."""
    lines = text.strip().splitlines()
    return lines[0].strip() if len(lines) == 1 else None


def chosen_letter(problem: Problem, text: str) -> str | None:
    """Which choice a text names: by its letter, or else by its words; None where by neither."""
    letters = LETTERS[: len(problem.choices)]
    marked = extract_answer(text, numbers=False)
    answer = marked or text.strip()
    bare = re.sub(r"\\(?:text|mathrm|textbf)\s*\{([^{}]*)\}", r"\1", answer).strip(" *_$`'\"")
    if len(bare) == 1 and bare.upper() in letters:
        return bare.upper()
    # "A is right" names a choice where it is the answer; elsewhere it may go on as it likes.
    ends = r"$|[)\].:,]" + (r"|\s+(?:is|because|since)\b" if marked else "")
    if begins := re.match(rf"(?:(?i:choice|option|选项?)\s*)?[(\[]?([{letters}])(?={ends})", bare):
        return begins[1]
    by_words = [
        letter
        for letter, choice in zip(letters, problem.choices, strict=True)
        if normalise(choice) and normalise(choice) == normalise(answer)
    ]
    if by_words:
        return by_words[0]
    named = re.findall(rf"(?<![\w'’])[(\[]([{letters}])[)\]]|\*\*([{letters}])\b", text)
    return next((a or b for a, b in reversed(named)), None)


def _is_chinese(text: str) -> bool:
    return re.search(_CHINESE, text) is not None


def _gold(problem: Problem) -> str:
    if problem.answer is None:
        raise UsageError(f"Problem {problem.id} has no known answer to grade against.")
    return problem.answer


def _compared(same: bool, gold: str, answer: str) -> Grade:
    return Grade(same, answer, f"{answer} {'agrees with' if same else 'instead of'} {gold}")


GRADERS: Final[Mapping[str, Grader]] = {
    "auto": grade_auto,
    "choice": grade_choice,
    "mathematics": grade_mathematics,
    "number": grade_number,
    "program": grade_program,
    "text": grade_text,
}
"""By name."""
