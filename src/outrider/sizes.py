"""Sizes as people write them."""

from __future__ import annotations

import re

from outrider.errors import UsageError

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}


def parse_size(text: str) -> int:
    """Bytes of a size such as 512MB (millions), 2GiB (powers of two) or 1000000.

    Raises:
        UsageError: it is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([A-Za-z]*)", text.strip())
    if match is None or match[2].upper() not in _UNITS:
        raise UsageError(f"{text!r} is not a size; write it as 512MB, 2GiB or a number of bytes.")
    return int(float(match[1]) * _UNITS[match[2].upper()])
