"""What measurements of sides say: medians, and ratios with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sides import Measurement

BOOTSTRAP_ROUNDS = 10_000

Rates = NDArray[np.float64]


def rates(found: Sequence[Measurement], side: str, rate: str) -> Rates:
    """What intervals are taken over: the median rate of each prompt, or a lone prompt's repeats.

    Args:
        found: measurements of all sides.
        side: whose are wanted.
        rate: "decode" or "prefill".
    """
    by_prompt: dict[int, list[float]] = {}
    for m in found:
        if m.side == side:
            by_prompt.setdefault(m.prompt, []).append(getattr(m, f"{rate}_rate"))
    if len(by_prompt) == 1:
        return np.array(*by_prompt.values())
    return np.array([np.median(by_prompt[prompt]) for prompt in sorted(by_prompt)])


def ratio(ours: Rates, theirs: Rates) -> dict[str, float]:
    """Ratio of medians, with a 95% interval by resampling prompts (or repeats) in pairs."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(ours), (BOOTSTRAP_ROUNDS, len(ours)))
    ratios = np.median(ours[drawn], axis=1) / np.median(theirs[drawn], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return {
        "ratio": float(np.median(ours) / np.median(theirs)),
        "low": float(low),
        "high": float(high),
    }


def versus(
    found: Sequence[Measurement], ours: str, peers: Mapping[str, Sequence[str]], rate: str
) -> dict[str, dict[str, Any]]:
    """Our rate against the peer's fastest setting, for each file the peer computes.

    Args:
        found: measurements of all sides.
        ours: the name of our side.
        peers: the names of the peer's sides, by file.
        rate: "decode" or "prefill".
    """

    def median(name: str) -> float:
        return float(np.median(rates(found, name, rate)))

    best = {file: max(names, key=median) for file, names in peers.items()}
    mine = rates(found, ours, rate)
    return {
        file: {"peer": name, **ratio(mine, rates(found, name, rate))} for file, name in best.items()
    }
