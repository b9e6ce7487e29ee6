"""Files over HTTP: resumed after an interruption, tried again after a failure, held to a hash."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from outrider import __version__
from outrider.errors import DownloadError
from outrider.models import pip_settings, store

if TYPE_CHECKING:
    import ssl

    import httpx

T = TypeVar("T")

ATTEMPTS = 4
"""How often a request is made in a row without any byte of progress."""

FIRST_PAUSE_S = 0.5
"""Wait before the second attempt; it doubles with each further one."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class SourceError(Exception):
    """A source could not serve a file; the message is a clause that says why."""


class RefusedError(SourceError):
    """The server knows the file but does not give it to us (401 or 403)."""


class _RetryError(Exception):
    """An attempt failed in a way that another one may not."""


class _RestartError(Exception):
    """What lies on disk is no beginning of the file; it has been deleted."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file to fetch.

    Attributes:
        url: where it is.
        sha256: what it has to be; None takes the server's word, if it gives one.
        size: in bytes, if it is known beforehand.
        headers: sent with the request.
    """

    url: str
    sha256: str | None = None
    size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def client() -> httpx.Client:
    """A client that follows redirects, proxies of the environment, and pip's certificates.

    Raises:
        DownloadError: the proxy or the certificates cannot be used.
    """
    import httpx  # noqa: PLC0415 - heavy, and not needed for a model that is already here

    try:
        return httpx.Client(
            follow_redirects=True,
            # Ranges and lengths count the bytes of the file, not those of a compressed answer.
            headers={"User-Agent": f"outrider/{__version__}", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(60.0, connect=15.0),
            verify=_trust(pip_settings.certificates()),
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise DownloadError(f"The environment's proxy cannot be used ({error}).") from error


def _trust(named: str | None) -> ssl.SSLContext:
    """The named certificates only; without a name, the system's and those httpx comes with."""
    import ssl  # noqa: PLC0415

    if named is not None:
        is_directory = Path(named).is_dir()
        try:
            return ssl.create_default_context(
                cafile=None if is_directory else named, capath=named if is_directory else None
            )
        except OSError as error:
            raise DownloadError(
                f"The certificates {named} cannot be read ({error}); mend the environment variable "
                "or pip setting that names them."
            ) from error
    import certifi  # noqa: PLC0415 - comes with httpx

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def get(client: httpx.Client, url: str, headers: Mapping[str, str]) -> httpx.Response:
    """A small document, whole.

    Raises:
        SourceError: it could not be had.
    """

    def attempt() -> httpx.Response:
        response = client.get(url, headers=dict(headers))
        _check_status(response)
        return response

    return _persist(url, attempt, reached=lambda: 0)


def fetch(
    client: httpx.Client,
    remote: Remote,
    part: Path,
    report: Callable[[int, int | None], None],
) -> str:
    """Bring a file to `part`, going on from what is there already.

    Args:
        client: from `client()`.
        remote: what to fetch.
        part: where to write; what it has been fetched from is kept in a file beside it.
        report: called with the bytes that are there and the bytes there will be.

    Returns:
        The sha256 of the file, which is the expected one where one is known.

    Raises:
        SourceError: the source failed, or served another file; then `part` is deleted.
        DownloadError: the disk has no room.
    """

    def attempt() -> str:
        while True:
            with suppress(_RestartError):
                return _fetch_once(client, remote, part, report)

    return _persist(remote.url, attempt, reached=lambda: _size(part))


def discard(part: Path) -> None:
    """Forget what has been fetched."""
    part.unlink(missing_ok=True)
    _trail(part).unlink(missing_ok=True)


def digest(path: Path) -> str:
    """The sha256 of a file."""
    return _hash(path).hexdigest()


def shown(url: str) -> str:
    """A URL without what may be secret in it: user, password and query."""
    return re.sub(r"//[^/]*@", "//", url).partition("?")[0]


def _persist(url: str, attempt: Callable[[], T], reached: Callable[[], int]) -> T:
    """Try until it works, or until ATTEMPTS in a row have brought nothing new."""
    import httpx  # noqa: PLC0415

    furthest, failures = reached(), 0
    while True:
        try:
            return attempt()
        except httpx.InvalidURL as error:
            raise SourceError(f"the address {shown(url)} cannot be used ({error})") from error
        except (httpx.RequestError, _RetryError) as error:
            # Only bytes beyond the furthest point count, or a server that always breaks off
            # and knows no ranges would be asked for ever.
            failures = 1 if reached() > furthest else failures + 1
            furthest = max(furthest, reached())
            if failures >= ATTEMPTS:
                reason = str(error) or type(error).__name__
                raise SourceError(f"{shown(url)}: {reason}") from error
        time.sleep(FIRST_PAUSE_S * 2 ** (failures - 1))


def _fetch_once(
    client: httpx.Client,
    remote: Remote,
    part: Path,
    report: Callable[[int, int | None], None],
) -> str:
    trail = _read_trail(part)
    offset = _size(part) if _may_go_on(remote, trail) else 0
    if offset and offset == remote.size:
        found = digest(part)  # killed after the last byte and before the file was taken
        if found != remote.sha256:
            _restart(part)
        report(offset, offset)
        return found

    headers = dict(remote.headers)
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if trail.get("url") == shown(remote.url) and trail.get("etag"):
            headers["If-Range"] = trail["etag"]
    with client.stream("GET", remote.url, headers=headers) as response:
        if offset and response.status_code == 416:
            _restart(part)
        _check_status(response)
        linked = _linked(response)
        expected = remote.sha256 or linked.sha256
        if response.status_code == 206:
            begin, total = _content_range(response)
            if not offset:
                raise SourceError(f"{shown(remote.url)} sent a part where the whole was asked for")
            if begin != offset or _has_changed(remote, response, trail, expected):
                _restart(part)
        else:
            offset, total = 0, _content_length(response)
        total = remote.size or linked.size or total
        if total is not None:
            store.check_room(part.parent, total - offset)

        state = _hash(part) if offset else hashlib.sha256()
        done = offset
        with part.open("ab" if offset else "wb", buffering=0) as file:
            if not offset:  # after the file is empty: its old bytes must not get a new trail
                _write_trail(part, remote, response, expected)
            report(done, total)
            # As they come: what is gathered to even pieces is lost when the connection breaks.
            for chunk in response.iter_raw():
                store.write_all(file, chunk)
                state.update(chunk)
                done += len(chunk)
                report(done, total)

    found = state.hexdigest()
    if total is not None and done < total:
        raise _RetryError(f"the answer broke off after {done} of {total} bytes")
    if expected not in (None, found) or total not in (None, done):
        if offset:
            _restart(part)  # two versions of the file may have been joined: once more, whole
        discard(part)
        raise SourceError(
            f"the file has sha256 {found} and {done} bytes, "
            f"expected are {expected or 'any'} and {total or 'any'}"
        )
    return found


def _restart(part: Path) -> None:
    discard(part)
    raise _RestartError


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if response.is_success:
        return
    answer = f"answered {status} {response.reason_phrase}"
    if status in (408, 425, 429) or status >= 500:
        raise _RetryError(answer)
    clause = f"{shown(str(response.request.url))} {answer}"
    raise RefusedError(clause) if status in (401, 403) else SourceError(clause)


@dataclass(frozen=True, slots=True)
class _Linked:
    sha256: str | None
    size: int | None


def _linked(response: httpx.Response) -> _Linked:
    """What the hub says of the file that its answer redirects to."""
    for answer in (*response.history, response):
        etag = answer.headers.get("X-Linked-Etag", "").removeprefix("W/").strip('"').lower()
        size = answer.headers.get("X-Linked-Size", "")
        # Files outside large-file storage have a git hash here, which is not a sha256.
        sha256 = etag if _SHA256.fullmatch(etag) else None
        if sha256 or size.isdecimal():
            return _Linked(sha256, int(size) if size.isdecimal() else None)
    return _Linked(None, None)


def _content_range(response: httpx.Response) -> tuple[int, int | None]:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        return -1, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _content_length(response: httpx.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


# The trail of a part file: what it was fetched from, so that it is only added to from the same.


def _trail(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_trail(part: Path) -> dict[str, Any]:
    try:
        values = json.loads(_trail(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _write_trail(
    part: Path, remote: Remote, response: httpx.Response, expected: str | None
) -> None:
    etag = response.headers.get("ETag", "")
    values = {
        "url": shown(remote.url),
        "etag": None if etag.startswith("W/") else etag or None,
        "sha256": expected,
    }
    _trail(part).write_text(json.dumps(values) + "\n", encoding="utf-8")


def _may_go_on(remote: Remote, trail: Mapping[str, Any]) -> bool:
    if remote.sha256 is not None:
        return trail.get("sha256") == remote.sha256  # from wherever: the hash decides
    return trail.get("url") == shown(remote.url) and bool(trail.get("etag") or trail.get("sha256"))


def _has_changed(
    remote: Remote, response: httpx.Response, trail: Mapping[str, Any], expected: str | None
) -> bool:
    etag = response.headers.get("ETag")
    same_place = trail.get("url") == shown(remote.url)
    return trail.get("sha256") != expected or (
        same_place and None not in (etag, trail.get("etag")) and etag != trail["etag"]
    )


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _hash(path: Path) -> hashlib._Hash:
    state = hashlib.sha256()
    for block in store.blocks(path):
        state.update(block)
    return state
