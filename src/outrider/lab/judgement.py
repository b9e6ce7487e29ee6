"""Whether drafting is shown to help, where it is held against plain decoding of the same prompts.

An arm is shown to be faster where the interval of its speed-up is above 1 and a sign-flip test over
prompts says so too, at a level that all arms of all runs share (`statistics.holm`): the best of
many arms looks faster than it is. Speculation is shown to hurt where every arm is shown to be
slower. All else is undecided, and called so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from outrider.lab.evidence import Evidence
from outrider.lab.experiment import PLAIN_ARM, Arm, arms_by_name
from outrider.lab.results import Results
from outrider.lab.statistics import (
    FALSE_ALARMS,
    Finding,
    Interval,
    chosen_on_others,
    finding,
    holm,
    sign_flip,
    speedup,
)

DECIDERS: Final = ("speculation", "k-sweep")
"""Experiments whose arms draft on the run's own prompts and settings, against plain decoding."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one experiment of a run says about speculation.

    Attributes:
        evidence: that it rests on.
        arms: those that were held against plain decoding.
        best: the fastest of them that is shown to be faster, or of all where none is.
        ratio: its speed-up over all prompts together.
        typical: its speed-up on a typical prompt.
        on_others: the speed-up of choosing the fastest arm by the other prompts each time.
        finding: what is shown.
    """

    evidence: Evidence
    arms: Sequence[Arm]
    best: Arm
    ratio: Interval
    typical: Interval | None
    on_others: float
    finding: Finding


def judge(evidence: Sequence[Evidence]) -> list[Judgement]:
    """What each experiment that decides says, the most telling first."""
    asked = [
        (each, each.paired, arms)
        for each in evidence
        if each.experiment.name in DECIDERS
        and each.paired is not None
        and (arms := _drafting(each, each.paired))
    ]
    # One level for all arms of all runs.
    ps = [sign_flip(np.log(found.ratios(arm.name))) for _, found, arms in asked for arm in arms]
    told = iter(holm(ps))
    judged = [_judge(each, found, arms, [next(told) for _ in arms]) for each, found, arms in asked]
    order = [Finding.FASTER, Finding.UNDECIDED, Finding.SLOWER]
    return sorted(judged, key=lambda j: (order.index(j.finding), -j.ratio.value))


def _judge(
    evidence: Evidence, results: Results, arms: Sequence[Arm], told: Sequence[bool]
) -> Judgement:
    totals = {arm.name: total for arm in arms if (total := results.total(arm.name)) is not None}
    faster = [
        arm
        for arm, differs in zip(arms, told, strict=True)
        if differs and finding(totals[arm.name]) is Finding.FASTER
    ]
    best = max(faster or arms, key=lambda arm: totals[arm.name].value)
    # All have to be slower, so none of them is by chance: each is held to the level alone.
    slower = all(
        finding(totals[arm.name]) is Finding.SLOWER
        and sign_flip(np.log(results.ratios(arm.name))) <= FALSE_ALARMS
        for arm in arms
    )
    plain = results.times(PLAIN_ARM.name)
    own = [results.times(arm.name) for arm in arms]
    both = np.all([each.tokens > 0 for each in (plain, *own)], axis=0)
    chosen = speedup(plain.pick(both), chosen_on_others([each.pick(both) for each in own]))
    return Judgement(
        evidence=evidence,
        arms=arms,
        best=best,
        ratio=totals[best.name],
        typical=results.typical(best.name),
        on_others=chosen.value if chosen is not None else totals[best.name].value,
        finding=Finding.FASTER if faster else (Finding.SLOWER if slower else Finding.UNDECIDED),
    )


def _drafting(evidence: Evidence, results: Results) -> list[Arm]:
    """The arms that draft and have a speed."""
    arms = arms_by_name(evidence.experiment, results.setup).values()
    return [
        arm
        for arm in arms
        if arm.against == PLAIN_ARM.name != arm.name and results.total(arm.name) is not None
    ]
