"""The machine and the versions that a measurement was made with."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import outrider
from outrider import _native
from outrider.engines.machine import choose_threads, memory_bytes, physical_cores, processor
from outrider.engines.native import BANDWIDTH_BYTES, BANDWIDTH_ROUNDS, choose_kernel

LIBRARIES = ("numpy", "tokenizers", "jinja2", "httpx", "filelock", "typer", "rich")


def machine() -> dict[str, Any]:
    """Processor, cores and free memory of this machine."""
    return {
        "processor": processor(),
        "physical_cores": physical_cores(),
        "logical_cores": len(os.sched_getaffinity(0)),
        "free_memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def engine(threads: int | None = None, kernel: str | None = None) -> dict[str, Any]:
    """What the native engine would compute with, and how fast that reads memory.

    Raises:
        UsageError: the number of threads or the kernel cannot be honoured.
    """
    threads = choose_threads(threads)
    bandwidth = _native.read_bandwidth(threads, BANDWIDTH_BYTES, BANDWIDTH_ROUNDS)
    return {
        "threads": threads,
        "kernels": list(_native.kernels()),
        "kernel": choose_kernel(kernel),
        "memory_bandwidth_gb_s": bandwidth / 1e9,
    }


def versions() -> dict[str, str]:
    """Outrider, Python and the libraries that take part."""
    return {
        "outrider": outrider.__version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }


def compiler() -> str | None:
    """The C++ compiler's own first line about itself; None where there is none."""
    path = shutil.which(os.environ.get("CXX") or "c++")
    if path is None:
        return None
    result = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return result.stdout.partition("\n")[0] or None


def free_disk_bytes(path: Path) -> int:
    """Bytes free where a directory is, or would be made."""
    existing = next(p for p in (path, *path.parents) if p.exists())
    return shutil.disk_usage(existing).free


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
