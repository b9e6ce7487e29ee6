"""Processes that compute in turn: each is stopped while another works.

A side is a worker that reads one request a line and writes one answer a line; see
`workers/protocol.py` for what stands in them.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from outrider.errors import OutriderError

PATIENCE: Final = 1800.0
"""Seconds without a word after which a worker is given up; some compile when they are loaded."""

LAST_WORDS: Final = 10.0
"""Seconds that a worker may take to end once it has closed its output."""

ERROR: Final = re.compile(r"(?:\[\w+\]: )?((?:\w+\.)*\w*(?:Error|Exception): \S.*)")
"""A line of a traceback that names an error and says what it is, perhaps behind whose it is."""


class Side:
    """A worker process that computes only while it is asked.

    Args:
        name: what it is called in tables and records.
        command: the worker and its arguments.
        variables: further environment variables.

    Raises:
        OutriderError: the worker ended; its last words are told.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, variables: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **(variables or {})},
            # What the worker starts stops and ends with it.
            start_new_session=True,
        )
        try:
            self.report: dict[str, Any] = self._read()
        except BaseException:
            self.close()
            raise
        self._signal(signal.SIGSTOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        # SIGKILL also ends a process that is stopped.
        self._signal(signal.SIGKILL)
        self._process.communicate()
        self._errors.close()

    def generate(
        self,
        tokens: Sequence[int],
        max_tokens: int,
        *,
        reuse: bool = False,
        stop: Sequence[int] = (),
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Wake the process, have it answer, and stop it again.

        Args:
            tokens: of the prompt.
            max_tokens: of the answer.
            reuse: what is computed of the prompt may be kept for the next time it is asked.
            stop: tokens that end the answer.
            options: of a worker that can answer in several ways.

        Returns:
            See `workers/protocol.py`.

        Raises:
            OutriderError: the worker ended; its last words are told.
        """
        return self._ask(
            {
                "tokens": list(tokens),
                "max_tokens": max_tokens,
                "reuse": reuse,
                "stop": list(stop),
                "options": dict(options or {}),
            }
        )

    def forget(self) -> None:
        """Have it forget what it learnt from earlier prompts."""
        self._ask({"forget": True})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._signal(signal.SIGCONT)
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        answer = self._read()
        self._signal(signal.SIGSTOP)
        return answer

    def _signal(self, number: signal.Signals) -> None:
        """To the worker and all that it has started."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, number)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # Nothing is buffered: a worker says one line at a time.
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise OutriderError(
                f"The worker of {self.name} said nothing for {PATIENCE / 60:.0f} minutes."
            )
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> OutriderError:
        """Why it ended: a signal, else the last error that it wrote, else its last words."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_WORDS)
        if self._process.returncode == -signal.SIGKILL:
            return OutriderError(
                f"The worker of {self.name} was killed, as a system does that runs out of memory; "
                "measure fewer engines in one run."
            )
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        # Behind the error that ended it, libraries may complain of how they were left.
        errors = [found[1] for line in lines if (found := ERROR.match(line))] or lines
        code = self._process.returncode
        by = f" by {signal.Signals(-code).name}" if code is not None and code < 0 else ""
        return OutriderError(
            f"The worker of {self.name} ended{by}: {errors[-1] if errors else 'without a word'}"
        )
