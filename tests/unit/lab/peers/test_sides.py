"""Sides of a comparison: they compute only while they are asked, and end with who started them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider.errors import OutriderError
from outrider.lab.peers import sides
from outrider.lab.peers.contestants import WORKERS
from outrider.lab.peers.sides import Side

WORKER = """
import os
from protocol import Question, answer, parser, serve

def generate(asked: Question):
    print("what a library says is no answer")
    if asked.options.get("fail"):
        raise SystemExit("It cannot do that.")
    tokens = [len(asked.tokens)] * asked.max_tokens + asked.stop
    return answer(tokens, 1, 0.5, 2.0 if asked.reuse else 1.0)

given = parser(__doc__).parse_args()
serve({"settings": {"variable": os.environ.get("SIDE")}, "load": [0.5]}, generate)
"""
PARENT = """
import json, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(json.dumps({"child": child.pid}), flush=True)
sys.stdin.read()
"""
STARTER = """
import sys, time
from outrider.lab.peers.sides import Side
side = Side("one", sys.argv[1:])
print(side._process.pid, flush=True)
time.sleep(600)
"""
ARGUMENTS = ["model", "--threads=1", "--context=8", "--loads=1"]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "worker.py").write_text(WORKER)
    return [sys.executable, str(tmp_path / "worker.py"), *ARGUMENTS]


@pytest.fixture
def side(command: list[str]) -> Iterator[Side]:
    with Side("one", command, variables={"SIDE": "left", "PYTHONPATH": str(WORKERS)}) as side:
        yield side


def state(side: Side) -> str:
    """The process's state as the kernel calls it, once it has taken a signal that was sent."""
    _, status = os.waitpid(side._process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    return status_of(side._process.pid)


def status_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def gone(process: int) -> None:
    """Wait for the end of a process that may be nobody's to reap here, so stay as a zombie."""
    with contextlib.suppress(FileNotFoundError):
        while status_of(process) not in "ZX":
            pass


def test_a_side_computes_only_while_it_is_asked(side: Side) -> None:
    assert side.report["settings"] == {"variable": "left"}
    assert state(side) == "T"
    answer = side.generate([1, 2, 3], 2)
    assert answer == {"tokens": [3, 3], "first": 1, "prefill": 0.5, "decode": 1.0}
    assert state(side) == "T"
    assert side.generate([1], 4, reuse=True)["decode"] == 2.0
    assert side.generate([1], 1, stop=[0, 2])["tokens"] == [1, 0, 2]
    side.forget()
    assert state(side) == "T"


def test_a_stopped_side_ends_with_its_block(side: Side) -> None:
    with side:
        assert state(side) == "T"
    assert side._process.returncode is not None


def test_what_a_worker_has_started_ends_with_it() -> None:
    with Side("parent", [sys.executable, "-c", PARENT]) as side:
        child = side.report["child"]
        os.kill(child, 0)
    gone(child)


def test_a_stopped_side_ends_with_who_started_it(command: list[str]) -> None:
    starter = [sys.executable, "-c", STARTER, *command]
    environment = {**os.environ, "PYTHONPATH": str(WORKERS)}
    with subprocess.Popen(starter, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        worker = json.loads(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    gone(worker)


@pytest.mark.parametrize("whose", ["", "[rank0]: "])
def test_the_error_is_told_and_not_what_was_said_after_it(whose: str) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(print, 'Warning: a group was not destroyed', file=sys.stderr)\n"
        f"sys.exit('{whose}a.b.OwnError: the cache is too small')"
    )
    with pytest.raises(OutriderError, match=r"one ended: a\.b\.OwnError: the cache is too small$"):
        Side("one", [sys.executable, "-c", code])


def test_a_worker_that_is_killed_is_told_as_such(side: Side) -> None:
    side._process.kill()
    with pytest.raises(OutriderError, match=r"The worker of one was killed.+fewer engines"):
        side.generate([1], 1)


def test_the_signal_that_ended_a_worker_is_told() -> None:
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    with pytest.raises(OutriderError, match="worker of broken ended by SIGILL: without a word"):
        Side("broken", [sys.executable, "-c", crash])


def test_a_worker_that_ends_says_why(side: Side) -> None:
    with pytest.raises(OutriderError, match=r"The worker of one ended: It cannot do that\."):
        side.generate([1], 1, options={"fail": 1})
    with pytest.raises(OutriderError, match="ended"):
        side.generate([1], 1)


def test_a_worker_that_never_begins_is_an_error() -> None:
    with pytest.raises(OutriderError, match="worker of broken ended: without a word"):
        Side("broken", [sys.executable, "-c", "pass"])


def test_a_worker_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "PATIENCE", 0.05)
    silent = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(OutriderError, match="worker of mute said nothing for 0 minutes"):
        Side("mute", silent)
