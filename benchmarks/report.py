"""What a comparison found: for the record, and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from comparisons import SAME_FILE, Comparison
from contestants import COLD, LEARNING, OURS
from ratios import rates, versus
from sides import Measurement, Side
from throughput import against_best, by_category, overview


def equal_tokens(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens stand before the first difference."""
    pairs = zip(ours, theirs, strict=False)
    shorter = min(len(ours), len(theirs))
    return next((n for n, (a, b) in enumerate(pairs) if a != b), shorter)


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
    comparison: Comparison, sides: Sequence[Side], found: Sequence[Measurement]
) -> dict[str, Any]:
    """The speeds of every side, and ours against the peer's fastest setting on each file."""
    names = [side.name for side in sides]
    ours = [name for name in (OURS, LEARNING, COLD) if name in names]
    peers: dict[str, list[str]] = {}
    for side in sides:
        if side.name not in ours:
            peers.setdefault(side.file, []).append(side.name)
    compute = _speculation if comparison.scenario.speculation else _plain
    summary = compute(comparison, names, ours, peers, found)
    for side in sides:
        summary["sides"][side.name]["load_seconds"] = float(np.median(side.report["load"]))
    if "decode" in comparison.scenario.rates:
        summary["equal_until_first_difference"] = {
            side.name: equal_share(found, side.name)
            for side in sides
            if side.name != OURS and (comparison.scenario.speculation or side.file == SAME_FILE)
        }
    return summary


def _plain(
    comparison: Comparison,
    names: Sequence[str],
    ours: Sequence[str],
    peers: Mapping[str, Sequence[str]],
    found: Sequence[Measurement],
) -> dict[str, Any]:
    """Medians over prompts."""
    compared = comparison.scenario.rates
    return {
        "sides": {
            name: {
                f"{rate}_tokens_per_second": float(np.median(rates(found, name, rate)))
                for rate in compared
            }
            for name in names
        },
        "versus": {rate: versus(found, OURS, peers, rate) for rate in compared},
    }


def _speculation(
    comparison: Comparison,
    names: Sequence[str],
    ours: Sequence[str],
    peers: Mapping[str, Sequence[str]],
    found: Sequence[Measurement],
) -> dict[str, Any]:
    """Over all prompts together; what counts is the side that learns from prompt to prompt."""
    compared = comparison.scenario.rates
    each = {
        name: {rate: against_best(found, name, peers, rate) for rate in compared} for name in ours
    }
    own = {OURS: [OURS]}
    return {
        "sides": {name: overview(found, name, compared) for name in names},
        "versus": each[LEARNING],
        "versus_by_side": each,
        "versus_own_plain": {
            name: {rate: against_best(found, name, own, rate)[OURS] for rate in compared}
            for name in ours
            if name != OURS
        },
        "categories": by_category(found, names, "decode"),
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
    headings = [
        (f"{rate}_tokens_per_second", f"{rate.replace('_', ' ')} tok/s") for rate in compared
    ]
    width = max(map(len, summary["sides"]))
    drafted = comparison.scenario.speculation
    heading = "".join(f"{title:>18}" for _, title in headings) + f"{'load s':>8}"
    heading += f"{'looping':>9}" if drafted else ""
    equal = summary.get("equal_until_first_difference", {})
    heading += f"{'equal':>7}" if equal else ""
    lines = ["", f"{comparison.name:{width}}{heading}"]
    for name, values in summary["sides"].items():
        shown = "".join(f"{values[key]:18.1f}" for key, _ in headings)
        shown += f"{values['load_seconds']:8.2f}"
        shown += f"{values['looping_share']:9.0%}" if drafted else ""
        shown += f"{equal[name]:7.0%}" if name in equal else ""
        lines.append(f"{name:{width}}{shown}")
    if equal:
        lines.append("equal: the share of tokens that stand before the first difference from ours")
    for name, ratios in summary.get("versus_own_plain", {}).items():
        lines.append(f"{name}: {_times(ratios['decode'])} our plain decoding")
    for name, ratios in summary.get("versus_by_side", {}).items():
        lines += [
            f"{name}: {_times(found)} {found['peer']}; without looping answers "
            f"{_times(found['without_looping'])}"
            for found in ratios["decode"].values()
        ]
    return "\n".join(lines)


def _times(found: dict[str, Any]) -> str:
    """A ratio and its interval, where there are enough prompts for either."""
    if found["ratio"] is None:
        return "(no prompt)"
    if found["low"] is None:
        return f"{found['ratio']:.2f} times"
    return f"{found['ratio']:.2f} times ({found['low']:.2f} to {found['high']:.2f})"


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
