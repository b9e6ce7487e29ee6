"""Whether two answers are the same mathematics, whatever they are written like."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from outrider.tasks import dates
from outrider.tasks.judging import judge
from outrider.tasks.latex import latex

_NUMBER: Final = r"(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+|(?:\s*/\s*\d+))?"
_SIGNED = re.compile(rf"[-+]?{_NUMBER}")
_IN_WORDS = re.compile(rf"(?<![A-Za-z\d_.])[-+]?(?=[.\d]){_NUMBER}")
_WORDS = re.compile(r"(?:[^\W\d_]{2,}+|[㐀-鿿]|\ba\b|['’]s\b|[\s.,:;'’\"!?$€£¥%-])*")
_LONGEST: Final = 300
_ROUNDED_PLACES: Final = 6
"""A decimal with so many places stands for a fraction that it is the rounding of."""


def equal(gold: str, answer: str) -> bool:
    """Whether an answer is mathematically what it should be.

    Plain numbers are compared here, exactly, but that a decimal of six places or more may be
    rounded. Everything else goes to math-verify (`verify(parse(gold), parse(answer))`) in a
    process of its own, so that it works on every thread, and a comparison that takes longer than
    `SECONDS` or too much memory is no match.

    Raises:
        UsageError: math-verify is needed and missing.
    """
    if _per_cent(gold) != _per_cent(answer):
        return _equal(gold, answer) or _equal(*map(_as_fraction, (gold, answer)))
    return _equal(gold, answer)


def number(text: str) -> Fraction | None:
    """A plain number: whole, with thousands separators, decimal, scientific, or a fraction."""
    text = latex(text)
    # A long one, or a vast power of ten, would take for ever to write out.
    if len(text) > _LONGEST or (
        (power := re.search(r"[eE][-+]?(\d+)$", text)) and (int(power[1]) > _LONGEST)
    ):
        return None
    if not _SIGNED.fullmatch(text) or not any(c.isdigit() for c in text):
        return None
    try:
        return Fraction(text.replace(",", "").replace(" ", ""))
    except (ValueError, ZeroDivisionError):
        return None


def number_in(text: str) -> Fraction | None:
    """The number that a text gives: `x = 5`, or the only one among words: `5 apples`.

    A date counts as its year, and neither as its day nor as its month.
    """
    value = latex(text).rpartition("=")[2].strip()
    if date := _date_in(value):
        return Fraction(date.year)
    found = {number(match[0]) for match in _IN_WORDS.finditer(value) if match[0]}
    if len(found) != 1 or not _WORDS.fullmatch(_IN_WORDS.sub(" ", value)):
        return number(value)
    return found.pop()


def _equal(gold: str, answer: str) -> bool:
    sides = latex(gold), latex(answer)
    if sides[0] == sides[1]:
        return bool(sides[0])
    wanted = number(gold)
    given = None if wanted is None else number_in(answer)
    if wanted is not None and given is not None:
        return wanted == given or any(
            len(decimals) >= _ROUNDED_PLACES
            and round(exact, len(decimals)) == round(shown, len(decimals))
            for exact, shown, text in ((wanted, given, sides[1]), (given, wanted, sides[0]))
            if (decimals := re.sub(r"[eE].*", "", text.partition(".")[2]))
        )
    if all(both := [_date_in(side) for side in sides]):
        return both[0] == both[1]
    return judge.equal(*sides)


def _date_in(text: str) -> dates.Date | None:
    """The date that a text gives, alone or among words; None where there are other numbers."""
    found = dates.places(text)
    if len(found) != 1 or not _WORDS.fullmatch(text[: found[0].start()]):
        return None
    return dates.read(found[0]) if _WORDS.fullmatch(text[found[0].end() :]) else None


def _per_cent(text: str) -> bool:
    return latex(text) != "" and text.rstrip(" $.").endswith("%")


def _as_fraction(text: str) -> str:
    """75% as 0.75."""
    value = number(text) if _per_cent(text) else None
    return text if value is None else str(value / 100)
