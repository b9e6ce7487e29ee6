"""What a comparison found: for the record, and for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from comparisons import Comparison
from contestants import OURS
from outrider.lab.peers.copies import SAME_FILE
from outrider.lab.statistics import equal_tokens
from ratios import rates, versus
from sides import FileSide, Measurement


def line(m: Measurement, found: Sequence[Measurement]) -> dict[str, Any]:
    """A measurement for the record: its tokens counted, and how many are equal to ours."""
    ours = next(o for o in found if o.side == OURS and o.prompt == m.prompt)
    return {
        **asdict(m),
        "tokens": len(m.tokens),
        "equal_tokens": equal_tokens(ours.tokens, m.tokens),
    }


def equal_share(found: Sequence[Measurement], side: str) -> float:
    """Of the tokens of `side` or ours, the longer answer's, the share before they differ."""
    ours = {m.prompt: m.tokens for m in found if m.side == OURS}
    pairs = [(ours[m.prompt], m.tokens) for m in found if m.side == side]
    equal = sum(equal_tokens(*pair) for pair in pairs)
    return equal / max(1, sum(max(map(len, pair)) for pair in pairs))


def summarise(
    comparison: Comparison, sides: Sequence[FileSide], found: Sequence[Measurement]
) -> dict[str, Any]:
    """Every side's medians over prompts, and ours against the peer's fastest on each file."""
    compared = comparison.scenario.rates
    peers: dict[str, list[str]] = {}
    for side in sides:
        if side.name != OURS:
            peers.setdefault(side.file, []).append(side.name)
    summary: dict[str, Any] = {
        "sides": {
            side.name: {
                **{
                    f"{rate}_tokens_per_second": float(np.median(rates(found, side.name, rate)))
                    for rate in compared
                },
                "load_seconds": float(np.median(side.report["load"])),
            }
            for side in sides
        },
        "versus": {rate: versus(found, OURS, peers, rate) for rate in compared},
    }
    if "decode" in compared:
        summary["equal_until_first_difference"] = {
            side.name: equal_share(found, side.name)
            for side in sides
            if side.name != OURS and side.file == SAME_FILE
        }
    return summary


def reached(comparison: Comparison, summary: dict[str, Any]) -> list[dict[str, Any]]:
    """What was to be reached and what was."""
    return [
        {**asdict(target), **summary["versus"][target.rate][target.file]}
        for target in comparison.targets
    ]


def table(comparison: Comparison, summary: dict[str, Any]) -> str:
    """A comparison's summary for people."""
    compared = comparison.scenario.rates
    width = max(map(len, summary["sides"]))
    heading = "".join(f"{f'{rate} tok/s':>18}" for rate in compared) + f"{'load s':>8}"
    equal = summary.get("equal_until_first_difference", {})
    heading += f"{'equal':>7}" if equal else ""
    lines = ["", f"{comparison.name:{width}}{heading}"]
    for name, values in summary["sides"].items():
        shown = "".join(f"{values[f'{rate}_tokens_per_second']:18.1f}" for rate in compared)
        shown += f"{values['load_seconds']:8.2f}"
        shown += f"{equal[name]:7.0%}" if name in equal else ""
        lines.append(f"{name:{width}}{shown}")
    if equal:
        lines.append("equal: the share of tokens that stand before the first difference from ours")
    return "\n".join(lines)


def targets_table(done: dict[str, list[dict[str, Any]]]) -> str:
    """All targets for people."""
    lines = [
        "",
        f"{'times the peer':42}{'at least':>9}{'measured':>9}{'95% interval':>16}  its fastest",
    ]
    for name, targets in done.items():
        lines += [
            f"{name + ': ' + t['rate'] + ', ' + t['file']:42}{t['at_least']:9.2f}{t['ratio']:9.2f}"
            f"{_interval(t):>16}  {t['peer']}"
            + ("" if t["ratio"] >= t["at_least"] else "  NOT REACHED")
            for t in targets
        ]
    return "\n".join(lines)


def _interval(found: dict[str, Any]) -> str:
    return "" if found["low"] is None else f"{found['low']:.2f} to {found['high']:.2f}"
