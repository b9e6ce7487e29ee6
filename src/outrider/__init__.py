"""Outrider makes large language models answer faster without changing what they say."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Completion": "outrider.types",
    "Event": "outrider.types",
    "LLM": "outrider.llm",
    "Message": "outrider.types",
    "OutriderError": "outrider.errors",
    "Request": "outrider.types",
    "Sampling": "outrider.types",
    "Speculation": "outrider.types",
}
"""Where each public name lives; its module is imported when the name is first asked for."""

__all__ = [  # noqa: RUF022  (the order of a reader's interest)
    "LLM",
    "Request",
    "Sampling",
    "Speculation",
    "Message",
    "Completion",
    "Event",
    "OutriderError",
    "__version__",
]

if TYPE_CHECKING:
    from outrider.errors import OutriderError
    from outrider.llm import LLM
    from outrider.types import Completion, Event, Message, Request, Sampling, Speculation


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'outrider' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
