"""What a contest of plans came to, ready for JSON: the figures, and every answer's counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from outrider.lab.contest import Sample
from outrider.lab.environment import machine, versions
from outrider.lab.speed_bench import PHASES, Figures, PlanFigures, SpeedBench
from outrider.lab.statistics import LEVEL, Interval, looping
from outrider.llm import LLM

COUNTERS: Final = (
    "completion_tokens",
    "steps",
    "plain_steps",
    "empty_steps",
    "draft_tokens",
    "accepted_tokens",
    "first_token_ms",
    "decode_ms",
    "total_ms",
)
"""Of an answer's usage, what every answer is recorded with."""


def record(
    llm: LLM, bench: SpeedBench, given: Mapping[str, Any], resolved: Mapping[str, Any]
) -> dict[str, Any]:
    """One object.

    Args:
        llm: what answered.
        bench: what was measured.
        given: the configuration as it was asked for, the model's name among it.
        resolved: what that came to; plans say for themselves.
    """
    return {
        "model": given["model"],
        "fingerprint": llm.model.fingerprint,
        **llm.model.facts,
        "identical": bench.identical,
        "plans": [_plan(figures) for figures in bench.plans],
        "level": LEVEL,
        "given": dict(given),
        **resolved,
        "answers": _answers(bench.samples),
        "machine": machine(),
        "versions": versions(),
    }


def _plan(found: PlanFigures) -> dict[str, Any]:
    usage, saved = found.overall.usage, interval("speedup_without_looping", found.without_looping)
    return {
        "name": found.plan.name,
        **_figures(found.overall),
        "looping_share": found.looping_share,
        **saved,
        "exact": found.exact,
        "different": list(found.different),
        "notes": list(found.notes),
        "saved_ms": found.saved_ms,
        "saved_ms_estimated": found.estimated_ms,
        "accepted_per_position": usage.accepted_per_position,
        "steps": usage.steps,
        "plain_steps": usage.plain_steps,
        "empty_steps": usage.empty_steps,
        "draft_steps": usage.draft_steps,
        "draft_tokens": usage.draft_tokens,
        "accepted_tokens": usage.accepted_tokens,
        "completion_tokens": usage.completion_tokens,
        "plan": {key: value for key, value in asdict(found.plan).items() if key != "name"},
        "categories": {name: _figures(figures) for name, figures in found.categories.items()},
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "prompts": figures.prompts,
        "tokens_per_second": figures.tokens_per_second,
        **interval("speedup", figures.speedup),
        "end_to_end_tokens_per_second": figures.end_to_end_tokens_per_second,
        **interval("end_to_end_speedup", figures.end_to_end_speedup),
        "mean_accepted_length": figures.usage.mean_accepted_length,
        "acceptance_rate": figures.usage.acceptance_rate,
        "rows_per_step": figures.rows_per_step,
        "ms_per_step": {phase: figures.phase_ms(phase) for phase in PHASES},
    }


def interval(name: str, found: Interval | None) -> dict[str, float | None]:
    """A figure with its interval, under three keys."""
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _answers(samples: Sequence[Sample]) -> dict[str, list[Any]]:
    """Every answer, a column a counter, in the order in which they were asked."""
    return {
        "plan": [s.plan for s in samples],
        **{name: [getattr(s, name) for s in samples] for name in ("prompt", "repeat", "group")},
        "looping": [int(looping(s.tokens)) for s in samples],
        **{name: [getattr(s.usage, name) for s in samples] for name in COUNTERS},
    }
