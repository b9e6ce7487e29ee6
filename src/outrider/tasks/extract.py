r"""Which part of a text is its answer.

The rungs of a ladder are tried in turn; of each, the last place in the text counts:

1. `\boxed{…}`; several that commas, `and` or `or` join are one answer;
2. what follows "Final answer";
3. what follows "Answer:" or "the answer is";
4. the sentence that begins with "Therefore", unless equations follow it;
5. the last equation that is no check of another;
6. the last number, or the date that it belongs to.

The Chinese forms of the markers (最终答案, 答案, 因此 …) count as theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from outrider.tasks import dates

Rung = Callable[[str], str | None]

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(rf"{_BOX.pattern}|\\.|[{{}}]", re.DOTALL)
_JOINT = re.compile(
    r"[ $]*(?=\S*[,，、;]|\S*and|\S*or|[和或]|\\text)[,，、;]? *(?:\\text\{ *)?(?:and|or|和|或)?"
    r"(?: *\})?[ $]*(?:[A-Za-z] *= *)?[ $]*"
)
"""What stands between boxes that are one answer."""

_FINAL = re.compile(
    r"final\s+answer\b[*_\s]*(?:[:：]|is\b|are\b|\n)|(?:最终|最后)的?答案\s*[*_]*(?:[:：]|是|为)?",
    re.IGNORECASE,
)
_ANSWER = re.compile(
    r"\banswers?\b[*_\s]*(?:[:：]|is\b|are\b)|(?:答案|答)\s*[*_]*(?:[:：]|是|为)", re.IGNORECASE
)
_THEREFORE = re.compile(r"\b(?:therefore|thus|hence)\b|\\therefore|∴|因此|所以|故", re.IGNORECASE)
_CHECK = re.compile(r"verif|check|✓|✔|验证|检验|substitut|代入", re.IGNORECASE)
_VARIABLE: Final = r"\(?[A-Za-zα-ω](?:_\{?\w+\}?|'|\([a-z]\))?(?:\s*,\s*[A-Za-z])*\)?"
_CLAUSES = re.compile(
    r",?\s+(?:so|then|means|which|gives|giving|yields|hence|thus|we\s+(?:get|have|find|obtain))\s+"
    r"(?:that\s+)?|\s*(?:⇒|=>|→|\\implies|\\Rightarrow|\\to)\s*|[，:：]\s*|得到?|即",
    re.IGNORECASE,
)
_EQUALS = re.compile(r"(?<![<>!=:])=(?![=>])")
_IS = re.compile(r"\b(?:is|are|equals|be|was|were)\b(?:\s+(?:equal\s+to|given\s+by))?|为|是")
_NUMBER = re.compile(
    r"(?<![\w.])[-−+]?\$?(?:\\[dt]?frac\s*\{[^{}]+\}\s*\{[^{}]+\}"
    r"|(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?:\s?/\s?\d+)?)%?"
)
_PERIOD = re.compile(r"(?:(?<=[^\W\d_]{3}[.!?])|(?<=[\d)}\]$*][.!?]))\s+(?=[A-Z])|[。！？]")
_EXPLANATION = re.compile(r"[,，]?\s*(?:\b(?:since|because)\b|因为)")
_COUNTED = re.compile(rf"({_NUMBER.pattern})(?:\s+(?!(?:and|or)\b)|\s*/\s*)[^\W\d_]{{2,}}")
"""A number and what it counts: `18 dollars a day`, `230 miles/train`."""
_OPENING = re.compile(r"\A(?:\s|\\[(\[]|[$*_`#:：>,，])*")
_CLOSING = re.compile(r"(?:\s|\\[)\]\\]|[$*_`.。,，;!])$")


def extract_answer(text: str, *, numbers: bool = True) -> str | None:
    """The answer in a text, by the ladder; None where there is nothing like one.

    It is given without what wraps it: bold, dollars, a period at its end.

    Args:
        text: what a model said.
        numbers: take the last equation and the last number where no words mark an answer. Without
            it prose stays unanswered rather than being taken for a year that it mentions.
    """
    rungs: list[Rung] = [_boxed, _after(_FINAL), _after(_ANSWER), _concluded]
    if numbers:
        rungs += [_last_equation, _last_number]
    return next((found for rung in rungs if (found := rung(text))), None)


def boxes(text: str) -> Iterator[tuple[int, int, str]]:
    """The complete boxes of a text: where each begins and ends, and what is in it.

    A box that is never closed was cut off, and what is in it may be half a number.
    """
    opened: list[tuple[int, int] | None] = []  # a brace that opens no box is None
    for match in _BRACE.finditer(text):
        if match[0] == "}":
            box = opened.pop() if opened else None
            content = text[box[1] : match.start()].strip() if box else ""
            if box and content and not _BOX.search(content):
                yield box[0], match.end(), content
        elif match[0].endswith("{") and match[0] != r"\{":
            opened.append(None if match[0] == "{" else (match.start(), match.end()))


def _boxed(text: str) -> str | None:
    """The last box, with those before it that belong to the same answer."""
    found = list(boxes(text))
    if not found:
        return None
    start, _, content = found.pop()
    contents = [content]
    for earlier, end, content in reversed(found):
        between = text[end:start]
        if not between.strip(" $") or not _JOINT.fullmatch(between):
            break
        contents.insert(0, content)
        start = earlier
    return ", ".join(contents)


def _after(marker: re.Pattern[str]) -> Rung:
    """The rung that takes the sentence behind the last of a marker's places."""

    def rung(text: str) -> str | None:
        for match in reversed(list(marker.finditer(text))):
            if found := _tidy(_sentence(text[match.end() :])):
                return found
        return None

    return rung


def _concluded(text: str) -> str | None:
    for match in reversed(list(_THEREFORE.finditer(text))):
        sentence = _sentence(text[match.end() :])
        # Where equations follow on other lines, it was a step on the way.
        if _equations(text[match.end() :].lstrip().partition("\n")[2]):
            return None
        if _EQUALS.search(sentence):
            found = _solution(sentence)
        elif parts := list(_IS.finditer(sentence)):
            found = _tidy(sentence[parts[-1].end() :])
        else:
            found = _last_number(sentence) or _tidy(sentence)
        if found:
            return found
    return None


def _last_equation(text: str) -> str | None:
    lines = _equations(text) or [line for line in text.splitlines() if _EQUALS.search(line)]
    return _solution(lines[-1]) if lines else None


def _equations(text: str) -> list[str]:
    """The lines with equations but for those that check a solution: they end with no answer."""
    return [line for line in text.splitlines() if _EQUALS.search(line) and not _CHECK.search(line)]


def _last_number(text: str) -> str | None:
    found = [*_NUMBER.finditer(text), *dates.places(text)]
    last = max(found, key=lambda place: (place.end(), -place.start()), default=None)
    return _tidy(last[0]) if last else None


def _solution(sentence: str) -> str | None:
    """What the last clause with an equation says: `x = 4 or x = -2`, or the right-hand side."""
    for pattern in (_PERIOD, _CLAUSES):
        sentence = [part for part in pattern.split(sentence) if part and _EQUALS.search(part)][-1]
    clause = _tidy(sentence) or ""
    if begins := re.search(rf"(?:^|[\s$(,]){_VARIABLE}\s*=", clause):
        solution = clause[begins.start() :].strip(" $,")
        sides = _EQUALS.split(solution)
        # x = 8/2 = 4 ends with its value; x = 4 or x = -2 has a value in each part.
        chained = len(sides) > 2 and not any(
            re.search(rf"{_VARIABLE}\s*$", side.strip()) for side in sides[1:-1]
        )
        return f"{sides[0].strip()} = {sides[-1].strip()}" if chained else solution
    value = _tidy(_EQUALS.split(clause)[-1]) or ""
    counted = _COUNTED.match(value)
    return (counted[1] if counted else value) or None


def _sentence(text: str) -> str:
    """The first sentence of a text: the rest of its line, or the next where that is empty."""
    text = _OPENING.sub("", text)
    line = text.split("\n", 1)[0]
    return _EXPLANATION.split(_PERIOD.split(line, maxsplit=1)[0], maxsplit=1)[0]


def _tidy(text: str) -> str | None:
    """An answer without the marks of a page around it; None where nothing is left.

    A box in it was never closed, so it is no answer.
    """
    if _BOX.search(text):
        return None
    text = _OPENING.sub("", text)
    while match := _CLOSING.search(text):
        text = text[: match.start()]
    return text or None
