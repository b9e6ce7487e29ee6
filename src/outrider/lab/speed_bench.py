"""What a contest says: how many times as fast each plan is as plain decoding, and by what.

A figure over all prompts takes the time of each group of prompts that were asked together, from its
first token to its last; with one stream that is the time of one answer. Figures over some of the
prompts, a category or those that do not loop, take each answer's own time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from outrider import registry
from outrider.errors import UsageError
from outrider.lab.contest import PLAIN, Sample, decode_of, end_to_end_of
from outrider.lab.statistics import ENOUGH, Interval, Times, looping, speedup
from outrider.plan import Plan
from outrider.types import Usage, summed

Measure = Callable[[Sequence[Sample]], tuple[float, int]]
"""Milliseconds and tokens of answers that belong together."""

Unit = Callable[[Sample], int]
"""What an answer is measured with: its group, or its prompt alone."""

PHASES = ("draft", "pass", "sampling", "rest")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of a plan on some prompts.

    Attributes:
        prompts: how many.
        tokens_per_second: decode speed, first to last token.
        speedup: how many times plain's that is; None where no answer has two tokens.
        end_to_end_tokens_per_second: the speed from the question to the last token.
        end_to_end_speedup: how many times plain's that is.
        usage: the counters and times of all answers and repeats, summed.
    """

    prompts: int
    tokens_per_second: float
    speedup: Interval | None
    end_to_end_tokens_per_second: float
    end_to_end_speedup: Interval | None
    usage: Usage

    def phase_ms(self, phase: str) -> float:
        """Milliseconds of one of `PHASES` in a step of an answer; its part, where several share."""
        steps = self.usage.steps
        return float(getattr(self.usage, f"{phase}_ms")) / steps if steps else 0.0

    @property
    def rows_per_step(self) -> float:
        """Rows that an answer has in a step: the pending token's and the drafted ones."""
        steps = self.usage.steps
        return (steps + self.usage.draft_tokens) / steps if steps else 0.0


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """What was measured of a plan.

    Attributes:
        overall: on all prompts.
        categories: by the prompts' category; without those that have none.
        looping_share: the share of its answers that loop.
        without_looping: the speed-up on the prompts that make neither it nor plain loop; None where
            there are none.
        saved_ms: milliseconds by which its answers came sooner than plain's, over all repeats.
        estimated_ms: what the cost curve puts in that place.
        exact: whether it has to say what plain says.
        different: the indices of the prompts on which it says something else.
        notes: why answers were not speculated to their end.
    """

    plan: Plan
    overall: Figures
    categories: dict[str, Figures]
    looping_share: float
    without_looping: Interval | None
    saved_ms: float
    estimated_ms: float
    exact: bool
    different: tuple[int, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpeedBench:
    """What was measured.

    Attributes:
        plans: in the order in which they were named, plain first.
        samples: every answer.
    """

    plans: tuple[PlanFigures, ...]
    samples: Sequence[Sample]

    @property
    def identical(self) -> bool:
        """Whether every plan that has to says what plain says."""
        return not any(figures.exact and figures.different for figures in self.plans)


def summarise(
    plans: Sequence[Plan], samples: Sequence[Sample], *, temperature: float = 0.0
) -> SpeedBench:
    """The figures of a contest.

    Args:
        plans: those of the contest; the first is `PLAIN`.
        samples: all of its answers.
        temperature: that they were sampled at.

    Raises:
        UsageError: plain is not there, or no answer has two tokens.
    """
    if not plans or plans[0] != PLAIN:
        raise UsageError("A speed-up is measured against plain decoding; let it be the first plan.")
    of_plan = {plan.name: [s for s in samples if s.plan == plan.name] for plan in plans}
    plain = of_plan[PLAIN.name]
    if not any(s.decode[1] for s in plain):
        raise UsageError(
            "No answer has two tokens, so there is no speed to measure; take other prompts."
        )
    return SpeedBench(
        tuple(
            _plan_figures(plan, plain, of_plan[plan.name], exact=is_exact(plan, temperature))
            for plan in plans
        ),
        samples,
    )


def is_exact(plan: Plan, temperature: float) -> bool:
    """Whether a plan has to say what plain decoding says, token for token."""
    if plan.plain or plan.verification == "coupled":
        return True
    return temperature == 0.0 and not registry.load("verifiers", plan.verification)().lossy


def _plan_figures(
    plan: Plan, plain: Sequence[Sample], own: Sequence[Sample], *, exact: bool
) -> PlanFigures:
    first = {s.prompt: s.tokens for s in plain if s.repeat == 0}
    loops = {s.prompt for s in (*plain, *own) if looping(s.tokens)}
    straight = [[s for s in samples if s.prompt not in loops] for samples in (plain, own)]
    categories = dict.fromkeys(s.category for s in plain if s.category is not None)
    return PlanFigures(
        plan=plan,
        overall=figures(plain, own, by_group),
        categories={
            category: figures(
                [s for s in plain if s.category == category],
                [s for s in own if s.category == category],
                by_prompt,
            )
            for category in categories
        },
        looping_share=sum(looping(s.tokens) for s in own) / len(own),
        without_looping=speedup(*(times(samples, by_prompt, decode_of) for samples in straight)),
        saved_ms=_total_ms(plain) - _total_ms(own),
        estimated_ms=sum(s.usage.saved_ms for s in own),
        exact=exact,
        different=tuple(sorted({s.prompt for s in own if s.tokens != first[s.prompt]})),
        notes=tuple(sorted({s.usage.note for s in own if s.usage.note is not None})),
    )


def figures(plain: Sequence[Sample], own: Sequence[Sample], unit: Unit) -> Figures:
    """What was measured, held against something else on the same prompts.

    Args:
        plain: the answers to hold against; the same ones have a speed-up of 1.
        own: those measured.
        unit: what an answer is measured with, `by_group` or `by_prompt`.
    """
    decode, end_to_end = (times(own, unit, measure) for measure in (decode_of, end_to_end_of))
    return Figures(
        prompts=len({s.prompt for s in own}),
        tokens_per_second=decode.per_second,
        speedup=speedup(times(plain, unit, decode_of), decode),
        end_to_end_tokens_per_second=end_to_end.per_second,
        end_to_end_speedup=speedup(times(plain, unit, end_to_end_of), end_to_end),
        usage=summed(s.usage for s in own),
    )


def by_group(sample: Sample) -> int:
    """The group that it was asked with."""
    return sample.group


def by_prompt(sample: Sample) -> int:
    """Its prompt alone."""
    return sample.prompt


def times(samples: Sequence[Sample], unit: Unit, measure: Measure) -> Times:
    """The times of the units in the order of their numbers."""
    found: dict[int, dict[int, list[Sample]]] = {}
    for sample in samples:
        found.setdefault(unit(sample), {}).setdefault(sample.repeat, []).append(sample)
    return Times.of(
        [[measure(repeat) for repeat in repeats.values()] for _, repeats in sorted(found.items())]
    )


def _total_ms(samples: Sequence[Sample]) -> float:
    """Milliseconds of decoding of all groups and repeats."""
    groups: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.repeat, sample.group), []).append(sample)
    return sum(decode_of(group)[0] for group in groups.values())


def verdict(bench: SpeedBench) -> str:
    """What it comes to, in words."""
    rivals = [found for found in bench.plans[1:] if found.overall.speedup is not None]
    sentences = []
    if rivals:
        best = max(rivals, key=_value)
        sentences.append(_compared(best))
        sentences += _slower_somewhere(best)
    for found in bench.plans:
        if found.exact and found.different:
            sentences.append(
                f"{found.plan.name} has to say what plain decoding says, and differs on prompt "
                f"{', '.join(map(str, found.different))}."
            )
    if bench.identical:
        sentences.append("Every answer that has to be plain's is.")
    return " ".join(sentences)


def _value(found: PlanFigures) -> float:
    return found.overall.speedup.value if found.overall.speedup else 0.0


def _compared(found: PlanFigures) -> str:
    name, said = found.plan.name, found.overall.speedup
    assert said is not None
    if said.low is None or said.high is None or said.units < ENOUGH:
        return (
            f"{name} is {said.value:.2f} times as fast as plain here, but the prompts are too few "
            "to say how fast it is on others."
        )
    times = f"{said.value:.2f} times (95%: {said.low:.2f} to {said.high:.2f})"
    if said.low > 1.0:
        return f"{name} is {times} as fast as plain."
    if said.high < 1.0:
        return f"Do not speculate here: the best plan, {name}, is {times} as fast as plain."
    return f"No plan is shown to be faster than plain; the best, {name}, is {times} as fast."


def _slower_somewhere(found: PlanFigures) -> list[str]:
    """The categories on which it is shown to be slower than plain."""
    slower = [
        f"{name} ({figures.speedup.value:.2f})"
        for name, figures in found.categories.items()
        if figures.speedup
        and figures.speedup.units >= ENOUGH
        and figures.speedup.high is not None
        and figures.speedup.high < 1.0
    ]
    return [f"It is slower on {', '.join(slower)}."] if slower else []
