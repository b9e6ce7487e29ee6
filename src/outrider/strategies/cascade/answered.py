"""What a cascade says, and how it came to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from outrider.strategies.cascade.predictor import Complexity
from outrider.strategies.cascade.stage import Answer
from outrider.types import FinishReason, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeAnswer:
    """What a cascade says, and how it came to it.

    Attributes:
        text: of the answer given out.
        answer: what was found in it.
        stage: that gave it.
        finish_reason: why it ended; "cancelled" where a further stage would have been asked.
        score: the probability that it is right.
        complexity: of the question, as it looked before any answer.
        before: the probability, before any answer, that the first stage would be right.
        asked: the answers of all stages asked, in their order.
        scores: of these.
        cost: of all of them, loading included, in the unit of the cascade.
        worth: λ of the policy.
    """

    text: str
    answer: str | None
    stage: str
    finish_reason: FinishReason
    score: float
    complexity: Complexity
    before: float
    asked: tuple[Answer, ...]
    scores: tuple[float, ...]
    cost: float
    worth: float

    @property
    def usage(self) -> Usage:
        """The tokens of all stages asked, and the milliseconds that they took."""
        return Usage(
            prompt_tokens=sum(a.prompt_tokens for a in self.asked),
            cached_tokens=sum(a.cached_tokens for a in self.asked),
            completion_tokens=sum(a.tokens for a in self.asked),
            total_ms=sum(a.ms + a.loading_ms for a in self.asked),
        )

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "text": self.text,
            "answer": self.answer,
            "stage": self.stage,
            "score": self.score,
            "complexity": self.complexity,
            "score_before": self.before,
            "cost": self.cost,
            "worth": None if math.isinf(self.worth) else self.worth,
            "asked": [
                {
                    "stage": a.stage,
                    "answer": a.answer,
                    "text": a.text,
                    "score": score,
                    "tokens": a.tokens,
                    "prompt_tokens": a.prompt_tokens,
                    "cached_tokens": a.cached_tokens,
                    "ms": a.ms,
                    "loading_ms": a.loading_ms,
                }
                for a, score in zip(self.asked, self.scores, strict=True)
            ],
        }
