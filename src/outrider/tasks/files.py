"""Rows of files: JSON, JSON lines and CSV with questions and answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from outrider.errors import UsageError
from outrider.files import read_text
from outrider.prompts import ID_KEYS, LETTERS, SUBJECT_KEYS, choices_of, several
from outrider.tasks.base import Problem
from outrider.types import Message

Row = Mapping[str, Any]

SUFFIXES: Final = (".json", ".jsonl", ".csv")

QUESTION_KEYS: Final = ("question", "problem", "prompt")
ANSWER_KEYS: Final = ("answer", "gold", "solution")
EARLIER_KEY: Final = "earlier"


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, by the ending of its name.

    Raises:
        UsageError: as in `read_each`, or a row cannot be read.
    """
    rows = []
    for row in read_each(path):
        if isinstance(row, UsageError):
            raise row
        rows.append(row)
    return rows


def read_each(path: Path) -> list[Row | UsageError]:
    """The rows of a file, and for a row that cannot be read the error that says why.

    A JSON file is a list of objects, or an object with one list in it, such as `questions`.

    Raises:
        UsageError: the file cannot be read, is not what its name says, or holds no row.
    """
    text = read_text(path, f"The question file {path}")
    try:
        items = _READERS[path.suffix.lower()](text)
    except KeyError:
        raise UsageError(
            f"The question file {path} has to be one of {', '.join(SUFFIXES)}."
        ) from None
    except (ValueError, csv.Error) as error:
        raise UsageError(f"The question file {path} is not valid: {error}.") from error
    if not items:
        raise UsageError(f"The question file {path} holds no question.")
    return [_row(item, number, path) for number, item in enumerate(items, 1)]


def _row(item: object, number: int, path: Path) -> Row | UsageError:
    if isinstance(item, ValueError):
        return UsageError(f"Question {number} of {path} cannot be read: {item}.")
    if not isinstance(item, dict):
        return UsageError(f"Question {number} of {path} has to be an object.")
    return item


def problem_from(
    row: Row,
    index: int,
    place: str,
    *,
    question_key: str | None = None,
    answer_key: str | None = None,
) -> Problem:
    """The problem that a row of any set states.

    Args:
        row: with a question under one of `QUESTION_KEYS`, and mostly an answer under one of
            `ANSWER_KEYS`. An answer to a question with `choices` is a letter, the number of a
            choice from 0, or a choice written out. Under `earlier` may stand the turns of the
            conversation before the question, user's and assistant's in turn, as texts or as
            objects with a role and content.
        index: of the row; its id where it has none.
        place: what an error calls the row.
        question_key: the key to take instead.
        answer_key: the same for the answer.

    Raises:
        UsageError: there is no question, the named key is missing, choices or aliases are no list,
            the answer is no choice, the earlier turns are none, or a text holds half of a
            character.
    """
    _check_characters(row, place)
    asked = _key(row, (question_key,) if question_key else QUESTION_KEYS)
    answered = _key(row, (answer_key,) if answer_key else ANSWER_KEYS)
    question = row.get(asked) if asked else None
    if not isinstance(question, str) or not question.strip():
        wanted = question_key or ", ".join(QUESTION_KEYS)
        raise UsageError(
            f"{place} has no question: it needs a text under {wanted}; its keys are "
            f"{', '.join(map(str, row)) or 'none'}."
        )
    if answer_key and not answered:
        raise UsageError(f"{place} has no {answer_key!r}; its keys are {', '.join(map(str, row))}.")
    choices = choices_of(row, place)
    data = {k: v for k, v in row.items() if k not in (asked, answered, "choices", EARLIER_KEY)}
    if "aliases" in data:
        data["aliases"] = several(data["aliases"], f"The aliases of {place}")
    answer = row.get(answered) if answered else None
    subject, level = _first(row, SUBJECT_KEYS), row.get("level")
    identity = _first(row, ID_KEYS)
    return Problem(
        id=str(index if identity is None else identity),
        question=question,
        answer=_letter(answer, choices, place) if choices else _text(answer),
        choices=choices,
        subject=None if subject is None else str(subject),
        level=_level(level),
        data=data,
        earlier=_turns(row.get(EARLIER_KEY), place),
    )


def stated_answer(row: Row) -> str | None:
    """The known answer that a row states, whatever else is wrong with the row."""
    answered = _key(row, ANSWER_KEYS)
    text = _text(row[answered]) if answered else None
    # Half of a character cannot be written to a file.
    return None if text is None else text.encode(errors="replace").decode()


def _turns(value: object, place: str) -> tuple[Message, ...]:
    """The turns of a conversation; texts are the user's and the assistant's in turn."""
    if value is None:
        return ()
    turns = []
    for number, item in enumerate(value if isinstance(value, list) else [None]):
        match item:
            case str():
                turns.append(Message(("user", "assistant")[number % 2], item))
            case {"role": str(role), "content": str(content)} if role:
                turns.append(Message(role, content))
            case _:
                raise UsageError(
                    f"The earlier turns of {place} have to be a list of texts, or of objects with "
                    "a role and content."
                )
    return tuple(turns)


def _check_characters(row: Row, place: str) -> None:
    """Raise for half of a character (a lone surrogate): JSON can write it, and no file can."""
    try:
        json.dumps(row, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise UsageError(f"{place} holds half of a character, {half!a}; write it whole.") from error


def _letter(answer: object, choices: Sequence[str], place: str) -> str | None:
    letters = LETTERS[: len(choices)]
    if answer is None:
        return None
    if isinstance(answer, int) and 0 <= answer < len(choices):
        return letters[answer]
    text = str(answer).strip()
    if text.isdecimal() and int(text) < len(choices) and text not in choices:
        return letters[int(text)]
    if text.upper() in letters and len(text) == 1:
        return text.upper()
    if text in choices:
        return letters[choices.index(text)]
    raise UsageError(f"The answer of {place} is none of its choices: {answer!r}.")


def _text(answer: object) -> str | None:
    """An answer as text; a number without the decimals that it does not need."""
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        return None
    if isinstance(answer, float) and answer.is_integer():
        return str(int(answer))
    return str(answer).strip()


def _level(value: object) -> int | None:
    """Levels are numbers, or such as `Level 5`."""
    digits = "".join(c for c in str(value or "") if c.isdigit())
    return int(digits) if digits else None


def _key(row: Row, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in row), None)


def _first(row: Row, names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _json(text: str) -> list[Any]:
    values = json.loads(text)
    if isinstance(values, dict):
        lists = [value for value in values.values() if isinstance(value, list)]
        values = lists[0] if len(lists) == 1 else None
    if not isinstance(values, list):
        raise ValueError("it holds neither a list nor an object with one list")  # noqa: TRY004
    return values


def _json_lines(text: str) -> list[Any]:
    rows: list[Any] = []
    # Not splitlines(): a question may hold Unicode's other line separators.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                rows.append(ValueError(f"line {number}: {error}"))
    return rows


def _csv(text: str) -> list[Any]:
    rows: list[Any] = []
    for row in csv.DictReader(io.StringIO(text, newline=""), strict=True):
        if None in row or None in row.values():
            rows.append(ValueError(f"row {len(rows) + 1} has not as many fields as the header"))
        else:
            rows.append({key: value for key, value in row.items() if value != ""})
    return rows


_READERS: Final[Mapping[str, Callable[[str], list[Any]]]] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".csv": _csv,
}
