"""Dates with a day, as answers give them: `July 20, 1969`, `20 July 1969`, `1969-07-20`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_MONTH: Final = (
    r"\b(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY: Final = r"(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR: Final = r"(?P<year>\d{3,4})(?![\w%]|[.,/]\d)"
_FORMS: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_MONTH}\s+{_DAY},?\s+{_YEAR}",
        rf"(?<![\w.,/-]){_DAY}\s+(?:of\s+)?{_MONTH},?\s+{_YEAR}",
        r"(?<![\w.,/-])(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])(?![\w-])",
        r"(?<!\d)(?P<year>\d{3,4})\s*年\s*(?P<month>\d{1,2})\s*月(?:\s*(?P<day>\d{1,2})\s*[日号])?",
    )
)


class Date(NamedTuple):
    """A day, or in Chinese a month, which has no `day`."""

    year: int
    month: int
    day: int | None


def places(text: str) -> list[re.Match[str]]:
    """Where the dates of a text stand."""
    return [match for form in _FORMS for match in form.finditer(text)]


def read(match: re.Match[str]) -> Date:
    """The date of a place."""
    month = match["month"].lower()
    number = int(month) if month.isdigit() else 1 + _MONTHS.index(month[:3])
    return Date(int(match["year"]), number, int(match["day"]) if match["day"] else None)
