"""What several experiments say in the same way: ratios, phases, the costs that theory asks for."""

from __future__ import annotations

from dataclasses import dataclass

from outrider import registry
from outrider.errors import UsageError
from outrider.lab.experiment import PLAIN_ARM
from outrider.lab.results import Results
from outrider.lab.speed_bench import PHASES, Figures
from outrider.lab.statistics import Finding, Interval, finding
from outrider.theory import RowsCost, expected_tokens, rows_cost


def times(ratio: Interval | None) -> str:
    """A ratio of speeds with its interval: 1.42 (1.31–1.55)."""
    if ratio is None:
        return "–"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f}"
    return f"{ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


def share(value: float) -> str:
    """A share for people: 42%."""
    return f"{value:.0%}"


def verdict(name: str, ratio: Interval | None, against: str = "plain decoding") -> str:
    """A sentence about a ratio of speeds."""
    match finding(ratio):
        case Finding.FASTER:
            return f"{name} is {times(ratio)} times as fast as {against}."
        case Finding.SLOWER:
            return f"{name} is slower than {against}: {times(ratio)} times as fast."
        case _:
            return (
                f"{name} is {times(ratio)} times as fast as {against}, so whether it is faster is "
                "undecided."
            )


def step_ms(figures: Figures) -> float:
    """Milliseconds of an answer's part of a step, all phases."""
    return sum(figures.phase_ms(phase) for phase in PHASES)


def differing(results: Results, arm: str, against: str = PLAIN_ARM.name) -> int:
    """How many prompts an arm answers in other words than another arm does."""
    said = {s.prompt: s.tokens for s in results.samples(against)}
    return len({s.prompt for s in results.samples(arm) if s.tokens != said.get(s.prompt)})


def exactness(results: Results, arms: list[str]) -> str:
    """A sentence about whether arms that must say what plain decoding says do so."""
    wrong = {arm: count for arm in arms if (count := differing(results, arm))}
    if not wrong:
        return "Every answer is plain decoding's, token for token."
    told = ", ".join(f"{arm} on {count} prompts" for arm, count in wrong.items())
    return f"Answers differ from plain decoding's, which they must not: {told}."


@dataclass(frozen=True, slots=True)
class StepCosts:
    """What theory asks for, as measured; the unit is a step of plain decoding, all phases.

    Attributes:
        c: of drafting a token.
        v: of a step over so many rows without its drafting.
        drafted: the share of steps that draft.
    """

    c: float
    v: RowsCost
    drafted: float

    def speedup(self, alpha: float | list[float], length: int) -> float:
        """E / (K·c + v(K + 1)), where only a share of the steps draft and the others are plain."""
        gained = self.drafted * expected_tokens(alpha, length) + 1.0 - self.drafted
        taken = self.drafted * (length * self.c + self.v(length + 1)) + 1.0 - self.drafted
        return gained / taken


def step_costs(results: Results, arm: str) -> StepCosts | None:
    """The costs of an arm's steps; None where it never drafted.

    A pass over M rows is taken to be as much longer than a plain one as the median such pass was;
    all else in a step takes what it takes in plain decoding.
    """
    plain, own = results.figures(PLAIN_ARM.name), results.figures(arm)
    passes = results.pass_ms()
    usage, unit = own.usage, step_ms(plain)
    if not usage.draft_tokens or len(passes) < 2 or 1 not in passes or unit <= 0.0:
        return None
    other = unit - passes[1]
    return StepCosts(
        c=usage.draft_ms / usage.draft_tokens / unit,
        v=rows_cost({rows: ms + other for rows, ms in passes.items() if ms + other > 0}),
        drafted=usage.draft_steps / usage.steps,
    )


def conditional(figures: Figures, longest: int) -> list[float]:
    """The acceptance at each position of a draft, given that those before were accepted.

    Positions that were never reached have that of the last one that was.
    """
    reached, found = float(figures.usage.draft_steps), list[float]()
    for accepted in figures.usage.accepted_per_position[:longest]:
        found.append(min(accepted / reached, 1.0) if reached else 0.0)
        reached = accepted
    return found + [found[-1] if found else 0.0] * (longest - len(found))


def drawing(spec: str) -> str:
    """The drafter with drafts that are drawn, where it can draw; else as it is.

    Rejection is at its best with a draft that is a sample of the drafter's own distribution.
    """
    if "through_text=true" in spec:  # its text has no distribution over the target's tokens
        return spec
    joined = f"{spec}{',' if ':' in spec else ':'}draws=true"
    try:
        registry.load("drafters", joined)
    except UsageError:
        return spec
    return joined
