"""What tuning found, with everything it depends on, ready for JSON and for the plan's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from outrider.lab.environment import machine, versions
from outrider.lab.speed_bench import PlanFigures
from outrider.lab.statistics import LEVEL, Interval
from outrider.lab.tuning import Tuning
from outrider.lab.verdict import Trial
from outrider.llm import LLM

SIZES: Final = (1, 2, 3, 4, 5, 6, 8, 12, 16)
"""Numbers of rows whose costs are recorded, beside those of all passes that were made."""


def record(
    llm: LLM, found: Tuning, given: Mapping[str, Any], resolved: Mapping[str, Any]
) -> dict[str, Any]:
    """One object.

    Args:
        llm: what answered.
        found: what came of it.
        given: the configuration as it was asked for, the model's name among it.
        resolved: what that came to.
    """
    verdict = found.verdict
    return {
        "model": given["model"],
        "fingerprint": llm.model.fingerprint,
        **llm.model.facts,
        "use": verdict.plan.name,
        "verdict": verdict.text,
        "identical": found.identical,
        "level": LEVEL,
        "plans": [trial_record(trial, found.figures) for trial in found.trials],
        "left_out": [{"drafter": spec, "why": why} for spec, why in found.left_out],
        "cost": cost_record(found),
        "prompts_fitted": list(found.fitted),
        "prompts_measured": list(found.measured),
        "given": dict(given),
        **resolved,
        "machine": machine(),
        "versions": versions(),
    }


def trial_record(trial: Trial, figures: Mapping[str, PlanFigures]) -> dict[str, Any]:
    """A plan: what was predicted of it and, if it was, what was measured."""
    prediction, measured = trial.prediction, figures.get(trial.plan.name)
    values: dict[str, Any] = {
        "name": trial.plan.name,
        **{
            key: value for key, value in asdict(trial.plan).items() if key not in ("name", "record")
        },
        **_interval("predicted", prediction.speedup),
        **_interval("measured", trial.measured),
        "error": trial.error,
        "tokens_per_pass": prediction.tokens_per_pass,
        "step": prediction.step,
        "acceptance_rate": prediction.acceptance_rate,
        "break_even": prediction.break_even,
        "draft_ms_per_step": prediction.draft_ms,
    }
    if measured is not None:
        usage = measured.overall.usage
        values |= {
            "tokens_per_second": measured.overall.tokens_per_second,
            "measured_mean_accepted_length": usage.mean_accepted_length,
            "measured_acceptance_rate": usage.acceptance_rate,
            "looping_share": measured.looping_share,
            **_interval("measured_without_looping", measured.without_looping),
            "notes": list(measured.notes),
        }
    return values


def cost_record(found: Tuning) -> dict[str, Any]:
    """Milliseconds of passes by their rows: as the curve has them, and as they were in answers."""
    costs, context = found.costs, found.context
    sizes = sorted({*SIZES, *costs.sizes})
    return {
        "context": context,
        "curve_ms": {str(m): costs.curve.ms([(round(context), m)]) for m in sizes},
        "answers_ms": {str(m): costs.ms(m, context) for m in sizes},
        "seen": list(costs.sizes),
    }


def _interval(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
