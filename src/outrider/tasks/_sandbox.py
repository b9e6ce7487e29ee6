"""Runs one program under limits, as `python -I _sandbox.py SECONDS`, the program on its input.

The limits bind this process and all that it starts. They guard against programs that a model got
wrong, not against ones written to do harm: files can be read, and the network, where there is one,
can be reached.
"""

import os
import resource
import sys
import sysconfig

MEMORY_BYTES = 1 << 30
FILE_BYTES = 1 << 20
OPEN_FILES = 64
NOBODY = 65534


def _leave_root() -> None:
    """No limit on processes holds for root, so that it becomes nobody, if Python works then too."""
    library = sysconfig.get_path("stdlib")
    os.chown(".", NOBODY, NOBODY)
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    usable = os.access(library, os.R_OK | os.X_OK, effective_ids=True)
    os.seteuid(0)
    os.setegid(0)
    if usable:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def main() -> None:
    """Reads the program, takes on the limits, and runs it."""
    seconds, program = int(sys.argv[1]), sys.stdin.read()
    if os.getuid() == 0:
        _leave_root()
    for limit, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})


main()
