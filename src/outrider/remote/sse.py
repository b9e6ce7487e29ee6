"""Server-sent events: bytes as they come off the wire to the data of events.

See https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6. Only the data is
of interest here. Lines end at line feeds and carriage returns alone: text may hold Unicode's other
line separators, so `str.splitlines` would break it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_LINE_END = re.compile(rb"\r\n|\n|\r")


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines without their ends; an unfinished last one is dropped, as the standard says."""
    held = b""
    for chunk in chunks:
        held += chunk
        # A carriage return at the end may be half of a line end.
        *whole, held = _LINE_END.split(held) if not held.endswith(b"\r") else [held]
        yield from whole
    if held.endswith(b"\r"):
        yield from _LINE_END.split(held)[:-1]


def events(chunks: Iterable[bytes]) -> Iterator[str]:
    """The data of each event.

    Characters may be split over chunks. Bytes that are no UTF-8 become U+FFFD.
    """
    data: list[str] = []
    for line in lines(chunks):
        if not line:
            if data:
                yield "\n".join(data)
                data = []
            continue
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" ").decode("utf-8", errors="replace"))
