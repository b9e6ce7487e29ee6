"""The file of answers while it grows: each answer once, whatever ends the process."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from outrider.errors import OutriderError, UsageError
from outrider.strategies.answering.record import Answered, RunFacts, read_answers, read_facts

IDENTITY = "identity"
"""The key of `RunFacts.more` that tells whether a run is the one to be continued."""


class Journal:
    """Answers, a line each, appended as they come.

    A line is written with one call, so that a process killed at any moment leaves whole lines and
    at most one cut short, which is taken away when the run goes on. The facts beside the file are
    put in place in one step, after each answer.

    Args:
        path: the file; what is in it is continued.
        facts: of the run; its time goes on from what the file has.
        identity: what has to be the same for a run to be continued.

    Raises:
        UsageError: the file belongs to another run, is being written by another process, or cannot
            be read or written.
    """

    def __init__(self, path: Path, facts: RunFacts, identity: dict[str, Any]) -> None:
        self._path, self._facts, self._identity = path, facts, identity
        self._seconds_before = 0.0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
        try:
            self._lock()
            self.answers = self._recover()
            self.write_facts(0.0)
        except OSError as error:
            self._file.close()
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
        except BaseException:
            self._file.close()
            raise

    @property
    def seconds_before(self) -> float:
        """What earlier parts of the run took."""
        return self._seconds_before

    def append(self, answer: Answered, seconds: float) -> None:
        """Write an answer.

        Args:
            answer: of a question that has none in the file.
            seconds: since this part of the run began.

        Raises:
            OutriderError: it cannot be written; what was written stays.
        """
        line = memoryview(answer.line().encode())
        try:
            while line:
                line = line[self._file.write(line) :]
            self.write_facts(seconds)
        except OSError as error:
            raise OutriderError(
                f"{self._path} cannot be written: {error.strerror}. What is in it is kept; make "
                "room, and give the same command again."
            ) from error
        self.answers.append(answer)

    def write_facts(self, seconds: float, **more: Any) -> RunFacts:
        """Put the facts beside the file; returns them."""
        facts = RunFacts(
            profile=self._facts.profile,
            model=self._facts.model,
            total_seconds=self._seconds_before + seconds,
            speculation=self._facts.speculation,
            machine=self._facts.machine,
            versions=self._facts.versions,
            more={**self._facts.more, **more, IDENTITY: self._identity},
        )
        facts.write(self._path)
        return facts

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lock(self) -> None:
        """Hold the file until it is closed, or the process ends in whatever way."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"Another process is writing {self._path}; wait for its end or choose another file."
            ) from error
        except OSError as error:
            raise UsageError(
                f"The file system of {self._path} knows no locks ({error.strerror}); choose a file "
                "on a local disk."
            ) from error

    def _recover(self) -> list[Answered]:
        """What an earlier part of the run has answered."""
        if not self._path.stat().st_size:
            return []
        facts = read_facts(self._path)
        known = None if facts is None else facts.more.get(IDENTITY)
        if facts is None or known is None:
            raise UsageError(
                f"{self._path} exists and is no run of answers that could be continued; choose "
                "another file or delete it."
            )
        # As JSON has it: what was written holds lists where tuples went in.
        for key, wanted in json.loads(json.dumps(self._identity)).items():
            if known.get(key) != wanted:
                raise UsageError(
                    f"{self._path} was begun with another {key} ({known.get(key)!r}, now "
                    f"{wanted!r}); continue it with the same, or choose another file."
                )
        self._seconds_before = facts.total_seconds
        content = self._path.read_bytes()
        os.truncate(self._path, content.rfind(b"\n") + 1)
        return read_answers(self._path)
