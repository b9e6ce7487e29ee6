"""What to do, from what was predicted of plans and what was measured of the best of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from outrider.lab.contest import PLAIN
from outrider.lab.prediction import Prediction
from outrider.lab.statistics import ENOUGH, Interval
from outrider.plan import Plan


@dataclass(frozen=True, slots=True)
class Trial:
    """A plan that was predicted on one half of the prompts, and perhaps measured on the other.

    Attributes:
        plan: what it is.
        prediction: from the half that was fitted.
        measured: its speed-up on the other half; None where it was not measured.
    """

    plan: Plan
    prediction: Prediction
    measured: Interval | None = None

    @property
    def error(self) -> float | None:
        """By which share the prediction was above what was measured, or below it."""
        if self.measured is None:
            return None
        return self.prediction.speedup.value / self.measured.value - 1.0

    @property
    def pays(self) -> bool:
        """Whether the other half shows that it is faster than plain decoding."""
        measured = self.measured
        return measured is not None and measured.units >= ENOUGH and (measured.low or 0.0) > 1.0

    @property
    def overall(self) -> float:
        """The speed-up by both halves; by the prediction alone where nothing was measured."""
        foreseen = self.prediction.speedup.value
        return foreseen if self.measured is None else math.sqrt(foreseen * self.measured.value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do.

    Attributes:
        plan: the plan to use; `PLAIN` where speculation does not pay.
        trial: what it rests on: that plan's, or the best one's that does not pay; None where
            nothing was measured.
        text: the same in words.
    """

    plan: Plan
    trial: Trial | None
    text: str


def best_of_each(trials: Sequence[Trial]) -> list[Trial]:
    """The best plan of each drafter, best first."""
    best: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda trial: trial.overall, reverse=True):
        best.setdefault(trial.plan.drafter, trial)
    return list(best.values())


def judge(trials: Sequence[Trial]) -> Verdict:
    """The plan that is best by both halves among those that the measured half shows to pay.

    Both halves choose, since that is the most that is known; what to expect is said by the half
    that was not fitted.

    Args:
        trials: of plans that were measured, or not.
    """
    measured = [trial for trial in trials if trial.measured is not None]
    if not measured:
        return Verdict(PLAIN, None, "Do not speculate here: there was no drafter to measure.")
    paying = [trial for trial in measured if trial.pays]
    best = max(paying or measured, key=lambda trial: trial.overall)
    return Verdict(best.plan if paying else PLAIN, best, _use(best) if paying else _do_not(best))


def _use(trial: Trial) -> str:
    assert trial.measured is not None
    return (
        f"Use {trial.plan.name}: expect {_speedup(trial.measured)} plain decoding. "
        f"It was predicted {trial.prediction.speedup.value:.2f}×. {_balance(trial.prediction)}"
    )


def _do_not(trial: Trial) -> str:
    """Why the best of those that do not pay does not."""
    assert trial.measured is not None
    if trial.measured.units < ENOUGH:
        shown = (
            f"and that on {trial.measured.units} of the prompts alone, too few to say what others "
            f"give; take {2 * ENOUGH} or more"
        )
    elif (trial.measured.high or 0.0) <= 1.0:
        shown = "slower than plain decoding"
    else:
        shown = "so it may be no faster than plain decoding"
    return (
        f"Do not speculate here: the best, {trial.plan.name}, was measured "
        f"{_speedup(trial.measured)}, {shown}. {_balance(trial.prediction)}"
    )


def _speedup(measured: Interval) -> str:
    if measured.low is None or measured.high is None:
        return f"{measured.value:.2f}×"
    return f"{measured.value:.2f}× ({measured.low:.2f}–{measured.high:.2f})"


def _balance(prediction: Prediction) -> str:
    """What comes of a step against what it takes."""
    step = (
        f"A step takes {prediction.step:.2f} plain ones and brings "
        f"{prediction.tokens_per_pass:.2f} tokens"
    )
    if prediction.drafting >= 0.1:
        step += f" ({prediction.drafting:.0%} of it is drafting)"
    limit = prediction.break_even
    if not prediction.acceptance_rate and limit == 0.0:
        return f"{step}; next to nothing is drafted."
    needed = "no acceptance would break even" if limit is None else f"it breaks even at {limit:.0%}"
    return f"{step}. {prediction.acceptance_rate:.0%} of drafted tokens are accepted; {needed}."
