"""Runs that are killed at any moment, and gone on with, measure every cell once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from lab.toy_runs import made, planned, toy_setup

from outrider.lab import runs
from outrider.lab.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
KILLS = 10

CHILD = """
import os, random, signal, sys
from pathlib import Path

from lab.toy_model import toy_llm

from outrider.lab import runs
from outrider.lab.run_folder import Appender, RunFolder

path, seed = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)
after, moment = chance.randrange(1, 5), chance.choice(["before", "within", "behind"])
append, count = Appender.append, 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def killed(self, measurement):
    global count
    count += 1
    if count < after:
        return append(self, measurement)
    if moment == "before":
        die()
    if moment == "within":
        line = measurement.line().encode()
        self._file.write(line[:chance.randrange(1, len(line))])
        self._file.flush()
        die()
    append(self, measurement)
    die()

if seed >= 0:
    Appender.append = killed
with toy_llm() as llm:
    runs.go_on(llm, RunFolder(path), lambda progress: None)
"""


def go_on(path: Path, seed: int) -> int:
    """Go on with a run in a process of its own; seeds from 0 kill it. Its return code."""
    paths = os.pathsep.join([str(ROOT / "tests" / "unit"), str(ROOT / "tests")])
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(seed)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode in (0, -signal.SIGKILL), result.stderr
    return result.returncode


def test_a_run_that_is_killed_ten_times_is_whole(tmp_path: Path) -> None:
    from lab.toy_model import toy_llm

    with toy_llm() as llm:
        folder = runs.begin(tmp_path / "run", llm, ["k-sweep"], toy_setup(6), {})
    seeds = random.Random(7).sample(range(1000), KILLS)

    killed = sum(go_on(folder.path, seed) == -signal.SIGKILL for seed in seeds)
    assert killed == KILLS
    seen = made(RunFolder(folder.path))
    assert go_on(folder.path, -1) == 0

    assert made(folder) == planned(folder)
    assert made(folder)[: len(seen)] == seen
