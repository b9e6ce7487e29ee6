"""What a contest of servers came to, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from outrider.lab.contest import Sample
from outrider.lab.environment import machine, versions
from outrider.lab.servers import ServerFigures, verdict, words
from outrider.lab.speed_bench import Figures
from outrider.lab.speed_record import interval
from outrider.lab.statistics import LEVEL, looping

COUNTERS: Final = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "draft_tokens",
    "accepted_tokens",
    "first_token_ms",
    "decode_ms",
    "total_ms",
)
"""Of an answer's usage, what every answer is recorded with."""


def record(
    found: Sequence[ServerFigures],
    samples: Sequence[Sample],
    given: Mapping[str, Any],
    resolved: Mapping[str, Any],
) -> dict[str, Any]:
    """One object.

    Args:
        found: what was measured, the first server first.
        samples: every answer.
        given: the configuration as it was asked for.
        resolved: what that came to.
    """
    return {
        "servers": [_server(figures) for figures in found],
        "verdict": verdict(found),
        "level": LEVEL,
        "given": dict(given),
        **resolved,
        "answers": _answers(samples),
        "machine": machine(),
        "versions": versions(),
    }


def _server(found: ServerFigures) -> dict[str, Any]:
    return {
        "endpoint": found.name,
        "model": found.model,
        "server": found.software,
        **_figures(found.overall),
        "first_token_ms": found.first_token_ms,
        "looping_share": found.looping_share,
        "cached_share": found.cached_share,
        "later_speed": found.later_speed,
        "compared": found.compared,
        "identical": found.compared - len(found.differences) if found.compared else None,
        "differences": [asdict(difference) for difference in found.differences],
        "categories": {name: _figures(figures) for name, figures in found.categories.items()},
    }


def _figures(figures: Figures) -> dict[str, Any]:
    """What is not known is null: only some servers count what they drafted."""
    usage = figures.usage
    drafted = bool(usage.draft_tokens)
    return {
        "prompts": figures.prompts,
        "tokens_per_second": figures.tokens_per_second,
        **interval("speedup", figures.speedup),
        "end_to_end_tokens_per_second": figures.end_to_end_tokens_per_second,
        **interval("end_to_end_speedup", figures.end_to_end_speedup),
        "completion_tokens": usage.completion_tokens,
        "draft_tokens": usage.draft_tokens if drafted else None,
        "accepted_tokens": usage.accepted_tokens if drafted else None,
        "acceptance_rate": usage.acceptance_rate if drafted else None,
    }


def _answers(samples: Sequence[Sample]) -> dict[str, list[Any]]:
    """Every answer, a column a counter, in the order in which they were asked."""
    return {
        "endpoint": [s.plan for s in samples],
        **{name: [getattr(s, name) for s in samples] for name in ("prompt", "repeat", "group")},
        "looping": [int(looping(words(s.text))) for s in samples],
        **{name: [getattr(s.usage, name) for s in samples] for name in COUNTERS},
    }
