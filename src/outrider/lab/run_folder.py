"""A run on disk: its configuration, its prompts, and every measurement as it is made.

    run.json            what was asked for and what it came to, the machine and the versions
    prompts.jsonl       the prompts, so that a retry asks the same ones
    measurements.jsonl  a line for each cell, appended when it has been measured
    report.md, report.html, plots/

A line is in the file before the next cell is begun, so a run that is killed loses at most the cell
it was measuring. What it has written of an unfinished line is dropped by who goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from filelock import FileLock, Timeout

from outrider.errors import UsageError
from outrider.lab.records import Measurement
from outrider.prompts import Prompt

RUN = "run.json"
PROMPTS = "prompts.jsonl"
MEASUREMENTS = "measurements.jsonl"
LOCK = ".lock"


class RunFolder:
    """A folder that holds a run.

    Args:
        path: the folder.

    Raises:
        UsageError: there is no run in it, or its description cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.description: dict[str, Any] = json.loads((path / RUN).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UsageError(
                f"There is no run in {path}; `outrider lab run EXPERIMENT -o {path}` makes one."
            ) from error
        except OSError as error:
            raise UsageError(f"The run in {path} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise UsageError(f"{path / RUN} is not JSON: {error}.") from error

    @classmethod
    def create(cls, path: Path, description: Mapping[str, Any], prompts: Sequence[Prompt]) -> Self:
        """Begin a run.

        Raises:
            UsageError: the folder holds one already, or cannot be written.
        """
        if (path / RUN).exists():
            raise UsageError(
                f"{path} holds a run already; `outrider lab retry {path}` goes on with it, or name "
                "another folder."
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            lines = (json.dumps(prompt_record(prompt), ensure_ascii=False) for prompt in prompts)
            (path / PROMPTS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            (path / MEASUREMENTS).touch()
            # The description comes last and whole: a folder that has it has everything.
            write_whole(path / RUN, json.dumps(description, indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"The run cannot be written to {path}: {error.strerror}.") from error
        return cls(path)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from measuring into it.

        Raises:
            UsageError: one does.
        """
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"Another process is measuring into {self.path}.") from None
        try:
            yield
        finally:
            lock.release()

    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts of the run.

        Raises:
            UsageError: they cannot be read.
        """
        try:
            text = (self.path / PROMPTS).read_text(encoding="utf-8")
            records = [json.loads(line) for line in text.splitlines()]
            return tuple(
                Prompt(r["index"], tuple(r["turns"]), r["category"], r["id"]) for r in records
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"The prompts of the run in {self.path} cannot be read: {error}."
            ) from error

    def measurements(self) -> list[Measurement]:
        """What has been measured, in the order in which it was.

        What follows the last end of a line is no measurement: its writer was interrupted.

        Raises:
            UsageError: the file cannot be read, or a line is damaged.
        """
        path = self.path / MEASUREMENTS
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
        found = []
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                found.append(Measurement.parse(line.decode()))
            except ValueError as error:
                raise UsageError(
                    f"Line {number} of {path} is damaged ({error}); delete it, and `outrider lab "
                    f"retry {self.path}` measures it again."
                ) from error
        return found

    @contextmanager
    def appending(self) -> Iterator[Appender]:
        """Where further measurements go; what an interrupted writer left behind is dropped.

        Raises:
            UsageError: the file cannot be written.
        """
        path = self.path / MEASUREMENTS
        try:
            with path.open("r+b") as file:
                content = file.read()
                file.truncate(content.rfind(b"\n") + 1)
                file.seek(0, os.SEEK_END)
                yield Appender(file)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


class Appender:
    """Writes measurements to a file, each before it returns."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, measurement: Measurement) -> None:
        """One more."""
        self._file.write(measurement.line().encode())
        # The system has it now, and keeps it whatever becomes of this process.
        self._file.flush()


def prompt_record(prompt: Prompt) -> dict[str, Any]:
    """A prompt, ready for JSON."""
    return {
        "index": prompt.index,
        "turns": list(prompt.turns),
        "category": prompt.category,
        "id": prompt.id,
    }


def write_whole(path: Path, text: str) -> None:
    """Write a file that is either there as it should be or not there.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
