"""Values that are more than one word: lists of numbers, large counts, cost curves."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

from outrider.errors import UsageError

_COUNTS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def parse_numbers(option: str, text: str) -> list[float]:
    """The numbers of a list such as 0.6,0.8.

    Raises:
        UsageError: one is no finite number, or there is none.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise UsageError(
            f"{option} takes numbers separated by commas, such as 0.6,0.8, not {text!r}."
        )
    return values


def parse_count(option: str, text: str) -> float:
    """A count such as 70B (thousand millions), 1.4T, 5.88e23 or 135000000.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?(?:e\+?\d+)?)([A-Z]?)", text.strip(), re.IGNORECASE)
    if match is None or match[2].upper() not in _COUNTS:
        raise UsageError(f"{option} takes a count such as 5.88e23, 70B or 1.4T, not {text!r}.")
    return float(match[1]) * _COUNTS[match[2].upper()]


def show_count(value: float) -> str:
    """A count for people, to three figures: 70000000000 is 70B."""
    value = float(f"{value:.3g}")
    for unit, size in _COUNTS.items():
        if size <= value < 1000 * size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def parse_cost(text: str) -> dict[int, float]:
    """What passes cost by their number of rows: a list that begins with one row, or a file.

    A file is JSON: what `outrider bench engine --json` printed, an object from numbers of rows to
    costs, or a list that begins with one row.

    Raises:
        UsageError: it is neither a list nor such a file.
    """
    try:
        return dict(enumerate(parse_numbers("--cost", text), start=1))
    except UsageError:
        path = Path(text)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"--cost takes numbers separated by commas or a file, and {text!r} is neither."
        ) from error
    try:
        values = json.loads(content)
        if isinstance(values, list):
            values = dict(enumerate(values, start=1))
        return _by_rows(values.get("rows_ms", values))
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} holds no cost of passes; `outrider bench engine --json` prints it."
        ) from error


def _by_rows(values: Mapping[str | int, float]) -> dict[int, float]:
    return {int(rows): float(cost) for rows, cost in values.items()}
