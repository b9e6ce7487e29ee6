"""What goes wrong between here and a server, as sentences."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

import httpx

from outrider.errors import EndpointError, OutriderError, UsageError
from outrider.remote.answer import message

KEY_VARIABLES: Final = ("OUTRIDER_API_KEY", "OPENAI_API_KEY")

BUSY: Final = 429
_TOO_LONG: Final = re.compile(
    r"exceed_context|context_length_exceeded|context (?:length|size|window)", re.IGNORECASE
)


class Again(Exception):  # noqa: N818 - no error of its own: what is tried once more
    """What may work when it is tried again."""

    def __init__(self, error: OutriderError, after: float | None = None) -> None:
        self.error = error
        self.after = after


@dataclass(frozen=True, slots=True)
class Failures:
    """Turns what goes wrong on the way into sentences; what may work again is `Again`."""

    base: str
    connect: float
    silence: float

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, failure: BaseException | None, _: object) -> None:
        if not isinstance(failure, httpx.TransportError):
            return
        base = self.base
        if isinstance(failure, httpx.ReadTimeout):
            raise EndpointError(
                f"{base} has said nothing for {self.silence:g} seconds; raise the time-out, "
                "or look at its log."
            ) from failure
        if isinstance(failure, httpx.ConnectTimeout):
            text = f"{base} cannot be reached within {self.connect:g} seconds."
        elif isinstance(failure, httpx.ConnectError):
            text = f"Nobody answers at {base} ({failure}); start the server or correct the address."
        else:
            text = f"The connection to {base} broke: {failure or type(failure).__name__}."
        raise Again(EndpointError(text)) from failure


def refusal(
    base: str, status: int, body: object, *, path: str, model: str | None, with_key: bool
) -> OutriderError:
    """The error that a status and a body stand for.

    Args:
        base: the server's address, as it is shown.
        status: of HTTP.
        body: JSON, or a text.
        path: that was asked for, behind the base.
        model: that was asked, if one was.
        with_key: whether a key was sent.
    """
    said = message(body)
    because = f": {said}." if said else "."
    if status in (401, 403):
        variable = KEY_VARIABLES[0]
        missing = f"wants a key; set {variable}" if not with_key else "refuses the key it got"
        return EndpointError(f"{base} {missing}{because}")
    if status == 404 and model is not None and "model" in said.lower():
        return EndpointError(
            f"{base} has no model {model!r}, and {base}/models lists those it has{because}"
        )
    if status in (404, 405):
        return EndpointError(
            f"{base} has no {path}, so it is no address of the OpenAI protocol; most end in /v1."
        )
    if 300 <= status < 400:
        return EndpointError(f"{base} has moved; write the address that it has moved to.")
    if status == BUSY:
        return EndpointError(f"{base} takes no more requests for now{because}")
    if status >= 500:
        return EndpointError(f"{base} failed with status {status}{because}")
    if _TOO_LONG.search(json.dumps(body)):
        return UsageError(
            f"The prompt does not fit the context of the model at {base}; shorten it, or "
            f"lower max_tokens{because}"
        )
    return UsageError(f"{base} refuses the request{because}")


def retry_after(response: httpx.Response) -> float | None:
    """Seconds; the header's other form, a date, is left to the backoff."""
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None
