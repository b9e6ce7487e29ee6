"""Speculative thinking: a small model reasons, a large one is called in where it hesitates."""

from outrider.strategies.thinking.config import Keywords, ThinkingConfig
from outrider.strategies.thinking.record import ThinkingEvent, ThinkingRecord
from outrider.strategies.thinking.strategy import Thinking, ThinkingStream

__all__ = [
    "Keywords",
    "Thinking",
    "ThinkingConfig",
    "ThinkingEvent",
    "ThinkingRecord",
    "ThinkingStream",
]
