"""Runs that are killed at any moment, and gone on with, measure every cell once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from lab.toy_runs import made, planned, toy_run, toy_setup

from outrider.lab import runs
from outrider.lab.run_folder import MEASUREMENTS, RunFolder
from outrider.lab.runs import load_experiments

ROOT = Path(__file__).parents[2]
KILLS = 10
PROMPTS = 24
EXPERIMENTS = ("baseline", "k-sweep")

GO_ON = """
import sys, time
from pathlib import Path

from lab.toy_model import toy_llm

from outrider.lab import runs
from outrider.lab.run_folder import RunFolder

with toy_llm() as llm:
    # A moment between cells, in which whoever is about to kill it can.
    runs.go_on(llm, RunFolder(Path(sys.argv[1])), lambda progress: time.sleep(0.002))
"""

DYING = """
import os, random, signal, sys
from outrider.lab.run_folder import Appender

chance = random.Random(int(sys.argv[2]))
after, append, count = chance.randrange(1, 5), Appender.append, 0

def die_within_a_line(self, measurement):
    global count
    count += 1
    if count < after:
        return append(self, measurement)
    line = measurement.line().encode()
    self._file.write(line[: chance.randrange(1, len(line))])
    self._file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

Appender.append = die_within_a_line
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that goes on with a run."""
    paths = os.pathsep.join([str(ROOT / "tests" / "unit"), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], codes: Sequence[int]) -> int:
    """Wait for its end, which has to be one of these."""
    _, said = process.communicate()
    assert process.returncode in codes, said
    return process.returncode


def content(folder: RunFolder) -> list[tuple[str, list[tuple[int, ...]]]]:
    """What was measured, without times."""
    return [(m.key, [s.tokens for s in m.samples]) for m in folder.measurements()]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that is begun."""
    from lab.toy_model import toy_llm

    with toy_llm() as llm:
        return runs.begin(tmp_path / "run", llm, EXPERIMENTS, toy_setup(PROMPTS), {})


@pytest.fixture
def whole(tmp_path: Path) -> RunFolder:
    """The same run, never interrupted."""
    return toy_run(tmp_path / "whole", *EXPERIMENTS, prompts=PROMPTS)


def test_killed_from_outside_at_ten_random_moments(folder: RunFolder, whole: RunFolder) -> None:
    path, chance = folder.path / MEASUREMENTS, random.Random(7)
    size = (whole.path / MEASUREMENTS).stat().st_size

    killed = 0
    for kill in range(KILLS):
        before = path.read_bytes()
        # Within the warming up, a cell, a line, or between them; all in the first half, since the
        # process gets further until it is dead.
        moment = len(before) + chance.randrange(size // (2 * KILLS))
        process = start(GO_ON, str(folder.path))
        while process.poll() is None and path.stat().st_size < moment:
            pass
        process.send_signal(signal.SIGKILL)
        killed += finish(process, (0, -signal.SIGKILL)) == -signal.SIGKILL
        after = path.read_bytes()
        assert after.startswith(before[: before.rfind(b"\n") + 1])
        if kill % 2:
            # The machine went down too, and with it the end of what was written.
            lost = chance.randrange(len(after) - after[:-1].rfind(b"\n"))
            path.write_bytes(after[: len(after) - lost])

    assert killed == KILLS
    assert 0 < len(made(folder)) < len(planned(folder))
    assert finish(start(GO_ON, str(folder.path)), (0,)) == 0
    assert made(folder) == planned(folder)
    assert content(folder) == content(whole)


def test_killed_within_a_line(folder: RunFolder, whole: RunFolder) -> None:
    for seed in (1, 2, 3):
        finish(start(DYING + GO_ON, str(folder.path), str(seed)), (-signal.SIGKILL,))
        assert not (folder.path / MEASUREMENTS).read_bytes().endswith(b"\n")

    finish(start(GO_ON, str(folder.path)), (0,))
    assert content(folder) == content(whole)


@pytest.mark.parametrize("written", ["prompts.jsonl", "measurements.jsonl", "run.json.part"])
def test_killed_before_it_was_begun_it_can_be_begun_again(folder: RunFolder, written: str) -> None:
    # What of a folder is written up to a file of `RunFolder.create`, in its order.
    order = ["prompts.jsonl", "measurements.jsonl", "run.json.part"]
    (folder.path / "run.json").rename(folder.path / "run.json.part")
    for name in order[order.index(written) + 1 :]:
        (folder.path / name).unlink()

    from lab.toy_model import toy_llm

    with toy_llm() as llm:
        again = runs.begin(folder.path, llm, EXPERIMENTS, toy_setup(PROMPTS), {})
        runs.go_on(llm, again, lambda progress: None)

    assert made(again) == planned(again)
    assert [e.name for e in load_experiments(again.description["experiments"])] == [*EXPERIMENTS]
