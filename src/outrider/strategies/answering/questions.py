"""Questions from a file: JSON, JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from outrider.errors import UsageError

BUILT_IN: Final = Path(__file__).parents[2] / "data" / "questions.jsonl"
"""500 questions of our own with known answers: 125 each of algebra, Chinese, geography, history."""

TEXT_KEYS: Final = ("question", "prompt", "problem", "text", "input")
ID_KEYS: Final = ("id", "question_id")
KINDS: Final = (".json", ".jsonl", ".csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a file.

    Attributes:
        index: its place in the file, from 0; its seed is derived from it.
        id: what the file calls it, else its place counted from 1.
        text: the question; empty where there is an error.
        fields: all that the file says of it.
        error: why it cannot be asked; None where it can.
    """

    index: int
    id: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def answer(self) -> str | None:
        """The known answer, where the file has one."""
        value = self.fields.get("answer")
        return None if value in (None, "") else str(value)


def read_questions(path: Path) -> list[Question]:
    """The questions of a file. One that cannot be read is kept, with the reason as its error.

    A JSON file is a list of questions, or an object with such a list under `questions`; a JSON
    lines file has one a line. A question is a text, or an object with its text under one of
    `TEXT_KEYS`. A CSV file names its columns in its first line.

    Raises:
        UsageError: the file is none, or holds no question; two have the same id.
    """
    if path.suffix not in KINDS:
        raise UsageError(f"Questions come from a file ending in {', '.join(KINDS)}, not {path}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"The questions {path} cannot be read: {reason}.") from error
    readers = {".json": _json_items, ".jsonl": _line_items, ".csv": _csv_items}
    questions = [_question(i, item) for i, item in enumerate(readers[path.suffix](text, path))]
    if not questions:
        raise UsageError(f"The file {path} holds no question.")
    seen: dict[str, int] = {}
    for question in questions:
        if question.id in seen:
            raise UsageError(
                f"Questions {seen[question.id] + 1} and {question.index + 1} of {path} have the "
                f"same id {question.id!r}; answers are told apart by it, so give each its own."
            )
        seen[question.id] = question.index
    return questions


def sample_evenly(questions: Sequence[Question], limit: int, key: str) -> list[Question]:
    """At most `limit` questions, as many of each value of a field as of every other.

    Those of a value are taken at even distances, so that a sorted file is not sampled at its top.

    Raises:
        UsageError: the limit is below 1.
    """
    if limit < 1:
        raise UsageError(f"The limit has to be at least 1 question, not {limit}.")
    groups: dict[str, list[Question]] = {}
    for question in questions:
        groups.setdefault(str(question.fields.get(key, "")), []).append(question)
    shares = dict.fromkeys(groups, 0)
    left = min(limit, len(questions))
    while left:
        for name, members in groups.items():
            if left and shares[name] < len(members):
                shares[name] += 1
                left -= 1
    taken = [
        members[position * len(members) // shares[name]]
        for name, members in groups.items()
        for position in range(shares[name])
    ]
    return sorted(taken, key=lambda question: question.index)


class _Bad(str):
    """Instead of a question: why there is none."""

    __slots__ = ()


def _json_items(text: str, path: Path) -> Iterable[Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UsageError(f"The file {path} is not JSON: {error}.") from error
    if isinstance(values, dict):
        values = values.get("questions")
    if not isinstance(values, list):
        raise UsageError(f"The file {path} is no list of questions, nor has it one as `questions`.")
    return values


def _line_items(text: str, path: Path) -> Iterable[Any]:
    del path  # a line that is no JSON is a bad question, not a bad file
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                yield _Bad(f"Line {number} is not JSON: {error}.")


def _csv_items(text: str, path: Path) -> Iterable[Any]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if not set(TEXT_KEYS) & set(rows.fieldnames or ()):
        raise UsageError(
            f"The file {path} names none of the columns {', '.join(TEXT_KEYS)} in its first line."
        )
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield _Bad(f"Line {rows.line_num} is not CSV: {error}.")
            return  # what follows an open quote is not known to be a row
        yield {key: value for key, value in row.items() if key is not None and value != ""}


def _question(index: int, item: Any) -> Question:
    name = str(index + 1)
    if isinstance(item, _Bad):
        return Question(index=index, id=name, text="", error=str(item))
    values = {"question": item} if isinstance(item, str) else item
    if not isinstance(values, dict):
        reason = f"Question {name} is neither a text nor an object."
        return Question(index=index, id=name, text="", error=reason)
    name = next((str(values[k]) for k in ID_KEYS if values.get(k) not in (None, "")), name)
    text = next((values[key] for key in TEXT_KEYS if key in values), None)
    if not isinstance(text, str) or not text.strip():
        reason = f"Question {name} has no text under any of {', '.join(TEXT_KEYS)}."
        return Question(index=index, id=name, text="", fields=values, error=reason)
    return Question(index=index, id=name, text=text.strip(), fields=values)
