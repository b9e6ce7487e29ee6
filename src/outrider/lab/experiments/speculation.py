"""Plain decoding against every drafter, as it is shipped and with drafts of one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from outrider.lab.experiment import (
    FIXED,
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
    exactness,
    share,
    step_costs,
    step_ms,
    times,
    verdict,
)
from outrider.lab.plots import strips
from outrider.lab.results import Results
from outrider.style import COLOURS, FAINT
from outrider.theory import acceptance_rate, alpha_of_rate, break_even

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTH = 4


class SpeculationExperiment(Experiment):
    """Which drafter helps, by how much, and whether theory would have said so."""

    name: ClassVar[str] = "speculation"
    title: ClassVar[str] = "Drafters"
    question: ClassVar[str] = "Does speculation help here, and with which drafter?"

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Plain, and each drafter under the controller `cost` and with drafts of one length."""
        return [
            PLAIN_ARM,
            *(Arm(name=drafter, settings={"drafter": drafter}) for drafter in setup.drafters),
            *(fixed_arm(_fixed(drafter), drafter, LENGTH) for drafter in setup.drafters),
        ]

    def section(self, results: Results) -> Section:
        """Speed-ups and acceptance, and what theory makes of them."""
        drafters, arms = _measured(results)
        best = _best(results, arms)
        return Section(
            findings=(
                verdict(best, results.total(best)),
                f"On a typical prompt it is {times(results.typical(best))} times as fast.",
                exactness(results, arms),
            ),
            plots=(
                Plot(
                    "speculation",
                    "How many times as fast as plain decoding: every prompt a dot, all prompts "
                    "together the bar with its interval.",
                    lambda figure: _draw_speedups(figure, results, arms),
                    height=max(0.09 * len(arms) + 0.12, 0.4),
                ),
                Plot(
                    "speculation-theory",
                    f"Every prompt with drafts of {LENGTH} tokens: the speed-up that theory gives "
                    "for its acceptance, with the measured costs of drafting and of passes, and "
                    "the one that was measured. On the line the two agree.",
                    lambda figure: _draw_theory(figure, results, drafters),
                    height=0.8,
                ),
            ),
            tables=(
                Table(
                    (
                        "drafter",
                        "tokens/s",
                        "times plain, all",
                        "typical prompt",
                        "accepted",
                        "length",
                        "step, ms",
                        "drafting",
                    ),
                    [_row(results, arm) for arm in (PLAIN_ARM.name, *arms)],
                    "accepted: of drafted tokens; length: tokens gained a pass, the bonus token "
                    "included; drafting: its share of a step.",
                ),
            ),
            notes=(
                f"`{FIXED} {LENGTH}` drafts {LENGTH} tokens whenever there is something to draft; "
                "the others leave the length to the controller `cost`.",
            ),
        )

    def answers(self, results: Results) -> Mapping[str, str]:
        """The speed-up, the acceptance, why agreement matters, and where drafting breaks even."""
        drafters, arms = _measured(results)
        best = _best(results, arms)
        usage = results.figures(best).usage
        return {
            "speedup": " ".join(self.section(results).findings[:2]),
            "acceptance": f"{best} drafts {usage.draft_tokens} tokens, of which "
            f"{share(usage.acceptance_rate)} are accepted: {usage.mean_accepted_length:.2f} tokens "
            f"a step. {_spread(results, best)}",
            "alignment": _alignment(results, drafters),
            "break-even": " ".join(_break_even(results, drafter) for drafter in drafters),
        }


def _measured(results: Results) -> tuple[list[str], list[str]]:
    """The drafters, and all arms but plain."""
    drafters = [d for d in results.setup.drafters if results.of(d)]
    return drafters, [*drafters, *(_fixed(d) for d in drafters if results.of(_fixed(d)))]


def _best(results: Results, arms: Sequence[str]) -> str:
    return max(arms, key=lambda arm: ratio.value if (ratio := results.total(arm)) else 0.0)


def _spread(results: Results, arm: str) -> str:
    """The prompts on which most and least was accepted."""
    rates = {
        prompt: usage.acceptance_rate
        for prompt in dict.fromkeys(s.prompt for s in results.samples(arm))
        if (usage := results.on(prompt).figures(arm).usage).draft_tokens
    }
    if len(rates) < 2:
        return ""
    named = {p.index: p.category or f"prompt {p.index}" for p in results.setup.prompts}
    low, high = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    return (
        f"From prompt to prompt it is {share(rates[low])} ({named[low]}) to {share(rates[high])} "
        f"({named[high]})."
    )


def _alignment(results: Results, drafters: Sequence[str]) -> str:
    """Acceptance and speed-up of the drafters that agree most and least with the target."""
    rates = {d: results.figures(_fixed(d)).usage.acceptance_rate for d in drafters}
    if len(rates) < 2:
        return "Only one drafter was measured; several would show it."
    low, high = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    return (
        f"Every drafted token costs a row of the pass, and only accepted ones come back. With "
        f"{LENGTH} tokens drafted, {high} has {share(rates[high])} accepted and is "
        f"{times(results.total(_fixed(high)))} times as fast as plain; {low} has "
        f"{share(rates[low])} and is {times(results.total(_fixed(low)))}."
    )


def _break_even(results: Results, drafter: str) -> str:
    """The share of accepted tokens at which a drafter gains what it costs."""
    costs = step_costs(results, _fixed(drafter))
    if costs is None:
        return f"{drafter} drafted nothing."
    alpha = break_even(costs.c, LENGTH, costs.v)
    if alpha is None:
        return f"{drafter} would be slower whatever is accepted."
    return f"{drafter}: {share(acceptance_rate(alpha, LENGTH))} of {LENGTH} drafted tokens."


def _fixed(drafter: str) -> str:
    return f"{drafter}, {FIXED} {LENGTH}"


def _row(results: Results, arm: str) -> tuple[str, ...]:
    figures = results.figures(arm)
    usage, step = figures.usage, step_ms(figures)
    plain = arm == PLAIN_ARM.name
    return (
        arm,
        f"{figures.tokens_per_second:.1f}",
        "1" if plain else times(results.total(arm)),
        "1" if plain else times(results.typical(arm)),
        share(usage.acceptance_rate) if usage.draft_tokens else "–",
        f"{usage.mean_accepted_length:.2f}",
        f"{step:.2f}",
        share(figures.phase_ms("draft") / step) if step else "–",
    )


def _draw_speedups(figure: Figure, results: Results, arms: Sequence[str]) -> None:
    axes = figure.subplots()
    drafters = list(results.setup.drafters)
    strips(
        axes,
        arms,
        [results.ratios(arm) for arm in arms],
        [results.total(arm) for arm in arms],
        [COLOURS[drafters.index(arm.removesuffix(_fixed(""))) % len(COLOURS)] for arm in arms],
    )


def _draw_theory(figure: Figure, results: Results, drafters: Sequence[str]) -> None:
    axes = figure.subplots()
    most = 1.0
    for number, drafter in enumerate(drafters):
        points = _foreseen_and_measured(results, _fixed(drafter))
        if points:
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(
                *zip(*points, strict=True),
                "o",
                color=colour,
                alpha=0.75,
                markersize=4,
                label=drafter,
            )
            most = max(most, *(value for point in points for value in point))
    axes.plot([0, most * 1.08], [0, most * 1.08], color=FAINT, linewidth=1)
    axes.set_xlim(0, most * 1.08)
    axes.set_ylim(0, most * 1.08)
    axes.set_xlabel("times as fast as plain decoding, by theory")
    axes.set_ylabel("as measured")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left")
    else:
        axes.set_title("no prompt had a draft", loc="left", color=FAINT)


def _foreseen_and_measured(results: Results, arm: str) -> list[tuple[float, float]]:
    """The speed-up of each prompt: by theory from its acceptance, and as measured."""
    found = []
    for prompt in dict.fromkeys(s.prompt for s in results.samples(arm)):
        alone = results.on(prompt)
        usage, ratio = alone.figures(arm).usage, alone.total(arm)
        costs = step_costs(results, arm)
        if costs is None or ratio is None or not usage.draft_tokens:
            continue
        own = replace(costs, drafted=usage.draft_steps / usage.steps)
        alpha = alpha_of_rate(usage.acceptance_rate, LENGTH)
        found.append((own.speedup(alpha, LENGTH), ratio.value))
    return found
