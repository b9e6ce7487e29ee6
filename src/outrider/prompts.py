"""Prompt files: JSON lines or plain text, with or without categories."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from outrider.errors import UsageError
from outrider.files import read_text
from outrider.types import Message, Request

T = TypeVar("T")

TEXT_KEYS = ("turns", "prompt", "question")
ID_KEYS = ("id", "question_id")

BUILT_IN = Path(__file__).parent / "data" / "prompts.jsonl"
"""Prompts of our own, of 13 categories, for whoever measures without a file."""


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

    A line of a JSON-lines file is an object with one of `turns` (a list of texts), `prompt` and
    `question`, and optionally `category` and `id` or `question_id`; its other keys are the data
    set's own. Any other file is plain text with a prompt a line. Blank lines are skipped.

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
    given = [key for key in TEXT_KEYS if isinstance(values, dict) and key in values]
    if len(given) != 1:
        raise UsageError(
            f"{place.capitalize()} has to be an object with exactly one of "
            f"{', '.join(TEXT_KEYS)}; found: {', '.join(given) or 'none'}."
        )
    (key,) = given
    turns = values[key] if key == "turns" else [values[key]]
    if (
        not isinstance(turns, list)
        or not turns
        or not all(isinstance(turn, str) and turn for turn in turns)
    ):
        kind = "a list of non-empty texts" if key == "turns" else "a non-empty text"
        raise UsageError(f"{key!r} in {place} has to be {kind}.")
    return Prompt(
        index,
        tuple(turns),
        _label(values, "category", place),
        next((_label(values, key, place) for key in ID_KEYS if key in values), None),
    )


def _label(values: dict[str, Any], key: str, place: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str | int):
        raise UsageError(f"{key!r} in {place} has to be a text or a number.")
    return None if value is None else str(value)
