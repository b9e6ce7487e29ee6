"""Above the token: which model does which part of the work."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Cascade": "outrider.strategies.cascade",
    "Thinking": "outrider.strategies.thinking",
    "ThinkingConfig": "outrider.strategies.thinking",
}
"""Where each strategy lives; its module is imported when the name is first asked for."""

__all__ = ["Cascade", "Thinking", "ThinkingConfig"]

if TYPE_CHECKING:
    from outrider.strategies.cascade import Cascade
    from outrider.strategies.thinking import Thinking, ThinkingConfig


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'outrider.strategies' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
