"""Prompts: those of files (JSON lines or plain text), and some of our own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from outrider.errors import UsageError
from outrider.files import read_text
from outrider.types import Message, Request

T = TypeVar("T")

TEXT_KEYS = ("turns", "prompt", "question", "problem")
ID_KEYS = ("id", "question_id", "task_id", "unique_id")
SUBJECT_KEYS = ("subject", "category", "type")

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The names of choices, in their order."""

BUILT_IN = Path(__file__).parent / "data" / "prompts.jsonl"
"""Prompts of our own, for whoever measures without a file: eight of each category of Spec-Bench.

They stand in rounds of one a category, so that the first 13 are one of each, the first 26 two.
https://github.com/hemingkx/Spec-Bench
"""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of a file.

    Attributes:
        index: its place among the file's prompts, from 0; a seed for the file is derived by it.
        turns: what the user says, turn by turn; mostly one.
        category: the kind of task, where the file says so.
        id: what the file calls it.
    """

    index: int
    turns: tuple[str, ...]
    category: str | None = None
    id: str | None = None

    def request(self, *, raw: bool) -> Request:
        """The first turn as a message, or as text to continue as it stands."""
        text = self.turns[0]
        return Request(prompt=text) if raw else Request(messages=(Message("user", text),))


def read_prompts(path: Path, limit: int | None = None) -> list[Prompt]:
    """The prompts of a file.

    A line of a JSON-lines file is an object, read as in `prompt_from`. Any other file is plain text
    with a prompt a line. Blank lines are skipped.

    Args:
        path: the file; it is JSON lines if its name ends in .jsonl or its first line is an object.
        limit: take only so many, evenly over the categories; None takes all.

    Raises:
        UsageError: the file cannot be read, holds no prompt, or has a line that is none.
    """
    text = read_text(path, f"The prompt file {path}")
    # Not splitlines(): a prompt may hold form feeds and Unicode's other line separators.
    lines = [(n, line.strip()) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UsageError(f"The prompt file {path} holds no prompt.")
    if path.suffix == ".jsonl" or _is_object(lines[0][1]):
        prompts = [
            _from_json(line, index, f"line {number} of {path}")
            for index, (number, line) in enumerate(lines)
        ]
    else:
        prompts = [Prompt(index, (line,)) for index, (_, line) in enumerate(lines)]
    return take_evenly(prompts, limit)


def take_evenly(
    prompts: Sequence[T],
    limit: int | None,
    *,
    category: Callable[[T], str | None] = attrgetter("category"),
) -> list[T]:
    """At most `limit` prompts, as many of each category as of every other, in their order.

    The categories take turns, each giving its next prompt, so their numbers differ by at most one
    until one has no more to give.

    Args:
        prompts: prompts, or whatever else has categories.
        limit: None takes all.
        category: says of each what it counts as.

    Raises:
        UsageError: the limit is below 1.
    """
    if limit is None:
        return list(prompts)
    if limit < 1:
        raise UsageError(f"The limit has to be at least 1 prompt, not {limit}.")
    categories: dict[str | None, list[int]] = {}
    for index, prompt in enumerate(prompts):
        categories.setdefault(category(prompt), []).append(index)
    rounds: Iterable[tuple[int | None, ...]] = zip_longest(*categories.values())
    taken = [index for one_each in rounds for index in one_each if index is not None]
    return [prompts[index] for index in sorted(taken[:limit])]


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _from_json(line: str, index: int, place: str) -> Prompt:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{place.capitalize()} is not valid JSON: {error}.") from error
    return prompt_from(values if isinstance(values, dict) else {}, index, place)


def prompt_from(row: Mapping[str, Any], index: int, place: str) -> Prompt:
    """The prompt that a row of a file or of a data set holds.

    Args:
        row: an object with one of `turns` (a list of texts), `prompt`, `question` and `problem`,
            and optionally `choices`, which are asked with it, and a category and an id under one
            of `SUBJECT_KEYS` and `ID_KEYS`; other keys are the set's own.
        index: of the row among the prompts.
        place: what an error calls it.

    Raises:
        UsageError: the row has none of the keys, or several, or a value of another kind.
    """
    given = [key for key in TEXT_KEYS if key in row]
    if len(given) != 1:
        raise UsageError(
            f"{place.capitalize()} has to be an object with exactly one of "
            f"{', '.join(TEXT_KEYS)}; found: {', '.join(given) or 'none'}."
        )
    (key,) = given
    turns = row[key] if key == "turns" else [row[key]]
    if (
        not isinstance(turns, list)
        or not turns
        or not all(isinstance(turn, str) and turn for turn in turns)
    ):
        kind = "a list of non-empty texts" if key == "turns" else "a non-empty text"
        raise UsageError(f"{key!r} in {place} has to be {kind}.")
    if choices := choices_of(row, place):
        turns = [f"{turns[0]}\n{lettered(choices)}", *turns[1:]]
    return Prompt(
        index,
        tuple(turns),
        _label(row, SUBJECT_KEYS, place),
        _label(row, ID_KEYS, place),
    )


def choices_of(row: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """The answers to choose from that a row offers; none where it is no question of that kind.

    Raises:
        UsageError: they are no list, or more than there are letters.
    """
    what = f"The choices of {place}"
    choices = several(row.get("choices"), what)
    if len(choices) > len(LETTERS):
        raise UsageError(f"{what} have to be a list of at most {len(LETTERS)} texts.")
    return choices


def several(value: object, what: str) -> tuple[str, ...]:
    """The texts of a list, or of a cell of CSV with | between them.

    Raises:
        UsageError: it is no list; `what` begins the sentence.
    """
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split("|") if part.strip())
    if value is None:
        return ()
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise UsageError(f"{what} have to be a list, not {value!r}.")
    return tuple(map(str, value))


def lettered(choices: Iterable[str]) -> str:
    """Choices, a line each, with their letters."""
    return "\n".join(f"{name}. {choice}" for name, choice in zip(LETTERS, choices, strict=False))


def _label(row: Mapping[str, Any], keys: Iterable[str], place: str) -> str | None:
    key = next((key for key in keys if row.get(key) is not None), None)
    if key is None:
        return None
    if not isinstance(row[key], str | int):
        raise UsageError(f"{key!r} in {place} has to be a text or a number.")
    return str(row[key])
