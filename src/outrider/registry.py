"""Plug-ins by name: built-in parts are found the same way as a third party's.

A distribution offers a part as an entry point in one of the groups below; the target is imported
only when it is asked for.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from outrider.errors import UsageError, unknown_name

Group = Literal["engines", "drafters", "controllers", "verifiers"]


@cache
def _points(group: Group) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"outrider.{group}")}


def names(group: Group) -> tuple[str, ...]:
    """The names offered in a group, sorted."""
    return tuple(sorted(_points(group)))


def load(group: Group, name: str) -> Any:
    """The class or factory registered under `name`.

    Raises:
        UsageError: the name is not registered, or its module cannot be imported.
    """
    points = _points(group)
    if name not in points:
        raise unknown_name(group.removesuffix("s"), name, points)
    try:
        return points[name].load()
    except ImportError as error:
        raise UsageError(
            f"The {group.removesuffix('s')} {name!r} cannot be loaded: {error}."
        ) from error
