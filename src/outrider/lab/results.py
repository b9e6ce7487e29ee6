"""What was measured in one experiment, as an experiment looks at it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outrider.lab.contest import Sample, decode_of
from outrider.lab.experiment import PLAIN_ARM, Setup
from outrider.lab.records import Measurement
from outrider.lab.speed_bench import Figures, by_group, by_prompt, figures, times
from outrider.lab.statistics import Interval, Times, speedup, typical_speedup

OUTLIER_SPREADS: Final = 3.5
"""Median absolute deviations, scaled to a standard deviation, beyond which a time is an outlier
(Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""


@dataclass(frozen=True)
class Results:
    """The measurements of one experiment.

    Attributes:
        setup: what it was run on.
        measurements: in the order in which they were made.
    """

    setup: Setup
    measurements: Sequence[Measurement]

    def paired(self, arms: Iterable[str]) -> Results:
        """Only what all of these arms were measured on: the same prompts, as often.

        A run that was interrupted has arms that are ahead of others. Measurements without answers
        stay, and an arm that has no others holds nothing back.
        """
        kept = list(self.measurements)
        answering = [arm for arm in arms if self.samples(arm) or not self.of(arm)]
        while answering:
            asked = {arm: set[tuple[int, int]]() for arm in answering}
            for measurement in kept:
                asked.get(measurement.arm, set()).update(_asked(measurement))
            common = set.intersection(*asked.values())
            # Of prompts that were asked together, all or none.
            still = [m for m in kept if _asked(m) <= common]
            if len(still) == len(kept):
                break
            kept = still
        return Results(self.setup, kept)

    def on(self, prompt: int) -> Results:
        """Only what was measured on one prompt alone."""
        asked = [m for m in self.measurements if {s.prompt for s in m.samples} == {prompt}]
        return Results(self.setup, asked)

    @cached_property
    def _by_arm(self) -> Mapping[str, list[Measurement]]:
        found: defaultdict[str, list[Measurement]] = defaultdict(list)
        for measurement in self.measurements:
            found[measurement.arm].append(measurement)
        return found

    @property
    def arms(self) -> list[str]:
        """The arms of which anything was measured."""
        return list(self._by_arm)

    def of(self, arm: str) -> list[Measurement]:
        """An arm's measurements."""
        return self._by_arm.get(arm, [])

    def samples(self, arm: str) -> list[Sample]:
        """An arm's answers."""
        return [sample for measurement in self.of(arm) for sample in measurement.samples]

    def figures(self, arm: str, against: str = PLAIN_ARM.name) -> Figures:
        """What an arm came to beside another on the same prompts."""
        own, other = self.samples(arm), self.samples(against)
        # Groups of another size are other groups, and their prompts are compared one by one.
        alike = {s.prompt: s.group for s in own} == {s.prompt: s.group for s in other}
        return figures(other, own, by_group if alike else by_prompt)

    def categories(self) -> list[str]:
        """The categories of the prompts, in their order."""
        named = (prompt.category for prompt in self.setup.prompts)
        return list(dict.fromkeys(name for name in named if name is not None))

    def times(self, arm: str) -> Times:
        """How long an arm's prompts took, first to last token, in the order of the prompts."""
        return times(self.samples(arm), by_prompt, decode_of)

    def ratios(self, arm: str, against: str = PLAIN_ARM.name) -> NDArray[np.float64]:
        """How many times as fast an arm is on each prompt, float64[prompts]."""
        own, other = self.times(arm), self.times(against)
        both = (own.tokens > 0) & (other.tokens > 0)
        own, other = own.pick(both), other.pick(both)
        return (own.tokens / own.ms) / (other.tokens / other.ms)

    def typical(self, arm: str, against: str = PLAIN_ARM.name) -> Interval | None:
        """How many times as fast an arm is on a typical prompt: the median of `ratios`."""
        return typical_speedup(self.ratios(arm, against))

    def total(self, arm: str, against: str = PLAIN_ARM.name) -> Interval | None:
        """How many times as fast an arm is over all prompts together."""
        return speedup(self.times(against), self.times(arm))

    def pass_ms(self, arms: Iterable[str] | None = None) -> dict[int, float]:
        """The median milliseconds of a pass, by the rows that an answer had in it."""
        found: defaultdict[int, list[float]] = defaultdict(list)
        for arm in self.arms if arms is None else arms:
            for sample in self.samples(arm):
                for rows, each in sample.passes.items():
                    found[rows] += each
        return {rows: median(each) for rows, each in sorted(found.items())}

    def outliers(self) -> list[Sample]:
        """Answers whose time a token lies far from that of their arm; they are kept and shown.

        Of answers that were computed together the first stands for all.
        """
        found = []
        for arm in self.arms:
            groups = [m.samples for m in self.of(arm) if m.samples and decode_of(m.samples)[1]]
            samples = [group[0] for group in groups]
            paces = np.array([ms / tokens for ms, tokens in map(decode_of, groups)])
            if len(paces) < 3:
                continue
            spread = 1.4826 * float(np.median(np.abs(paces - np.median(paces))))
            far = np.abs(paces - np.median(paces)) > OUTLIER_SPREADS * spread
            found += [sample for sample, is_far in zip(samples, far, strict=True) if is_far]
        return found


def _asked(measurement: Measurement) -> set[tuple[int, int]]:
    """The prompts of a measurement, each with the number of the repeat."""
    return {(sample.prompt, sample.repeat) for sample in measurement.samples}
