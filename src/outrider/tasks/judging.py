"""The process that compares mathematical answers, from the side that asks."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from selectors import EVENT_READ, DefaultSelector
from threading import Lock
from typing import Final
from weakref import finalize

from outrider.errors import UsageError

SECONDS: Final = 10.0
"""What a comparison may take."""

START_SECONDS: Final = 60.0
"""What loading the libraries may take."""


class Judge:
    """The process that compares, started when first needed and again after it was ended."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        self._end: finalize[..., Judge] | None = None

    def equal(self, gold: str, answer: str) -> bool:
        """What math-verify says of two pieces of LaTeX; False where it comes to no end.

        Raises:
            UsageError: it is not installed, or does not start.
        """
        pair = json.dumps({"gold": f"${gold}$", "answer": f"${answer}$"}) + "\n"
        with self._lock:
            process = self._start()
            try:
                line = _ask(process, pair, SECONDS)
            except BaseException:  # an interrupted question would get the next one's answer
                self._stop()
                raise
            if line is None:
                self._stop()
                return False
            return bool(json.loads(line)["equal"])

    def _start(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self._stop()  # somebody else ended it
        if self._process is None:
            if find_spec("math_verify") is None:
                raise UsageError(
                    "Grading mathematics needs the library math-verify; install it with "
                    "pip install 'outrider[grade]'."
                )
            self._process = subprocess.Popen(
                [sys.executable, "-m", "outrider.tasks._judge"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for the one who asks
            )
            self._end = finalize(self, _end, self._process)
            if _ask(self._process, "", START_SECONDS) is None:
                self._stop()
                raise UsageError(
                    "math-verify, which grades mathematics, does not start; python -m "
                    "outrider.tasks._judge says why."
                )
        return self._process

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._process = self._end = None


def _ask(process: subprocess.Popen[str], question: str, seconds: float) -> str | None:
    """Writes a question and reads the line that answers it; None where none came in time."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(question)
    process.stdin.flush()
    with DefaultSelector() as selector:
        selector.register(process.stdout, EVENT_READ)
        ready = selector.select(seconds)
    return (process.stdout.readline() or None) if ready else None


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()


judge = Judge()
"""The one that all share."""
