"""Plug-ins by name: built-in parts are found the same way as a third party's.

A distribution offers a part as an entry point in one of the groups below; the target is imported
only when it is asked for.

A part is named by its name alone, or with options: `typical:epsilon=0.1,delta=0.3`. The options
are the keyword-only parameters of its constructor that are an int, float, bool or str; what the
loop passes itself are the positional ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from outrider.errors import UsageError, unknown_name

Group = Literal["engines", "drafters", "controllers", "verifiers", "experiments"]


@cache
def _points(group: Group) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"outrider.{group}")}


def names(group: Group) -> tuple[str, ...]:
    """The names offered in a group, sorted."""
    return tuple(sorted(_points(group)))


def load(group: Group, spec: str) -> Any:
    """The class or factory that a name stands for, with the options given behind it.

    Args:
        group: where to look.
        spec: `name` or `name:key=value,key=value`. A value ends at the next comma.

    Raises:
        UsageError: the name is not registered, its module cannot be imported, or an option does
            not exist (the nearest one is named) or has no valid value.
    """
    name, colon, options = spec.partition(":")
    kind, points = group.removesuffix("s"), _points(group)
    if name not in points:
        raise unknown_name(kind, name, points)
    try:
        factory = points[name].load()
    except ImportError as error:
        raise UsageError(f"The {kind} {name!r} cannot be loaded: {error}.") from error
    if not colon:
        return factory
    return partial(factory, **read_options(f"the {kind} {name!r}", factory, options))


def read_options(part: str, factory: Callable[..., Any], text: str) -> dict[str, Any]:
    """The options of a part that a text sets, with values of their types.

    Args:
        part: what errors call it.
        factory: whose keyword-only parameters the options are.
        text: `key=value,key=value`.

    Raises:
        UsageError: an option does not exist, is given twice, or has no valid value.
    """
    known = _settable(factory)
    options: dict[str, Any] = {}
    for setting in text.split(","):
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"Options of {part} are written key=value, not {setting!r}.")
        if key not in known:
            raise unknown_name(f"option of {part}:", key, known)
        if key in options:
            raise UsageError(f"The option {key} of {part} is given twice.")
        options[key] = _value(f"The option {key} of {part}", known[key], value)
    return options


def _settable(factory: Callable[..., Any]) -> Mapping[str, str]:
    """The keyword-only parameters that text can set, with the names of their types."""
    # Annotations are read as they are written: evaluating one may need names that are imported
    # for type checkers alone.
    types = {
        p.name: inspect.formatannotation(p.annotation).strip("'").removesuffix(" | None")
        for p in inspect.signature(factory).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    return {name: kind for name, kind in types.items() if kind in _READERS}


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text]


_READERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "bool": (_flag, "true or false"),
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "str": (str, "text"),
}


def _value(option: str, kind: str, text: str) -> Any:
    read, meaning = _READERS[kind]
    try:
        return read(text)
    except (ValueError, KeyError):
        raise UsageError(f"{option} has to be {meaning}, not {text!r}.") from None
