from __future__ import annotations

from typing import Any

import pytest

from outrider import registry
from outrider.errors import UsageError


class _Part:
    """A part with an option of every kind, as a third party would write it."""

    def __init__(
        self,
        target: object,
        count: int = 4,
        *,
        depth: int = 1,
        weight: float | None = None,
        eager: bool = False,
        path: str = "",
        table: dict[str, int] | None = None,
    ) -> None:
        self.given = (target, count)
        self.options = {"depth": depth, "weight": weight, "eager": eager, "path": path}


def _evaluated(target: object, *, depth: int = 1) -> tuple[object, int]:
    return target, depth


_evaluated.__annotations__ = {"target": object, "depth": int | None}


class _Point:
    def __init__(self, target: Any) -> None:
        self._target = target

    def load(self) -> Any:
        if isinstance(self._target, Exception):
            raise self._target
        return self._target


@pytest.fixture(autouse=True)
def points(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "part": _Point(_Part),
        "factory": _Point(_evaluated),
        "broken": _Point(ImportError("no module named 'abacus'")),
    }
    monkeypatch.setattr(registry, "_points", lambda group: found)


def test_a_name_alone_is_the_part_itself() -> None:
    assert registry.load("drafters", "part") is _Part
    assert registry.names("drafters") == ("broken", "factory", "part")


def test_options_have_the_types_of_their_parameters() -> None:
    spec = "part:depth=3,weight=1e-2,eager=true,path=hf:owner/name=x.gguf"
    part = registry.load("drafters", spec)("target", 2)
    assert part.given == ("target", 2)
    assert part.options == {
        "depth": 3,
        "weight": 0.01,
        "eager": True,
        "path": "hf:owner/name=x.gguf",
    }


def test_what_is_not_given_stays_as_it_is() -> None:
    part = registry.load("controllers", "part:eager=false")("target")
    assert part.given == ("target", 4)
    assert part.options == {"depth": 1, "weight": None, "eager": False, "path": ""}


def test_a_factory_s_annotations_may_be_evaluated_already() -> None:
    assert registry.load("drafters", "factory:depth=7")("target") == ("target", 7)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("prat", "Unknown verifier 'prat'; did you mean 'part'"),
        ("broken", "verifier 'broken' cannot be loaded: no module named 'abacus'"),
        ("part:", "Options of the verifier 'part' are written key=value, not ''"),
        ("part:depth", "written key=value, not 'depth'"),
        ("part:depht=3", "Unknown option of the verifier 'part': 'depht'; did you mean 'depth'"),
        ("part:count=3", "Unknown option of the verifier 'part': 'count'"),
        ("part:table=3", "Unknown option of the verifier 'part': 'table'"),
        ("part:depth=3,depth=4", "option depth of the verifier 'part' is given twice"),
        ("part:depth=3.5", "depth of the verifier 'part' has to be a whole number, not '3.5'"),
        ("part:weight=much", "has to be a number, not 'much'"),
        ("part:eager=yes", "has to be true or false, not 'yes'"),
    ],
)
def test_what_cannot_be_honoured_is_named(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.load("verifiers", spec)
