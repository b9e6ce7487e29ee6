"""A file of 2 GB: what loading it takes of the machine's memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from large_file import LARGE, write_repeated
from outrider.engines.machine import total_memory_bytes

GB = 10**9
CACHE = 64 << 20
OTHER = 64 << 20
"""The interpreter, its libraries and the engine's work space, in bytes."""

LOAD = """
import json, sys
from pathlib import Path

import numpy as np

from outrider.engines.base import HISTORY, Rows
from outrider.engines.native import NativeEngine

engine = NativeEngine(Path(sys.argv[1]), cache_bytes=int(sys.argv[2]))
numbers = [np.array([n], np.int32) for n in (engine.open([], 8).id, 1234, HISTORY)]
logits = engine.forward(Rows(*numbers, np.array([True]), np.array([True]))).numpy([0])
assert np.isfinite(logits).all()
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].removesuffix("kB")) * 1024
print(json.dumps({"peak": peak, "weights": engine.weight_bytes}))
"""


@pytest.fixture
def large_file(tmp_path: Path) -> Iterator[Path]:
    if shutil.disk_usage(tmp_path).free < 5 * GB:
        pytest.skip("needs 5 GB of free disk")
    if total_memory_bytes() < 8 * GB:
        pytest.skip("needs a machine with 8 GB of memory")
    path = tmp_path / "large.gguf"
    try:
        write_repeated(path, LARGE)
        yield path
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.slow
def test_memory_stays_near_the_size_of_the_file(large_file: Path) -> None:
    """At most 1.3 times the file, the cache budget and a fixed sum, at the worst moment.

    Counted is everything resident at its peak (VmHWM): the repacked weights, the file's pages that
    are mapped, the cache, the interpreter. The page cache, which the system keeps for as long as
    nobody needs the room, is not the process's.
    """
    arguments = [sys.executable, "-c", LOAD, str(large_file), str(CACHE)]
    child = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    found = json.loads(child.stdout)

    size = large_file.stat().st_size
    assert size > 1.9 * GB
    # The weights take what they take in the file, less the vocabulary's texts, and are in memory.
    assert 0.98 * size < found["weights"] < found["peak"]
    assert found["peak"] < 1.3 * size + CACHE + OTHER
