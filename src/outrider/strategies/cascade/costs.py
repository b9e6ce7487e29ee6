"""What an answer costs, in the unit of the cascade."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

import numpy as np

from outrider.strategies.cascade.settings import CascadeSettings, Cost, Weights
from outrider.strategies.cascade.stage import Answer

PAIRED: Final = 400
"""Answers of which all pairs are looked at."""

Source = Literal["declared", "measured alone", "measured among others"]


@dataclass(frozen=True, slots=True)
class StageCost:
    """A stage's time: base_ms + token_ms · tokens, and its prices.

    Attributes:
        base_ms: of an answer of no token: its prompt.
        token_ms: of each generated token.
        source: where the two come from.
        measured: answers that they were fitted to.
        loading_ms: of the model; None where it was not seen.
        declared: prices.
    """

    base_ms: float
    token_ms: float
    source: Source
    measured: int = 0
    loading_ms: float | None = None
    declared: Cost = Cost()  # noqa: RUF009  (frozen)

    def ms(self, answer: Answer) -> float:
        """Milliseconds of an answer, loading not included."""
        return self.base_ms + self.token_ms * answer.tokens

    def of(self, answer: Answer, weights: Weights) -> float:
        """What an answer costs, loading not included."""
        return weigh(self.ms(answer), answer, self.declared, weights)

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def of_record(cls, values: Mapping[str, Any]) -> Self:
        """What `record` was made of."""
        return cls(**{**values, "declared": Cost(**values["declared"])})


def weigh(ms: float, answer: Answer, declared: Cost, weights: Weights) -> float:
    """The weighted sum of milliseconds, generated tokens and money."""
    money = (
        declared.money
        + declared.money_per_million_prompt_tokens * answer.prompt_tokens / 1e6
        + declared.money_per_million_tokens * answer.tokens / 1e6
    )
    return weights.ms * ms + weights.tokens * answer.tokens + weights.money * money


def paid(answer: Answer, declared: Cost, weights: Weights) -> float:
    """What one answer has cost: its own time unless one is declared, and what loading took."""
    ms = answer.ms if declared.ms is None else declared.ms
    return weigh(ms + answer.loading_ms, answer, declared, weights)


def stage_costs(
    settings: CascadeSettings,
    timed: Mapping[str, Sequence[Answer]],
    collected: Mapping[str, Sequence[Answer]],
) -> tuple[StageCost, ...]:
    """The cost of each stage, from what is declared, else from what was measured.

    Args:
        settings: of the cascade.
        timed: answers that were asked alone, by stage.
        collected: answers that were asked among others, by stage.
    """
    # A load is slowed by what else runs and by nothing sped up: the least is its own.
    loads: dict[tuple[str | None, str | None], float] = {}
    for stage in settings.stages:
        for answer in (*timed.get(stage.name, ()), *collected.get(stage.name, ())):
            if answer.loading_ms > 0:
                key = (stage.model, stage.endpoint)
                loads[key] = min(answer.loading_ms, loads.get(key, math.inf))
    costs = []
    for stage in settings.stages:
        alone, among = timed.get(stage.name, ()), collected.get(stage.name, ())
        loading = loads.get((stage.model, stage.endpoint))
        if stage.cost.ms is not None:
            costs.append(StageCost(stage.cost.ms, 0.0, "declared", 0, loading, stage.cost))
            continue
        source: Source = "measured alone" if alone else "measured among others"
        base, slope = fit_line(alone or among)
        measured = len(alone or among)
        costs.append(StageCost(base, slope, source, measured, loading, stage.cost))
    return tuple(costs)


def fit_line(answers: Sequence[Answer]) -> tuple[float, float]:
    """Milliseconds of an answer without tokens, and of each token; neither below 0.

    The least absolute deviations would ignore a hiccup that least squares follow; instead the slope
    is the median over pairs (Theil and Sen), and the base the median of what is left.
    """
    answers = answers[:: 1 + len(answers) // PAIRED]
    if not answers:
        return 0.0, 0.0
    tokens = np.array([float(a.tokens) for a in answers])
    ms = np.array([a.ms for a in answers])
    i, j = np.triu_indices(len(answers), 1)
    apart = tokens[i] != tokens[j]
    slopes = (ms[j] - ms[i])[apart] / (tokens[j] - tokens[i])[apart]
    slope = max(float(np.median(slopes)), 0.0) if len(slopes) else 0.0
    base = float(np.median(ms - slope * tokens))
    if base < 0:
        return 0.0, float(np.median(ms / np.maximum(tokens, 1)))
    return base, slope
