"""Profiles from TOML files: every error names the file and the key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from outrider.errors import UsageError, unknown_name
from outrider.files import read_text
from outrider.strategies.answering.profile import (
    CLASSIFIERS,
    PLACE,
    WAYS,
    Assign,
    Example,
    Profile,
    Subject,
)
from outrider.types import Sampling

PACKAGED: Final = Path(__file__).parents[2] / "data" / "profiles"
"""The profiles that come with the package."""


def packaged() -> tuple[str, ...]:
    """The names of the profiles that come with the package."""
    return tuple(sorted(path.stem for path in PACKAGED.glob("*.toml")))


def load_profile(reference: str) -> Profile:
    """A profile by the name of a packaged one, or by its file.

    Raises:
        UsageError: there is none, it cannot be read, a key does not exist (the nearest one is
            named), or a value is none.
    """
    path = PACKAGED / f"{reference}.toml" if reference in packaged() else Path(reference)
    if path.parent != PACKAGED and not path.is_file() and path.suffix != ".toml":
        raise unknown_name("profile", reference, packaged())
    text = read_text(path, f"The profile {path}")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The profile {path} is not TOML: {error}.") from error
    return _Reader(path).profile(values)


class _Reader:
    """Makes a profile of what a file says."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def profile(self, values: dict[str, Any]) -> Profile:
        self._check_keys(values, "", ("description", "assign", "subjects"))
        tables = self._take(values, "", "subjects", dict, {})
        if not tables:
            raise UsageError(f"The profile {self._path} has no subjects; give [subjects.NAME].")
        subjects = {
            name: self._subject(name, self._take(tables, "subjects", name, dict, {}))
            for name in tables
        }
        assign = self._assign(self._take(values, "", "assign", dict, {}), subjects)
        return Profile(
            name=self._path.stem,
            path=self._path,
            description=self._take(values, "", "description", str, ""),
            assign=assign,
            subjects=subjects,
        )

    def _assign(self, values: dict[str, Any], subjects: Mapping[str, Subject]) -> Assign:
        self._check_keys(values, "assign", [f.name for f in fields(Assign)])
        by = self._texts(values, "assign", "by", WAYS)
        for way in by:
            if way not in WAYS:
                raise unknown_name(f"way to assign questions in {self._path}:", way, WAYS)
        classifier = self._take(values, "assign", "classifier", str, "ngrams")
        if classifier not in CLASSIFIERS:
            raise unknown_name(f"classifier in {self._path}:", classifier, CLASSIFIERS)
        aliases = self._take(values, "assign", "aliases", dict, {})
        default = self._take(values, "assign", "default", str, None)
        for name in [*aliases.values(), *([] if default is None else [default])]:
            if name not in subjects:
                raise unknown_name(f"subject in [assign] of {self._path}:", str(name), subjects)
        return Assign(
            by=by,  # type: ignore[arg-type]  # checked above
            key=self._take(values, "assign", "key", str, "subject"),
            aliases={key.casefold(): value for key, value in aliases.items()},
            classifier=classifier,
            default=default,
        )

    def _subject(self, name: str, values: dict[str, Any]) -> Subject:
        place = f"subjects.{name}"
        self._check_keys(values, place, [f.name for f in fields(Subject) if f.name != "name"])
        prompt = self._take(values, place, "prompt", str, PLACE)
        if PLACE not in prompt:
            raise UsageError(f"{place}.prompt of {self._path} has no {PLACE} in it.")
        knowledge = self._take(values, place, "knowledge", str, None)
        pattern = self._take(values, place, "answer_pattern", str, None)
        max_tokens = self._take(values, place, "max_tokens", int, 256)
        if max_tokens < 1:
            raise UsageError(f"{place}.max_tokens of {self._path} has to be at least 1.")
        return Subject(
            name=name,
            knowledge="" if knowledge is None else self._knowledge(knowledge),
            system=self._take(values, place, "system", str, "").strip(),
            prompt=prompt,
            examples=tuple(
                self._example(f"{place}.examples", example)
                for example in self._take(values, place, "examples", list, [])
            ),
            sampling=self._sampling(place, self._take(values, place, "sampling", dict, {})),
            max_tokens=max_tokens,
            stop=self._texts(values, place, "stop", ()),
            answer_pattern=None if pattern is None else self._pattern(place, pattern),
            rules=tuple(
                self._pattern(place, rule) for rule in self._texts(values, place, "rules", ())
            ),
            numbers=self._take(values, place, "numbers", bool, False),
        )

    def _knowledge(self, name: str) -> str:
        path = self._path.parent / name
        return read_text(path, f"The knowledge of the profile {self._path}: {path}").strip()

    def _example(self, place: str, values: Any) -> Example:
        if not isinstance(values, dict):
            raise UsageError(f"{place} of {self._path} has to be tables, [[{place}]].")
        self._check_keys(values, place, ("question", "answer"))
        texts = [self._take(values, place, key, str, "").strip() for key in ("question", "answer")]
        if not all(texts):
            raise UsageError(f"An example in {place} of {self._path} needs question and answer.")
        return Example(*texts)

    def _sampling(self, place: str, values: dict[str, Any]) -> Sampling:
        known = [f.name for f in fields(Sampling) if f.name != "seed"]
        self._check_keys(values, f"{place}.sampling", known)
        try:
            return Sampling(**values)
        except UsageError as error:
            raise UsageError(f"{place}.sampling of {self._path}: {error}") from error

    def _pattern(self, place: str, text: str) -> re.Pattern[str]:
        try:
            return re.compile(text, re.IGNORECASE | re.MULTILINE)
        except re.error as error:
            raise UsageError(f"{text!r} in {place} of {self._path} is no pattern: {error}.") from (
                error
            )

    def _texts(
        self, values: dict[str, Any], place: str, key: str, default: tuple[str, ...]
    ) -> tuple[str, ...]:
        found = self._take(values, place, key, list, list(default))
        if not all(isinstance(text, str) and text for text in found):
            raise UsageError(f"{place}.{key} of {self._path} has to be a list of texts.")
        return tuple(found)

    def _take(self, values: dict[str, Any], place: str, key: str, kind: type, default: Any) -> Any:
        """The value of a key, of its kind; bool is no whole number."""
        value = values.get(key, default)
        right = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if value is not default and not right:
            where = f"{place}.{key}" if place else key
            raise UsageError(f"{where} of {self._path} has to be {_KINDS[kind]}, not {value!r}.")
        return value

    def _check_keys(self, values: dict[str, Any], place: str, known: Iterable[str]) -> None:
        for key in values:
            if key not in known:
                where = f"[{place}] of {self._path}" if place else f"{self._path}"
                raise unknown_name(f"key in {where}:", key, known)


_KINDS: Final = {
    bool: "true or false",
    str: "a text",
    int: "a whole number",
    list: "a list",
    dict: "a table",
}
