"""Acceptance and speed by temperature, under each rule of verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from outrider.lab.experiment import FIXED, Arm, Experiment, Plot, Section, Setup, Table
from outrider.lab.experiments.words import differing, drawing, share, times, verdict
from outrider.lab.plots import break_even, whiskers
from outrider.lab.results import Results
from outrider.lab.statistics import Finding, finding
from outrider.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPERATURES = (0.0, 0.1, 0.5, 0.7, 1.0, 1.5, 2.0)
FEWER = (0.0, 0.5, 1.0, 1.5, 2.0)
RULES = ("coupled", "rejection", "typical")
LENGTH = 4


class Temperature(Experiment):
    """Temperatures from 0 to 2.

    Args:
        drafter: instead of the run's first one.
        length: K, drafted tokens a step.
    """

    name: ClassVar[str] = "temperature"
    title: ClassVar[str] = "Temperature"
    question: ClassVar[str] = (
        "How does the temperature change acceptance, and where does drafting stop paying?"
    )

    def __init__(self, *, drafter: str | None = None, length: int = LENGTH) -> None:
        self._drafter = drafter
        self._length = length

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Plain decoding and each rule at each temperature."""
        drafter = self._drafter or setup.drafter
        found = []
        for at in FEWER if setup.quick else TEMPERATURES:
            found.append(
                Arm(
                    name=_plain(at),
                    settings={"speculation": False, "temperature": at},
                    against=_plain(at),
                )
            )
            found += [
                Arm(
                    name=_arm(rule, at),
                    settings={
                        "temperature": at,
                        "drafter": drawing(drafter) if rule == "rejection" else drafter,
                        "controller": FIXED,
                        "num_draft_tokens": self._length,
                        "verification": rule,
                    },
                    against=_plain(at),
                )
                for rule in RULES
            ]
        return found

    def section(self, results: Results) -> Section:
        """Acceptance and speed-up by temperature."""
        at = _measured_at(results)
        coldest, hottest = (
            results.figures(_arm("coupled", t), _plain(t)).usage.acceptance_rate
            for t in (at[0], at[-1])
        )
        wrong = sum(differing(results, _arm("coupled", t), _plain(t)) for t in at)
        return Section(
            findings=(
                _where_it_stops(results, at),
                f"Under coupling {share(coldest)} of the drafted tokens are accepted at "
                f"temperature {at[0]:g}, and {share(hottest)} at {at[-1]:g}.",
                "At every temperature the coupled answers are plain decoding's, token for token."
                if not wrong
                else f"{wrong} coupled answers differ from plain decoding's, which they must not.",
            ),
            plots=(
                Plot(
                    "temperature",
                    "Accepted of drafted tokens, and speed-up over plain decoding at the same "
                    "temperature, under each rule.",
                    lambda figure: _draw(figure, results, at),
                    height=1.1,
                ),
            ),
            tables=(
                Table(
                    (
                        "temperature",
                        *(f"{rule}, accepted" for rule in RULES),
                        *(f"{rule}, times plain" for rule in RULES),
                    ),
                    [
                        (
                            f"{t:g}",
                            *(share(_rate(results, rule, t)) for rule in RULES),
                            *(times(results.total(_arm(rule, t), _plain(t))) for rule in RULES),
                        )
                        for t in at
                    ],
                ),
            ),
            notes=(
                "Coupled verification is exact token for token, rejection in distribution; typical "
                "is lossy: it says other things than the model would, so its speed is no fair "
                "comparison. Rejection is given drawn drafts where the drafter can draw.",
            ),
        )

    def answers(self, results: Results) -> Mapping[str, str]:
        """How acceptance changes, and where drafting stops paying."""
        where, acceptance, *_ = self.section(results).findings
        return {"stops": where, "temperature": acceptance}

    def advice(self, results: Results) -> Sequence[str]:
        """Up to which temperature to speculate."""
        at = _measured_at(results)
        ratios = {t: results.total(_arm("coupled", t), _plain(t)) for t in at}
        slower = [t for t in at if finding(ratios[t]) is Finding.SLOWER]
        if not slower:
            return ()
        return (
            f"Do not draft {self._length} tokens whatever comes at temperature {min(slower):g}: it "
            f"is slower there ({times(ratios[min(slower)])}).",
        )


def _measured_at(results: Results) -> list[float]:
    return [t for t in TEMPERATURES if all(results.of(_arm(rule, t)) for rule in RULES)]


def _plain(at: float) -> str:
    return f"plain at {at:g}"


def _arm(rule: str, at: float) -> str:
    return f"{rule} at {at:g}"


def _rate(results: Results, rule: str, at: float) -> float:
    return results.figures(_arm(rule, at), _plain(at)).usage.acceptance_rate


def _where_it_stops(results: Results, at: Sequence[float]) -> str:
    """The first temperature from which on coupled drafting is not shown to be faster."""
    ratios = {t: results.total(_arm("coupled", t), _plain(t)) for t in at}
    paying = [t for t in at if finding(ratios[t]) is Finding.FASTER]
    if not paying:
        best = max(at, key=lambda t: r.value if (r := ratios[t]) else 0.0)
        return "At no temperature is drafting shown to pay. " + verdict(
            f"Coupled drafting at temperature {best:g}", ratios[best]
        )
    last = max(paying)
    if last == at[-1]:
        return f"Drafting pays up to temperature {last:g}, the highest that was measured."
    following = at[list(at).index(last) + 1]
    return (
        f"Drafting pays up to temperature {last:g} ({times(ratios[last])} times plain); at "
        f"{following:g} it is not shown to pay any more ({times(ratios[following])})."
    )


def _draw(figure: Figure, results: Results, at: Sequence[float]) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True)
    for number, rule in enumerate(RULES):
        colour = COLOURS[number]
        style = "--" if rule == "typical" else "-"
        rates = [_rate(results, rule, t) for t in at]
        upper.plot(at, rates, marker="o", linestyle=style, color=colour, label=rule)
        ratios = [results.total(_arm(rule, t), _plain(t)) for t in at]
        whiskers(lower, at, ratios, linestyle=style, color=colour)
    upper.set_ylim(0, 1)
    upper.set_ylabel("accepted of drafted")
    upper.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=len(RULES))
    break_even(lower)
    lower.set_ylim(bottom=0)
    lower.set_ylabel("times plain")
    lower.set_xlabel("temperature")
