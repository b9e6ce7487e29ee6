"""Text files that users give."""

from __future__ import annotations

from pathlib import Path

from outrider.errors import UsageError


def read_text(path: Path, name: str) -> str:
    """The text of a UTF-8 file, without a mark of byte order at its beginning.

    Args:
        path: the file.
        name: what the error calls it, such as "The plan plan.json".

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{name} cannot be read: {reason}.") from error
