"""Drafts of every length: where the curve bends, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from outrider.lab.experiment import (
    PLAIN_ARM,
    Arm,
    Experiment,
    Plot,
    Section,
    Setup,
    Table,
    fixed_arm,
)
from outrider.lab.experiments.words import (
    conditional,
    exactness,
    share,
    step_costs,
    times,
    verdict,
)
from outrider.lab.plots import break_even, whiskers
from outrider.lab.results import Results
from outrider.lab.speed_bench import PHASES
from outrider.style import COLOURS, FAINT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)
DOUBLED = (4, 8)
"""A length and its double, of which the report says why the speed is not doubled."""


class KSweep(Experiment):
    """The draft length K from 0 to 16.

    Args:
        drafter: instead of the run's first one.
    """

    name: ClassVar[str] = "k-sweep"
    title: ClassVar[str] = "Draft length"
    question: ClassVar[str] = "How many tokens should be drafted at a time, and why not more?"

    def __init__(self, *, drafter: str | None = None) -> None:
        self._drafter = drafter

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """K = 0 is plain decoding."""
        drafter = self._drafter or setup.drafter
        return [
            PLAIN_ARM,
            *(fixed_arm(_arm(length), drafter, length) for length in LENGTHS),
        ]

    def section(self, results: Results) -> Section:
        """The measured curve, the theory's, and the phases of a step."""
        lengths = _measured_at(results)
        ratios = {k: results.total(_arm(k)) for k in lengths}
        foreseen = _foreseen(results, lengths)
        best = max(lengths, key=lambda k: r.value if (r := ratios[k]) else 0.0)
        by_theory = max([0, *lengths], key=lambda k: foreseen.get(k, 1.0 if k == 0 else 0.0))
        drafter = self._drafter or results.setup.drafter
        return Section(
            findings=(
                verdict(f"The best length, K = {best}, of the drafter {drafter}", ratios[best]),
                f"Theory, fed with the acceptance and the costs measured here, puts it at "
                f"K = {by_theory}.",
                _why(results),
                exactness(results, [_arm(k) for k in lengths]),
            ),
            plots=(
                Plot(
                    "k-sweep",
                    "Speed-up by draft length, as measured with its interval, and as theory puts "
                    "it from the acceptance at each position, the cost of drafting and of passes.",
                    lambda figure: _draw_curve(figure, results, lengths, foreseen),
                ),
                Plot(
                    "k-sweep-phases",
                    "Where the milliseconds of a token go: a longer draft divides the pass over "
                    "more tokens, until further rows and further drafting cost more than they "
                    "bring.",
                    lambda figure: _draw_phases(figure, results, lengths),
                ),
            ),
            tables=(
                Table(
                    (
                        "K",
                        "tokens/s",
                        "times plain, all",
                        "typical prompt",
                        "by theory",
                        "accepted",
                        "length",
                        *(f"{phase}, ms" for phase in PHASES),
                    ),
                    [_row(results, k, foreseen) for k in (0, *lengths)],
                    "Phases are those of a step; length: tokens gained a step.",
                ),
            ),
        )

    def answers(self, results: Results) -> Mapping[str, str]:
        """The best length, why longer is not faster, and how far it all is from theory."""
        best, theory, why, *_ = self.section(results).findings
        return {
            "length": f"{best} {theory}",
            "doubling": why,
            "maximum": _distance(results, _measured_at(results)),
        }


def _measured_at(results: Results) -> list[int]:
    return [k for k in LENGTHS if results.of(_arm(k))]


def _distance(results: Results, lengths: Sequence[int]) -> str:
    """The best speed-up beside what the same length would bring if all of it were right."""
    ratios = {k: r for k in lengths if (r := results.total(_arm(k))) is not None}
    best = max(ratios, key=lambda k: ratios[k].value)
    costs = step_costs(results, _arm(best))
    if costs is None:
        return "Nothing was drafted, so nothing can be said."
    foreseen = _foreseen(results, lengths)[best]
    most = replace(costs, drafted=1.0).speedup(1.0, best)
    return (
        f"At K = {best} it is {times(ratios[best])} times; theory gives {foreseen:.2f} for the "
        f"acceptance and costs measured, and {most:.2f} if every token of a draft were accepted "
        f"and every step had one. It is acceptance that is missing: {best + 1} tokens a step would "
        f"be the most, and {results.figures(_arm(best)).usage.mean_accepted_length:.2f} came."
    )


def _arm(length: int) -> str:
    return f"K={length}" if length else PLAIN_ARM.name


def _foreseen(results: Results, lengths: Sequence[int]) -> Mapping[int, float]:
    """The theory's speed-up at each length.

    Acceptance by position is that of the longest drafts; what drafting a token costs is each
    length's own, because a drafter may take as long for one token as for several.
    """
    longest = max(lengths)
    alphas = conditional(results.figures(_arm(longest)), longest)
    found = {}
    for length in lengths:
        costs = step_costs(results, _arm(length))
        if costs is not None:
            found[length] = costs.speedup(alphas, length)
    return found


def _why(results: Results) -> str:
    """Why twice the length is not twice the speed, in numbers."""
    short, long = (results.figures(_arm(k)) for k in DOUBLED)
    return (
        f"From K = {DOUBLED[0]} to K = {DOUBLED[1]} a step gains "
        f"{long.usage.mean_accepted_length:.2f} tokens instead of "
        f"{short.usage.mean_accepted_length:.2f}, while its pass takes "
        f"{long.phase_ms('pass'):.1f} ms instead of {short.phase_ms('pass'):.1f} and its drafting "
        f"{long.phase_ms('draft'):.1f} instead of {short.phase_ms('draft'):.1f}: a token counts "
        "only if all before it were right, so later ones are accepted less often "
        f"({share(long.usage.acceptance_rate)} of all drafted instead of "
        f"{share(short.usage.acceptance_rate)})."
    )


def _row(results: Results, length: int, foreseen: Mapping[int, float]) -> tuple[str, ...]:
    arm = _arm(length)
    figures = results.figures(arm)
    usage = figures.usage
    return (
        str(length),
        f"{figures.tokens_per_second:.1f}",
        times(results.total(arm)) if length else "1",
        times(results.typical(arm)) if length else "1",
        f"{foreseen[length]:.2f}" if length in foreseen else ("1" if not length else "–"),
        share(usage.acceptance_rate) if usage.draft_tokens else "–",
        f"{usage.mean_accepted_length:.2f}",
        *(f"{figures.phase_ms(phase):.2f}" for phase in PHASES),
    )


def _draw_curve(
    figure: Figure, results: Results, lengths: Sequence[int], foreseen: Mapping[int, float]
) -> None:
    axes = figure.subplots()
    for length in lengths:
        ratios = results.ratios(_arm(length))
        axes.plot([length] * len(ratios), ratios, "o", color=COLOURS[0], alpha=0.22, markersize=3)
    measured = [results.total(_arm(k)) for k in lengths]
    whiskers(axes, lengths, measured, color=COLOURS[0], label="measured, all prompts")
    axes.plot(
        [0, *foreseen],
        [1.0, *foreseen.values()],
        "s--",
        color=COLOURS[1],
        markersize=4,
        label="by theory",
    )
    break_even(axes)
    axes.set_xticks([0, *lengths])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("drafted tokens a step, K")
    axes.set_ylabel("times as fast as plain decoding")
    axes.legend(loc="best")


def _draw_phases(figure: Figure, results: Results, lengths: Sequence[int]) -> None:
    axes = figure.subplots()
    shown = [0, *lengths]
    bottoms = [0.0] * len(shown)
    for number, phase in enumerate(PHASES):
        heights = []
        for length in shown:
            figures = results.figures(_arm(length))
            gained = figures.usage.mean_accepted_length
            heights.append(figures.phase_ms(phase) / gained if gained else 0.0)
        places = range(len(shown))
        axes.bar(places, heights, 0.75, bottoms, color=COLOURS[number], label=phase)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    axes.axhline(bottoms[0], color=FAINT, linewidth=1)
    axes.set_xticks(range(len(shown)), [str(k) for k in shown])
    axes.set_xlabel("drafted tokens a step, K")
    axes.set_ylabel("ms a token")
    axes.xaxis.grid(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=len(PHASES))
