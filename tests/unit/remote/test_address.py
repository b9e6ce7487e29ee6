from __future__ import annotations

import pytest

from outrider.errors import UsageError
from outrider.remote import Address


@pytest.mark.parametrize(
    ("written", "base", "model"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1", None),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1", None),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1", None),
        ("https://host/api/v1#Qwen/Qwen3-32B", "https://host/api/v1", "Qwen/Qwen3-32B"),
        ("http://h/v1/chat/completions", "http://h/v1", None),
        ("http://h/v1/models#a%20b", "http://h/v1", "a b"),
        (" http://[::1]:1/v1 ", "http://[::1]:1/v1", None),
    ],
)
def test_what_users_write(written: str, base: str, model: str | None) -> None:
    assert Address.parse(written) == Address(base, model)


@pytest.mark.parametrize(
    "written", ["", "localhost:8000", "ftp://h/v1", "http://", "http://h:x/v1", "http://h/v1?a=b"]
)
def test_what_is_no_address_is_named_with_an_example(written: str) -> None:
    with pytest.raises(UsageError, match=r"is not the address of a server.*http://127\.0\.0\.1"):
        Address.parse(written)


@pytest.mark.parametrize(
    ("written", "local"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.1.2.3", True),
        ("http://[::1]", True),
        ("http://localhost:8", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
    ],
)
def test_no_proxy_is_asked_for_this_machine(written: str, local: bool) -> None:
    assert Address.parse(written).is_local is local


def test_a_password_is_not_shown() -> None:
    address = Address.parse("https://user:secret@host:8443/v1#m")

    assert str(address) == "https://host:8443/v1#m"
    assert address.base == "https://user:secret@host:8443/v1"
