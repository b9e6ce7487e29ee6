"""Text files that users give."""

from __future__ import annotations

from pathlib import Path

import pytest

from outrider.errors import UsageError
from outrider.files import read_text


def test_text_is_read_without_its_mark_of_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes("\ufeffgrün\n".encode())
    assert read_text(path, "The file") == "grün\n"


def test_what_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^The file x cannot be read: No such file"):
        read_text(tmp_path / "absent", "The file x")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_text(tmp_path, "The file x")
    path = tmp_path / "file.txt"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match=r"cannot be read: it is not UTF-8\.$"):
        read_text(path, "The file x")
