"""A file of 2 GB: what loading it takes of memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from large_file import LARGE, write_repeated
from outrider.engines.machine import memory_bytes

pytestmark = pytest.mark.slow

GB = 10**9
CACHE_BYTES = 64 << 20
LOAD = """
import sys
from pathlib import Path
from outrider.engines.native import NativeEngine

def bytes_of(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024

before = bytes_of("VmRSS:")
seen = []
engine = NativeEngine(
    sys.argv[1], threads=2, context=256, cache_bytes=int(sys.argv[2]), progress=seen.append
)
print(bytes_of("VmHWM:") - before, len(seen), engine.weight_bytes)
"""


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.gguf"
    if shutil.disk_usage(path.parent).free < 5 * GB:
        pytest.skip("needs 5 GB of free disk")
    if memory_bytes() < 8 * GB:
        pytest.skip("needs 8 GB of free memory")
    write_repeated(path, LARGE)
    return path


def test_resident_memory_stays_below_1_3_times_the_file(large_file: Path) -> None:
    """All that is resident counts: weights, cache, and pages of the file not yet let go."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(large_file), str(CACHE_BYTES)],
            capture_output=True,
            text=True,
            check=True,
        )
        size = large_file.stat().st_size
    finally:
        large_file.unlink()
    resident, reports, weights = map(int, done.stdout.split())
    assert size > 1.9 * GB
    assert weights < 1.02 * size
    assert weights < resident <= 1.3 * size + CACHE_BYTES
    assert reports > 5
