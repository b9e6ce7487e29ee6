"""Where model files lie on disk, and what is known about each.

    <cache>/models/<directory>/<file>        a model: whole and verified, or not there
                               <file>.json   its record: name, source, hash, size, date
                               <file>….part  what has been fetched so far
    <cache>/locks/<name>.lock                held by the process that writes

A record is written before its model takes its place, so a model without a record is not ours,
and a record whose model is missing or of another size is no model.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from outrider.errors import DownloadError, UsageError
from outrider.models import catalogue
from outrider.models.catalogue import Entry

CACHE_VARIABLE = "OUTRIDER_CACHE"

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model file in the cache.

    Attributes:
        name: the catalogue name or hub reference it was fetched by.
        path: the file.
        size: in bytes.
        sha256: of the file.
        source: where it came from.
    """

    name: str
    path: Path
    size: int
    sha256: str
    source: str


def cache_directory() -> Path:
    """`$OUTRIDER_CACHE`, else `$XDG_CACHE_HOME/outrider`, else `~/.cache/outrider`."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own).expanduser().absolute()
    # The XDG specification has relative paths ignored.
    if (xdg := os.environ.get("XDG_CACHE_HOME")) and Path(xdg).is_absolute():
        return Path(xdg) / "outrider"
    return Path.home() / ".cache" / "outrider"


def models_directory() -> Path:
    """The part of the cache that holds models."""
    return cache_directory() / "models"


def location(entry: Entry) -> Path:
    """Where an entry's file lies once it has been fetched."""
    return models_directory() / entry.directory / entry.file


def find(entry: Entry) -> InstalledModel | None:
    """The entry's file if it is in the cache, whole, and still the one the catalogue means."""
    model = _read_record(_record(location(entry)))
    if model is None or entry.sha256 not in (None, model.sha256):
        return None
    return model


def installed() -> list[InstalledModel]:
    """Every model in the cache, sorted by name."""
    records = (_read_record(path) for path in models_directory().rglob("*.json"))
    return sorted((m for m in records if m is not None), key=lambda model: model.name)


def remove(name: str) -> None:
    """Delete a model and whatever an interrupted download of it has left.

    Raises:
        UsageError: nothing of that name is in the cache.
        DownloadError: it cannot be deleted.
    """
    target = next((m.path for m in installed() if m.name == name), None)
    if target is None:
        entry = catalogue.resolve(name)
        name, target = entry.name, location(entry)
    with writing(target), lock(name):
        doomed = [target, _record(target), *leftovers(target)]
        there = [path for path in doomed if path.exists()]
        for path in there:
            path.unlink()
        _prune(target.parent)
        if not there:
            raise UsageError(f"The model {name!r} is not in {models_directory()}.")


def leftovers(target: Path) -> list[Path]:
    """What downloads of `target` have left beside it."""
    return [
        path
        for path in (target.parent.iterdir() if target.parent.is_dir() else ())
        if path.name.startswith(f"{target.name}.") and path.name.endswith((".part", ".part.json"))
    ]


def publish(part: Path, target: Path, *, name: str, source: str, sha256: str) -> None:
    """Make a verified file the model, in one step that survives a loss of power."""
    _sync(part)
    record = {
        "name": name,
        "source": source,
        "sha256": sha256,
        "size": part.stat().st_size,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    draft = part.with_name(f"{target.name}.json.part")
    draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    _sync(draft)
    draft.replace(_record(target))
    part.replace(target)
    _sync(target.parent)
    for path in leftovers(target):
        path.unlink()


@contextmanager
def lock(name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the right to write a model; `waiting` is called if another process holds it.

    Raises:
        DownloadError: the file system knows no locks.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not needed to find a model

    directory = cache_directory() / "locks"
    directory.mkdir(parents=True, exist_ok=True)
    # A name may hold slashes and be longer than a file's may be.
    file_lock = FileLock(directory / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.lock")
    try:
        file_lock.acquire(timeout=0)
    except Timeout:
        if waiting is not None:
            waiting()
        file_lock.acquire()
    except NotImplementedError as error:
        raise DownloadError(
            f"The file system of {directory} knows no file locks; set {CACHE_VARIABLE} to a "
            "directory on a local disk."
        ) from error
    try:
        yield
    finally:
        file_lock.release()


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the directory and the remedy.

    Raises:
        DownloadError: the directory cannot be written, or the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DownloadError(
                f"The disk that holds {target.parent} is full; free some space and try again (what "
                f"has been fetched is kept), or set {CACHE_VARIABLE} to a directory with room."
            ) from error
        raise DownloadError(
            f"The model directory {target.parent} cannot be used ({error}); make it writable or "
            f"set {CACHE_VARIABLE} to another directory."
        ) from error


def check_room(directory: Path, needed: int) -> None:
    """Refuse to begin what cannot end.

    Args:
        directory: where the bytes will be written; it exists.
        needed: bytes still to be written.

    Raises:
        DownloadError: fewer bytes are free.
    """
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise DownloadError(
            f"The disk that holds {directory} has {megabytes(free)} free and the download needs "
            f"{megabytes(needed)}; free some space or set {CACHE_VARIABLE} to a directory with "
            "room."
        )


def write_all(file: FileIO, data: bytes) -> None:
    """Write to an unbuffered file: a killed process loses nothing that was written."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def blocks(path: Path) -> Iterator[bytes]:
    """A file's content in blocks of at most 1 MiB."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def megabytes(size: int) -> str:
    """A size for people: 98362432 is 98.4 MB."""
    return f"{size / 1e6:.1f} MB"


def _record(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _read_record(path: Path) -> InstalledModel | None:
    target = path.with_suffix("")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        model = InstalledModel(
            name=values["name"],
            path=target,
            size=values["size"],
            sha256=values["sha256"],
            source=values["source"],
        )
        whole = target.is_file() and target.stat().st_size == model.size
    except (OSError, ValueError, KeyError, TypeError):
        return None  # fetched again when it is asked for
    return model if whole else None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prune(directory: Path) -> None:
    """Delete a directory and the ones above it, as long as they are empty."""
    while directory != models_directory() and not any(directory.iterdir()):
        directory.rmdir()
        directory = directory.parent
