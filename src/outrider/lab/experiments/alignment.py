"""Drafts from near to far: what agreement with the target is worth, and what it may cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from outrider.lab.experiment import (
    PLAIN_ARM,
    Arm,
    Bench,
    Cell,
    Experiment,
    Measured,
    Plot,
    Section,
    Setup,
    Table,
    fixed_arm,
)
from outrider.lab.experiments.alignment_plots import draw_costs, draw_speedups
from outrider.lab.experiments.drafts import (
    DECLARED,
    LENGTH,
    NEAR,
    WITHIN,
    Point,
    drafts_of,
    near,
    points_of,
)
from outrider.lab.experiments.words import exactness, share, times
from outrider.lab.results import Results
from outrider.lab.statistics import Finding, finding

QUICK_TOKENS: Final = 20
"""Of an answer, at most, where a first look is wanted: some of these drafts are slow."""


class Alignment(Experiment):
    """Approaches to drafting, and simulated drafts of chosen agreement beside them."""

    name: ClassVar[str] = "alignment"
    title: ClassVar[str] = "Agreement of draft and target"
    question: ClassVar[str] = (
        "How often does a draft have to be right for what it costs, and which drafts are?"
    )

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Plain, and each draft with the same number of tokens a step."""
        return [
            PLAIN_ARM,
            *(fixed_arm(draft.name, draft.spec, LENGTH) for draft in drafts_of(setup)),
        ]

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """Answers; shorter ones for a first look."""
        most = bench.setup.max_tokens
        if bench.setup.quick:
            most = min(most, QUICK_TOKENS)
        return Measured(samples=bench.ask(arm, cell, bench.setup.prompts, max_tokens=most))

    def section(self, results: Results) -> Section:
        """Agreement against cost, and against speed."""
        points = points_of(results)
        return Section(
            findings=(
                _verdict(points),
                *_needed(points),
                exactness(results, [point.draft.name for point in points]),
            ),
            plots=(
                Plot(
                    "alignment",
                    f"Each approach by what drafting a token costs and by how much of {LENGTH} "
                    "drafted tokens is accepted. Below the shaded area's edge drafting is slower "
                    "than not drafting; the lines above it are speed-ups by theory, with the "
                    "passes measured here. Hollow: simulated, at a declared cost.",
                    lambda figure: draw_costs(figure, points, results),
                    height=0.85,
                ),
                Plot(
                    "alignment-speedup",
                    "Speed-up by acceptance: every prompt a dot, all prompts together a mark with "
                    "its interval. Hollow: simulated, at a declared cost; the dashed line is what "
                    "theory says of that cost.",
                    lambda figure: draw_speedups(figure, points, results),
                    height=0.75,
                ),
            ),
            tables=(
                Table(
                    (
                        "draft",
                        "approach",
                        "a drafted token costs",
                        "accepted",
                        "needed to break even",
                        "times plain, all",
                        "typical prompt",
                    ),
                    [_row(results, point) for point in points if not point.simulated],
                    "costs: in steps of plain decoding; accepted: of drafted tokens; needed: the "
                    "acceptance below which it is slower than plain, at this cost and the passes "
                    "measured here.",
                ),
                Table(
                    (
                        "acceptance near",
                        "measured",
                        "accepted",
                        "times plain",
                        "simulated",
                        "accepted",
                        "times plain",
                    ),
                    [_near(results, points, rate) for rate in NEAR],
                    f"measured: the draft with most prompts within {WITHIN:.0%} of that "
                    "acceptance, on those prompts alone; simulated: the target's own logits with "
                    f"noise, as if drafting a token took {DECLARED:g} of a pass of the target, or "
                    "what was declared with the drafter.",
                ),
            ),
            notes=(
                *_missing(results.setup),
                "A draft model reads the prompt too, with its first drafts. That is part of what "
                "its tokens cost here, and weighs the more the shorter answers are.",
                "Simulated drafts are drafted with passes of the target, which take as long as "
                "plain decoding: they are measured as slow as that, and shown as if they had taken "
                "the declared cost instead. They support no answer and no advice.",
            ),
        )

    def answers(self, results: Results) -> Mapping[str, str]:
        """Why agreement matters, and where drafting breaks even; of measured drafts alone."""
        points = [point for point in points_of(results) if not point.simulated]
        told = {"break-even": " ".join((*_needed(points), _verdict(points)))}
        drafted = [point for point in points if point.costs is not None]
        if len(drafted) > 1:
            low, high = (f(drafted, key=lambda point: point.rate) for f in (min, max))
            told["alignment"] = (
                "What is drafted costs a row of the pass and the drafting, right or wrong; only "
                f"what agrees with the target comes back. With {LENGTH} tokens drafted a step, "
                f"{high.draft.name} agrees in {share(high.rate)} and is {times(high.ratio)} times "
                f"as fast as plain decoding; {low.draft.name} agrees in {share(low.rate)} and is "
                f"{times(low.ratio)}. Agreement is not all: {_dearest(drafted)}"
            )
        return told

    def advice(self, results: Results) -> Sequence[str]:
        """What not to draft with, where that is shown."""
        slower = [
            point
            for point in points_of(results)
            if not point.simulated
            and not point.draft.floor
            and finding(point.ratio) is Finding.SLOWER
        ]
        if not slower:
            return ()
        told = "; ".join(f"{point.draft.name} ({times(point.ratio)})" for point in slower)
        return (
            f"Do not draft {LENGTH} tokens at every step with {told}: here that is slower than "
            "plain decoding.",
        )


def _verdict(points: Sequence[Point]) -> str:
    """Which approaches are shown to pay."""
    measured = [point for point in points if not point.simulated]
    faster = [point for point in measured if finding(point.ratio) is Finding.FASTER]
    if faster:
        told = ", ".join(f"{point.draft.name} ({times(point.ratio)} times)" for point in faster)
        return f"Faster than plain decoding, with {LENGTH} tokens drafted a step: {told}."
    best = max(measured, key=lambda point: point.ratio.value if point.ratio else 0.0)
    return (
        f"No draft of {LENGTH} tokens a step is shown to be faster than plain decoding; the best, "
        f"{best.draft.name}, is {times(best.ratio)} times as fast."
    )


def _needed(points: Sequence[Point]) -> Sequence[str]:
    """What each measured draft needs to break even, and what it has."""
    told = []
    for point in points:
        if point.simulated or point.draft.floor or point.costs is None:
            continue
        needed = point.break_even
        told.append(
            f"{point.draft.name} would be slower whatever is accepted"
            if needed is None
            else f"{point.draft.name} needs {share(needed)} and has {share(point.rate)}"
        )
    if not told:
        return ()
    return (f"To lose nothing against plain decoding, of the drafted tokens {'; '.join(told)}.",)


def _dearest(points: Sequence[Point]) -> str:
    """What the dearest of the drafts pays for its agreement."""
    dearest = max(points, key=lambda point: point.costs.c if point.costs else 0.0)
    needed = dearest.break_even
    cost = dearest.costs.c if dearest.costs else 0.0
    return f"a token of {dearest.draft.name} takes {cost:.2f} of a plain step, so that it " + (
        "could not pay if all were accepted."
        if needed is None
        else f"pays from {share(needed)} on."
    )


def _missing(setup: Setup) -> Sequence[str]:
    """What could not be measured, and what it would take."""
    told = []
    approaches = {draft.approach for draft in drafts_of(setup)}
    if "separate model" not in approaches:
        told.append("No draft model of the same tokenizer took part; `--draft-model NAME` adds it.")
    if "another family" not in approaches:
        told.append(
            "No model of another family took part; "
            "`--drafter model:draft_model=NAME,through_text=true` adds it."
        )
    if "4-bit copy" not in approaches:
        told.append(
            "A 4-bit copy is left out: the model has 4 bits a weight or so already, or the extra "
            "`quantize` is not installed."
        )
    if "early exit" not in approaches:
        told.append("Early exit is left out: this engine cannot stop after some layers.")
    return told


def _row(results: Results, point: Point) -> tuple[str, ...]:
    drafted = point.costs is not None
    needed = point.break_even
    return (
        point.draft.name,
        point.draft.approach,
        f"{point.costs.c:.3f}" if point.costs else "–",
        share(point.rate) if drafted else "–",
        (share(needed) if needed is not None else "never pays") if drafted else "–",
        times(point.ratio),
        times(results.typical(point.draft.name)),
    )


def _near(results: Results, points: Sequence[Point], rate: float) -> tuple[str, ...]:
    """Measured and simulated speed-ups near an acceptance."""
    found = near(results, [p for p in points if not p.simulated], rate)
    measured = ("none", "–", "–")
    if found is not None:
        name = f"{found.draft.name}, {found.prompts} prompt{'s' if found.prompts > 1 else ''}"
        measured = (name, share(found.rate), times(found.ratio))
    simulated = [p for p in points if p.simulated and abs(p.rate - rate) <= WITHIN]
    if not simulated:
        return (share(rate), *measured, "none", "–", "–")
    closest = min(simulated, key=lambda point: abs(point.rate - rate))
    return (
        share(rate),
        *measured,
        closest.draft.name,
        share(closest.rate),
        times(closest.ratio),
    )
