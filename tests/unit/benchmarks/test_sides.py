"""Sides of a comparison: whose turn it is, and that the others stand still."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outrider.errors import UsageError
from sides import Measurement, Side, Task, measure

WORKER = """
import json, os, sys
print(json.dumps({"settings": {"variable": os.environ.get("SIDE")}, "load": [0.5]}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    tokens = [len(request["tokens"])] * request["max_tokens"]
    answer = {"tokens": tokens, "prefill": 0.5, "decode": 2.0 if request["reuse"] else 1.0}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    (tmp_path / "worker.py").write_text(WORKER)
    command = [sys.executable, str(tmp_path / "worker.py")]
    with Side("one", command, file="same file", variables={"SIDE": "left"}) as side:
        yield side


def state(side: Side) -> str:
    """The process's state as the kernel calls it, once it has taken a signal that was sent."""
    _, status = os.waitpid(side._process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    fields = Path(f"/proc/{side._process.pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0]


def test_a_side_computes_only_while_it_is_asked(side: Side) -> None:
    assert side.report["settings"] == {"variable": "left"}
    assert state(side) == "T"
    answer = side.generate([1, 2, 3], 2, reuse=False)
    assert answer == {"tokens": [3, 3], "prefill": 0.5, "decode": 1.0}
    assert state(side) == "T"
    assert side.generate([1], 4, reuse=True)["decode"] == 2.0


def test_a_stopped_side_ends_with_its_block(side: Side) -> None:
    with side:
        assert state(side) == "T"
    assert side._process.returncode is not None


def test_a_worker_that_ends_is_an_error() -> None:
    with pytest.raises(UsageError, match="worker of broken ended"):
        Side("broken", [sys.executable, "-c", "pass"], file="same file")


class Listed:
    """A side that only writes down when it was asked."""

    def __init__(self, name: str, asked: list[tuple[str, tuple[int, ...]]]) -> None:
        self.name, self._asked = name, asked

    def generate(self, tokens: tuple[int, ...], max_tokens: int, *, reuse: bool) -> dict[str, Any]:
        self._asked.append((self.name, tokens))
        return {"tokens": [7] * max_tokens, "prefill": 0.5, "decode": 0.25}


def test_who_begins_changes_from_prompt_to_prompt() -> None:
    asked: list[tuple[str, tuple[int, ...]]] = []
    sides: list[Any] = [Listed(name, asked) for name in "abc"]
    first, second = Task((1,), "kind"), Task((2, 2))

    warm_up, found = measure(sides, [first, second], max_tokens=5, repeats=2)

    assert [(m.side, m.prompt) for m in warm_up] == [("a", 0), ("b", 0), ("c", 0)]
    order = "".join(name for name, _ in asked)
    assert order == "abc" + "abc" + "bca" + "bca" + "cab"
    assert [(m.side, m.prompt, m.repeat) for m in found][3:7] == [
        ("b", 1, 0),
        ("c", 1, 0),
        ("a", 1, 0),
        ("b", 0, 1),
    ]
    assert found[0] == Measurement("a", 0, "kind", 0, 1, (7,) * 5, 0.5, 0.25)
    assert found[0].decode_rate == 16.0
    assert found[3].prefill_rate == 4.0
