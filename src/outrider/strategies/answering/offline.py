"""No network: what a process is not allowed to ask for cannot have helped it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from outrider.errors import OutriderError

EVENTS: Final = frozenset(
    {
        "socket.connect",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
    }
)
"""The audit events of CPython that stand before everything which leaves the machine."""


class NetworkError(OutriderError):
    """The network was asked for where it is switched off."""


_attempts: list[str] = []
_switched_off = False
_installed = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _switched_off or event not in EVENTS:
        return
    first = arguments[0] if arguments else None
    if isinstance(first, socket.socket) and first.family == socket.AF_UNIX:
        return
    _attempts.append(f"{event} {arguments[1] if isinstance(first, socket.socket) else first}")
    raise NetworkError(f"The network is switched off here, and {_attempts[-1]} was asked for.")


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Refuse every connection and every look-up of this process, in all of its threads.

    An audit hook stands before the interpreter's own calls, so no library in Python gets past it;
    hooks cannot be taken away, only told to look elsewhere. Sockets within the machine's file
    system stay allowed.

    Yields:
        What was asked for so far, a line each.
    """
    global _switched_off, _installed  # noqa: PLW0603 - audit hooks are the process's, too
    if not _installed:
        sys.addaudithook(_watch)
        _installed = True
    _attempts.clear()
    _switched_off = True
    try:
        yield _attempts
    finally:
        _switched_off = False
