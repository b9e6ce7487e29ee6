"""How far to trust a judge, and a share of right answers."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final

Z: Final = 1.959964
"""The normal quantile of a 95% interval."""


def cohen_kappa(one: Sequence[bool], other: Sequence[bool]) -> float | None:
    """Agreement of two raters beyond chance: (p_o − p_e) / (1 − p_e).

    1 is agreement on everything, 0 what two raters reach who say "right" independently as often as
    these do. (J. Cohen, A coefficient of agreement for nominal scales, 1960.)

    Args:
        one: what the first rater says of each thing.
        other: what the second says, in the same order.

    Returns:
        None where both always say the same single word, or nothing was rated: chance alone would
        agree too.
    """
    if not one:
        return None
    n = len(one)
    observed = sum(a == b for a, b in zip(one, other, strict=True)) / n
    p, q = sum(one) / n, sum(other) / n
    by_chance = p * q + (1 - p) * (1 - q)
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def share_interval(hits: int, of: int) -> tuple[float, float]:
    """The 95% interval of a share, by Wilson's score (JASA 22, 1927), within [0, 1].

    Without anything counted it is all of [0, 1].
    """
    if not of:
        return 0.0, 1.0
    share = hits / of
    centre = (share + Z**2 / (2 * of)) / (1 + Z**2 / of)
    half = Z / (1 + Z**2 / of) * sqrt(share * (1 - share) / of + Z**2 / (4 * of**2))
    return max(0.0, centre - half), min(1.0, centre + half)
