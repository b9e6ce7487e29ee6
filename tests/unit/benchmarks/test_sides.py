"""Sides of a comparison: whose turn it is, and that the others stand still."""

from __future__ import annotations

import contextlib
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
    if request.get("forget"):
        print("{}", flush=True)
        continue
    tokens = [len(request["tokens"])] * request["max_tokens"] + request["stop"]
    answer = {"tokens": tokens, "first": 1, "prefill": 0.5}
    answer["decode"] = 2.0 if request["reuse"] else 1.0
    print(json.dumps(answer), flush=True)
"""
PARENT = """
import json, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(json.dumps({"child": child.pid}), flush=True)
sys.stdin.read()
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
    assert answer == {"tokens": [3, 3], "first": 1, "prefill": 0.5, "decode": 1.0}
    assert state(side) == "T"
    assert side.generate([1], 4, reuse=True)["decode"] == 2.0
    assert side.generate([1], 1, reuse=False, stop=[0, 2])["tokens"] == [1, 0, 2]
    side.forget()
    assert state(side) == "T"


def test_a_stopped_side_ends_with_its_block(side: Side) -> None:
    with side:
        assert state(side) == "T"
    assert side._process.returncode is not None


def test_what_a_worker_has_started_ends_with_it() -> None:
    with Side("parent", [sys.executable, "-c", PARENT], file="same file") as side:
        child = side.report["child"]
        os.kill(child, 0)
    # It is nobody's to reap here, so it may still be in the table of processes, as a zombie.
    status = Path(f"/proc/{child}/stat")
    with contextlib.suppress(FileNotFoundError):
        while status.read_text().rpartition(")")[2].split()[0] not in "ZX":
            pass


def test_a_worker_that_ends_is_an_error() -> None:
    with pytest.raises(UsageError, match="worker of broken ended"):
        Side("broken", [sys.executable, "-c", "pass"], file="same file")


class Listed:
    """A side that only writes down when it was asked."""

    def __init__(self, name: str, asked: list[str]) -> None:
        self.name, self._asked = name, asked

    def generate(
        self, tokens: tuple[int, ...], max_tokens: int, *, reuse: bool, stop: tuple[int, ...]
    ) -> dict[str, Any]:
        self._asked.append(self.name)
        said = [7] * max_tokens + list(stop[:1])
        return {"tokens": said, "first": 2, "prefill": 0.5, "decode": 0.25}

    def forget(self) -> None:
        self._asked.append("-")


def test_who_begins_changes_from_prompt_to_prompt() -> None:
    asked: list[str] = []
    sides: list[Any] = [Listed(name, asked) for name in "abc"]
    first, second = Task((1,), "kind"), Task((2, 2))

    warm_up, found = measure(sides, [first, second], max_tokens=5, repeats=2)

    assert [(m.side, m.prompt) for m in warm_up] == [("a", 0), ("b", 0), ("c", 0)]
    assert "".join(asked) == "abc" + "---" + "abcbca" + "---" + "bcacab"
    assert [(m.side, m.prompt, m.repeat) for m in found][3:7] == [
        ("b", 1, 0),
        ("c", 1, 0),
        ("a", 1, 0),
        ("b", 0, 1),
    ]
    assert found[0] == Measurement("a", 0, "kind", 0, 1, (7,) * 5, 0.5, 0.25, 2)
    assert found[0].decode_rate == 12.0
    assert found[0].end_to_end_rate == 5 / 0.75
    assert found[3].prefill_rate == 4.0


def test_the_token_that_ends_a_text_is_none_of_it() -> None:
    sides: list[Any] = [Listed("a", [])]
    _, found = measure(sides, [Task((1,))], max_tokens=3, repeats=1, stop=(9,))
    assert found[0].tokens == (7, 7, 7)
    assert found[0].decoded == 1


def test_what_says_nothing_after_its_first_tokens_has_no_speed() -> None:
    silent = Measurement("a", 0, None, 0, 1, (), 0.5, 0.25)
    assert (silent.decoded, silent.decode_rate, silent.end_to_end_rate) == (0, 0.0, 0.0)
