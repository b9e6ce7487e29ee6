"""Two runs beside each other: whether speculation brings the same in both.

What is compared is each arm's speed-up over plain decoding, prompt by prompt: how fast the machine
happened to be touches an arm and what it is held against alike. Whether the logarithms of the
speed-ups differ is decided by a permutation test, which asks for no distribution and to which small
numbers of prompts are enough. With many arms some would differ by chance, so the level is shared
out over all of them.

That test takes prompts for independent, and those of one run are not: what a further row of a pass
costs depends on how fast the machine's memory is just then, so in a run of a minute every arm may
gain more or less than in the next. A difference has to be larger than that, so the test asks
whether it exceeds a margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from outrider.errors import UsageError
from outrider.lab.contest import decode_of
from outrider.lab.experiment import Arm, arms_by_name
from outrider.lab.results import Results
from outrider.lab.run_folder import RunFolder
from outrider.lab.runs import load_experiments, results_of
from outrider.lab.speed_bench import by_prompt, times
from outrider.lab.statistics import holm, sign_flip

MARGIN: Final = 0.1
"""A ratio between the speed-ups of two runs that is no difference, up or down: that much the same
configuration gains more or less from one minute to the next."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm in two runs.

    Attributes:
        experiment: its name.
        arm: its name.
        prompts: measured in both runs.
        ratio: the second run's speed-up over the first one's, the geometric mean over prompts; of
            an arm that is held against nothing, its speed.
        p: how often chance alone would go beyond the margin as far.
        differs: whether it is told to differ, among all that are compared.
        same_tokens: the share of prompts that are answered alike.
    """

    experiment: str
    arm: str
    prompts: int
    ratio: float
    p: float
    differs: bool
    same_tokens: float


@dataclass(frozen=True, slots=True)
class Difference:
    """What two runs come to.

    Attributes:
        arms: those that both have; the test is on what they bring over plain decoding.
        pace: how many times as fast the second run decoded plainly: the machine, mostly.
        settings: what was resolved differently, name by name.
        margin: a ratio of speed-ups that counts as none.
    """

    arms: Sequence[Comparison]
    pace: float | None
    settings: Sequence[str]
    margin: float

    @property
    def verdict(self) -> str:
        """In a sentence."""
        differing = [c for c in self.arms if c.differs]
        if not differing:
            return f"No difference beyond {self.margin:.0%} in {len(self.arms)} comparisons."
        told = ", ".join(f"{c.experiment} {c.arm} ({c.ratio:.2f} times)" for c in differing)
        return f"{len(differing)} of {len(self.arms)} comparisons differ: {told}."


def compare(first: RunFolder, second: RunFolder, *, margin: float = MARGIN) -> Difference:
    """What the second run measured differently.

    Args:
        first: a run.
        second: another.
        margin: the least difference that is told, as a share: 0.1 is 10%.

    Raises:
        UsageError: a run cannot be read, the margin is negative, or they have nothing in common.
    """
    if margin < 0.0:
        raise UsageError(f"--margin has to be at least 0, not {margin:g}.")
    one, other = results_of(first), results_of(second)
    names = [name for name in first.description["experiments"] if name in _experiments(second)]
    found: list[Comparison] = []
    paces: list[float] = []
    for experiment in load_experiments(names) if names else []:
        if experiment.name not in one or experiment.name not in other:
            continue
        both = (one[experiment.name], other[experiment.name])
        arms = arms_by_name(experiment, both[0].setup)
        for arm in arms.values():
            logs, same = _logs(both, arm)
            if len(logs) == 0:
                continue
            if arm.against == arm.name:
                paces.append(float(logs.mean()))
                continue
            found.append(
                Comparison(
                    experiment=experiment.name,
                    arm=arm.name,
                    prompts=len(logs),
                    ratio=float(np.exp(logs.mean())),
                    p=sign_flip(beyond(logs, margin)),
                    differs=False,
                    same_tokens=same,
                )
            )
    if not found and not paces:
        raise UsageError(
            f"{first.path} and {second.path} have no experiment, arm and prompt in common."
        )
    told = holm([comparison.p for comparison in found])
    return Difference(
        arms=[replace(c, differs=differs) for c, differs in zip(found, told, strict=True)],
        pace=float(np.exp(np.mean(paces))) if paces else None,
        settings=_settings(first, second),
        margin=margin,
    )


def beyond(logs: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """Differences less a margin: what of them is left where their mean exceeds it.

    Args:
        logs: logarithms of ratios, float64[pairs].
        margin: as a share, at least 0.

    Returns:
        The same, moved towards 0 by the margin; all 0 where their mean is within it.
    """
    mean, most = float(logs.mean()), float(np.log1p(margin))
    return logs - np.copysign(most, mean) if abs(mean) > most else np.zeros_like(logs)


def _logs(both: tuple[Results, Results], arm: Arm) -> tuple[NDArray[np.float64], float]:
    """The logarithm of each common prompt's ratio between the runs, and how many answers agree."""
    speeds = [_speeds(results, arm.name) for results in both]
    bases = [
        _speeds(results, arm.against)
        if arm.against != arm.name
        else dict.fromkeys(_speeds(results, arm.name), 1.0)
        for results in both
    ]
    common = [p for p in speeds[0] if all(p in each for each in (*speeds, *bases))]
    logs = np.array(
        [np.log(speeds[1][p] / bases[1][p]) - np.log(speeds[0][p] / bases[0][p]) for p in common]
    )
    said = [{s.prompt: s.tokens for s in results.samples(arm.name)} for results in both]
    same = [said[0][p] == said[1][p] for p in common]
    return logs, float(np.mean(same)) if same else 0.0


def _speeds(results: Results, arm: str) -> dict[int, float]:
    """Tokens a millisecond of each prompt that has two tokens."""
    samples = results.samples(arm)
    taken = times(samples, by_prompt, decode_of)
    prompts = sorted({sample.prompt for sample in samples})
    return {
        prompt: tokens / ms
        for prompt, ms, tokens in zip(prompts, taken.ms, taken.tokens, strict=True)
        if ms > 0 and tokens > 0
    }


def _experiments(folder: RunFolder) -> Sequence[str]:
    names: Sequence[str] = folder.description["experiments"]
    return names


def _settings(first: RunFolder, second: RunFolder) -> list[str]:
    """What was resolved differently."""
    keys = ("model_name", "fingerprint", "threads", "kernel")
    sides = [
        {
            **{key: folder.description.get(key) for key in keys},
            **folder.description["setup"],
            "processor": folder.description["machine"]["processor"],
        }
        for folder in (first, second)
    ]

    def show(value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    return [
        f"{key}: {show(sides[0].get(key))} → {show(sides[1].get(key))}"
        for key in dict.fromkeys([*sides[0], *sides[1]])
        if sides[0].get(key) != sides[1].get(key)
    ]
