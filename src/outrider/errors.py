"""What can go wrong, as one family.

A message is one sentence that names the thing and the remedy; it is what a user sees. The exit
status is what a script sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class OutriderError(Exception):
    """The base of every error that a user can cause or mend."""

    exit_status = 1


class UsageError(OutriderError, ValueError):
    """An argument, option or value that cannot be honoured."""

    exit_status = 2


class ModelFileError(OutriderError):
    """A model file that is truncated, inconsistent or not supported; names the tensor or key."""

    exit_status = 3


class DownloadError(OutriderError):
    """A model that could not be fetched, verified or stored."""

    exit_status = 4


class CapacityError(OutriderError):
    """The key-value cache cannot hold what was asked for.

    `never` tells a request that can never fit from one that has to wait for others to end.
    """

    exit_status = 5

    def __init__(self, message: str, *, never: bool = False) -> None:
        super().__init__(message)
        self.never = never


class SamplingError(OutriderError):
    """No token could be chosen: none is left after masking, or the logits are not numbers."""

    exit_status = 6


class EndpointError(OutriderError):
    """A server that cannot be reached, refuses, fails, or does not speak the OpenAI protocol."""

    exit_status = 7


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}."
    return UsageError(f"Unknown {kind} {name!r}; {hint}")
