"""Settings as files: YAML or TOML into frozen dataclasses, where an unknown key is an error."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from outrider.errors import UsageError, unknown_name
from outrider.files import read_text
from outrider.sizes import parse_size

T = TypeVar("T")

SIZES: Final = ("memory", "cache")
"""Keys whose values may be written as sizes, such as 600MB."""


def read_mapping(path: Path) -> dict[str, Any]:
    """What a YAML file holds, or a TOML file where its name ends in .toml.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        text = read_text(path, str(path))
        values = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        kind = "TOML" if path.suffix == ".toml" else "YAML"
        raise UsageError(f"{path} is not {kind}: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} has no settings; write key: value in it.")
    return values


def make(kind: type[T], values: object, where: str) -> T:
    """An instance of a dataclass made of a mapping, and those in it of theirs.

    Args:
        kind: the dataclass; its fields are texts, numbers, truth values, tuples and dataclasses.
        values: what a file holds.
        where: what an error calls the place.

    Raises:
        UsageError: a key does not exist (the nearest one is named), is missing, or has a value of
            another type.
    """
    if not isinstance(values, Mapping):
        raise UsageError(f"In {where}, {values!r} is no mapping of names to values.")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    made = {}
    for key, value in values.items():
        if key not in known:
            raise unknown_name(f"key in {where}:", str(key), known)
        if key in SIZES and isinstance(value, str):
            value = parse_size(value)  # noqa: PLW2901
        made[key] = _convert(hints[key], value, f"{key} of {where}")
    for name, item in known.items():
        required = item.default is MISSING and item.default_factory is MISSING
        if required and name not in made:
            raise UsageError(f"{where.capitalize()} lacks {name}.")
    try:
        return kind(**made)
    except UsageError as error:
        raise UsageError(f"In {where}: {error}") from error


def _convert(kind: Any, value: object, where: str) -> Any:
    """The value as the type wants it."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = [option for option in get_args(kind) if option is not type(None)]
        return None if value is None else _convert(inner[0], value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UsageError(f"{where} has to be a list, not {value!r}.")
        return tuple(
            _convert(get_args(kind)[0], item, f"entry {number} of {where}")
            for number, item in enumerate(value, 1)
        )
    if is_dataclass(kind) and isinstance(kind, type):
        return make(kind, value, where)
    if origin is Literal:
        if value not in get_args(kind):
            raise unknown_name(where, str(value), map(str, get_args(kind)))
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        raise UsageError(f"{where} has to be {names[kind]}, not {value!r}.")
    return value
