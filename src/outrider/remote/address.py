"""Where a server is, and which of its models is meant: `URL` or `URL#model`."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self
from urllib.parse import unquote, urlsplit, urlunsplit

from outrider.errors import UsageError

EXAMPLE = "http://127.0.0.1:8000/v1"


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address.

    Attributes:
        base: the URL that the protocol's paths are put behind, without a slash at its end.
        model: the name the server knows the model by; None takes its only one.
    """

    base: str
    model: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that a user has written; `/v1` may be left out.

        Raises:
            UsageError: it is no address of a server.
        """
        try:
            parts = urlsplit(text.strip())
            host = parts.hostname
            _ = parts.port  # raises where it is no number
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https") or parts.query:
            raise UsageError(
                f"{text!r} is not the address of a server; write it as {EXAMPLE}, with #NAME "
                "behind it where the server has several models."
            )
        path = parts.path.rstrip("/")
        for ending in ("/chat/completions", "/completions", "/models"):
            path = path.removesuffix(ending)
        base = urlunsplit((parts.scheme, parts.netloc, path or "/v1", "", ""))
        return cls(base, unquote(parts.fragment) or None)

    @property
    def is_local(self) -> bool:
        """Whether it is this machine: what no proxy is asked for."""
        host = urlsplit(self.base).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def root(self) -> str:
        """Where paths beside the protocol's begin."""
        return self.base.removesuffix("/v1")

    @property
    def shown(self) -> str:
        """The base for people and records, without a password that it may hold."""
        parts = urlsplit(self.base)
        netloc = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, netloc, parts.path, "", ""))

    def __str__(self) -> str:
        return self.shown if self.model is None else f"{self.shown}#{self.model}"
