"""What a comparison found: for the record, and for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from comparisons import SAME_FILE, Comparison
from ratios import rates, versus
from sides import Measurement, Side

OURS = "outrider"


def equal_tokens(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens stand before the first difference."""
    pairs = zip(ours, theirs, strict=True)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), len(theirs))


def line(m: Measurement, found: Sequence[Measurement]) -> dict[str, Any]:
    """A measurement for the record: its tokens counted, and how many are equal to ours."""
    ours = next(o for o in found if o.side == OURS and o.prompt == m.prompt)
    return {
        **asdict(m),
        "tokens": len(m.tokens),
        "equal_tokens": equal_tokens(ours.tokens, m.tokens),
    }


def equal_share(found: Sequence[Measurement], side: str) -> float:
    """Of the tokens that `side` chose, the share before its first difference from ours."""
    lines = [line(m, found) for m in found if m.side == side]
    return float(sum(x["equal_tokens"] for x in lines) / sum(x["tokens"] for x in lines))


def summarise(
    comparison: Comparison, sides: Sequence[Side], found: Sequence[Measurement]
) -> dict[str, Any]:
    """Medians of every side, and ours against the fastest setting of llama.cpp on each file."""
    medians = {
        side.name: {
            **{
                f"{rate}_tokens_per_second": float(np.median(rates(found, side.name, rate)))
                for rate in comparison.scenario.rates
            },
            "load_seconds": float(np.median(side.report["load"])),
        }
        for side in sides
    }
    peers: dict[str, list[str]] = {}
    for side in sides:
        if side.name != OURS:
            peers.setdefault(side.file, []).append(side.name)
    return {
        "medians": medians,
        "versus": {rate: versus(found, OURS, peers, rate) for rate in comparison.scenario.rates},
        "equal_until_first_difference": {
            name: equal_share(found, name)
            for name in peers[SAME_FILE]
            if "decode" in comparison.scenario.rates
        },
    }


def reached(comparison: Comparison, summary: dict[str, Any]) -> list[dict[str, Any]]:
    """What was to be reached and what was."""
    return [
        {**asdict(target), **summary["versus"][target.rate][target.file]}
        for target in comparison.targets
    ]


def table(comparison: Comparison, summary: dict[str, Any]) -> str:
    """A comparison's summary for people."""
    compared = comparison.scenario.rates
    width = max(map(len, summary["medians"]))
    heading = "".join(f"{rate + ' tok/s':>15}" for rate in compared)
    lines = ["", f"{comparison.name:{width}}{heading}{'load s':>8}"]
    for name, values in summary["medians"].items():
        speeds = "".join(f"{values[f'{rate}_tokens_per_second']:15.1f}" for rate in compared)
        lines.append(f"{name:{width}}{speeds}{values['load_seconds']:8.2f}")
    for name, share in summary["equal_until_first_difference"].items():
        lines.append(f"{share:.0%} of the tokens of {name} stand before the first difference")
    return "\n".join(lines)


def targets_table(done: dict[str, list[dict[str, Any]]]) -> str:
    """All targets for people."""
    lines = [
        "",
        f"{'times llama.cpp':40}{'at least':>9}{'measured':>9}{'95% interval':>15}  its fastest",
    ]
    for name, targets in done.items():
        lines += [
            f"{name + ': ' + t['rate'] + ', ' + t['file']:40}{t['at_least']:9.2f}{t['ratio']:9.2f}"
            f"{t['low']:7.2f} to{t['high']:5.2f}  {t['peer']}"
            + ("" if t["ratio"] >= t["at_least"] else "  NOT REACHED")
            for t in targets
        ]
    return "\n".join(lines)
