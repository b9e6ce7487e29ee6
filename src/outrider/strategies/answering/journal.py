"""The file of answers while it grows: each answer once, whatever ends the process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from outrider.errors import UsageError
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
        self._path = path
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"Another process is writing {path}; wait for its end or choose another file."
            ) from None
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
        try:
            self.answers = self._recover(identity)
            before = read_facts(path) if self.answers else None
            self._seconds_before = 0.0 if before is None else before.total_seconds
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            self._lock.release()
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
        except BaseException:
            self._lock.release()
            raise
        self._facts = facts
        self._identity = identity
        self.write_facts(0.0)

    @property
    def seconds_before(self) -> float:
        """What earlier parts of the run took."""
        return self._seconds_before

    def append(self, answer: Answered, seconds: float) -> None:
        """Write an answer.

        Args:
            answer: of a question that has none in the file.
            seconds: since this part of the run began.
        """
        line = memoryview(answer.line().encode())
        while line:
            line = line[self._file.write(line) :]
        self.answers.append(answer)
        self.write_facts(seconds)

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
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _recover(self, identity: dict[str, Any]) -> list[Answered]:
        """What an earlier part of the run has answered."""
        if not self._path.exists() or not self._path.stat().st_size:
            return []
        facts = read_facts(self._path)
        known = None if facts is None else facts.more.get(IDENTITY)
        if known is None:
            raise UsageError(
                f"{self._path} exists and is no run of answers that could be continued; choose "
                "another file or delete it."
            )
        # As JSON has it: what was written holds lists where tuples went in.
        wanted = json.loads(json.dumps(identity))
        for key in wanted:
            if known.get(key) != wanted[key]:
                raise UsageError(
                    f"{self._path} was begun with another {key} ({known.get(key)!r}, now "
                    f"{wanted[key]!r}); continue it with the same, or choose another file."
                )
        content = self._path.read_bytes()
        os.truncate(self._path, content.rfind(b"\n") + 1)
        return read_answers(self._path)
