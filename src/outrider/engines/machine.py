"""What this machine offers: cores, memory, and how fast it streams."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from outrider.errors import UsageError


def physical_cores() -> int:
    """Physical cores this process may use: its affinity mask and its control group's quota."""
    allowed = os.sched_getaffinity(0)
    cores = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            package = (topology / "physical_package_id").read_text().strip()
            cores.add((package, (topology / "core_id").read_text().strip()))
        except OSError:
            cores.add(("cpu", str(cpu)))
    return max(1, min(len(cores), _quota()))


def _quota() -> int:
    """Whole cores that the control group grants; a fraction counts as one."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return 1 << 16
    return 1 << 16 if limit == "max" else max(1, int(limit) // int(period))


def choose_threads(threads: int | None) -> int:
    """The number of threads: the argument, else OUTRIDER_THREADS, else the physical cores.

    Raises:
        UsageError: the number is not a whole number from 1 to 256.
    """
    given: object = threads if threads is not None else os.environ.get("OUTRIDER_THREADS")
    if given is None:
        return physical_cores()
    try:
        count = int(str(given))
    except ValueError:
        count = 0
    if not 1 <= count <= 256:
        raise UsageError(f"The number of threads has to lie between 1 and 256, not {given!r}.")
    return count


def _said_of_processor(key: str) -> str:
    """What Linux says of the first processor under a key; nothing where it does not."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""


@cache
def processor() -> str:
    """The processor's name."""
    return _said_of_processor("model name") or platform.processor() or platform.machine()


@cache
def instruction_sets() -> frozenset[str]:
    """Linux's names of the processor's instruction sets, such as `avx2`."""
    return frozenset(_said_of_processor("flags").split())


def memory_bytes() -> int:
    """Bytes of memory that are free for a program to take."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return total_memory_bytes()


def total_memory_bytes() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
