"""Typical verification: what its ε and δ bring in speed, and cost in KL and in right answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from outrider import tasks
from outrider.lab.experiment import (
    FIXED,
    Arm,
    Bench,
    Cell,
    Experiment,
    Measured,
    Plot,
    Section,
    Setup,
    Table,
)
from outrider.lab.experiments.rules_plots import draw_accuracy, draw_trade
from outrider.lab.experiments.words import differing, share, times, verdict
from outrider.lab.results import Results
from outrider.lab.statistics import (
    ENOUGH,
    Finding,
    Interval,
    finding,
    mean_interval,
    ratio_of_totals,
)
from outrider.lab.watching import Reached, watch
from outrider.prompts import Prompt
from outrider.tasks.graders import grade_number
from outrider.verify import typical_token

LENGTH: Final = 4
EPSILONS: Final = (0.01, 0.09, 0.3)
DELTAS: Final = (0.1, 0.3, 1.0)
FEWER: Final = ((0.01, 0.1), (0.09, 0.3), (0.3, 1.0))
"""From what lets most pass to what lets least; the middle one is the default."""

PROBLEMS: Final = 100
FEWER_PROBLEMS: Final = 26
PROBLEM_TOKENS: Final = 12
GRADED: Final = 1_000_000
"""Indices of problems begin here, beyond those of all prompts."""

TEMPLATE: Final = "{question} Answer with the number alone."
PLAIN: Final = "plain"
COUPLED: Final = "coupled"


@dataclass(frozen=True, slots=True)
class Rule:
    """One setting of typical verification."""

    epsilon: float
    delta: float

    @property
    def name(self) -> str:
        """Of its arm."""
        return f"ε={self.epsilon:g} δ={self.delta:g}"


def rules_of(setup: Setup) -> Sequence[Rule]:
    """The settings that are compared."""
    pairs = FEWER if setup.quick else [(e, d) for e in EPSILONS for d in DELTAS]
    return [Rule(epsilon, delta) for epsilon, delta in pairs]


class AcceptanceRules(Experiment):
    """Typical verification against coupled, on prompts and on sums that are graded.

    Args:
        drafter: instead of the run's first one.
        temperature: of all answers, where the run asks for 0: there typical verification is exact.
        level: of the sums, as in the task `arithmetic`.
    """

    name: ClassVar[str] = "acceptance-rules"
    title: ClassVar[str] = "Typical verification"
    question: ClassVar[str] = (
        "What does it bring to let tokens pass that are likely enough, and what does it cost?"
    )

    def __init__(
        self, *, drafter: str | None = None, temperature: float = 0.7, level: int = 1
    ) -> None:
        self._drafter = drafter
        self._temperature = temperature
        self._level = level

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Plain, coupled, and each setting."""
        at = setup.settings.get("temperature") or self._temperature
        drafting = {
            "drafter": self._drafter or setup.drafter,
            "controller": FIXED,
            "num_draft_tokens": LENGTH,
            "temperature": at,
        }
        return [
            Arm(name=PLAIN, settings={"speculation": False, "temperature": at}, against=PLAIN),
            Arm(name=COUPLED, settings={**drafting, "verification": COUPLED}),
            *(
                Arm(
                    name=rule.name,
                    settings={
                        **drafting,
                        "verification": f"typical:epsilon={rule.epsilon},delta={rule.delta}",
                    },
                )
                for rule in rules_of(setup)
            ),
        ]

    def prompts(self, setup: Setup) -> Sequence[Prompt]:
        """The setup's, whose speed and KL are measured, and the problems that are graded."""
        task = self._task(setup)
        return [
            *setup.prompts,
            *(
                Prompt(GRADED + i, (task.prompt(problem),), "arithmetic")
                for i, problem in enumerate(task.problems)
            ),
        ]

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """A prompt's speed and KL, or a problem's grade.

        The KL is taken from a second answer, which is the same and is watched.
        """
        prompts, asked = self.prompts(bench.setup), len(bench.setup.prompts)
        if cell.group >= asked:
            (answer,) = bench.ask(arm, cell, prompts, max_tokens=PROBLEM_TOKENS)
            task = self._task(bench.setup)
            grade = task.grade(task.problems[cell.group - asked], answer.text)
            # Answers of a token or two have no speed, so only their words are kept.
            return Measured(values={"correct": grade.correct, "answer": answer.text})
        samples = bench.ask(arm, cell, prompts)
        rule = next((r for r in rules_of(bench.setup) if r.name == arm.name), None)
        if rule is None:
            return Measured(samples=samples, values={"kl": 0.0})
        found = watch(bench, arm, cell, prompts, lambda reached: divergence(reached, rule))
        return Measured(samples=samples, values={"kl": math.fsum(found)})

    def section(self, results: Results) -> Section:
        """Speed against KL, and right answers."""
        rules = [rule for rule in rules_of(results.setup) if results.of(rule.name)]
        gains = {rule.name: results.total(rule.name, COUPLED) for rule in rules}
        best = max(gains, key=lambda name: gain.value if (gain := gains[name]) else 0.0)
        kl = {rule.name: _kl(results, rule.name) for rule in rules}
        right = {name: _accuracy(results, name) for name in (PLAIN, COUPLED, *gains)}
        wrong = differing(results, COUPLED)
        return Section(
            findings=(
                verdict(f"Typical verification at its fastest, {best},", gains[best], COUPLED),
                f"What it says there has a KL divergence of {_nats(kl[best])} a token from what "
                "the model would say; coupled verification has none"
                + (
                    "." if not wrong else f", and yet {wrong} answers differ from plain decoding's."
                ),
                _graded(results, list(gains), right),
            ),
            plots=(
                Plot(
                    "acceptance-rules",
                    "Speed-up over plain decoding by the divergence from the model's own "
                    "distribution: to the right is what is paid, up is what it brings. Coupled "
                    "verification is exact.",
                    lambda figure: draw_trade(
                        figure,
                        {name: results.total(name) for name in (COUPLED, *gains)},
                        {COUPLED: Interval(0.0), **kl},
                        [(rule.name, rule.delta) for rule in rules],
                    ),
                    height=0.7,
                ),
                Plot(
                    "acceptance-rules-accuracy",
                    "Right answers to sums, with intervals over the problems; the upright line is "
                    "plain decoding.",
                    lambda figure: draw_accuracy(figure, right, PLAIN),
                    height=max(0.07 * len(right) + 0.15, 0.4),
                ),
            ),
            tables=(
                Table(
                    (
                        "verification",
                        "times plain",
                        "times coupled",
                        "accepted",
                        "KL, nats a token",
                        "right answers",
                        "more or fewer than plain",
                    ),
                    [
                        (
                            name,
                            times(results.total(name)) if name != PLAIN else "1",
                            times(gains.get(name)) if name in gains else "–",
                            share(results.figures(name).usage.acceptance_rate)
                            if name != PLAIN
                            else "–",
                            _nats(kl[name], unit="") if name in kl else "0",
                            _percent(right[name]),
                            _signed(_change(results, name)) if name != PLAIN else "–",
                        )
                        for name in (PLAIN, COUPLED, *gains)
                    ],
                    "A token passes where the model gives it more than min(ε, δ·exp(−H)), with H "
                    "the entropy of what the model would say.",
                ),
            ),
            notes=(
                "KL is that of what a step says from what the model would have said, given the "
                "draft: −log p of a token that was let pass, and nothing where the model chose "
                "itself. Where a draft looks at the noise of the choice that is an upper bound.",
                f"Right answers are those to {len(self._task(results.setup).problems)} sums of "
                f"level {self._level}, asked for with the number alone.",
                "Speed is that of answers that say different things; it is a fair comparison only "
                "beside the KL.",
            ),
        )

    def advice(self, results: Results) -> Sequence[str]:
        """Whether typical verification is worth what it costs, where that is shown."""
        rules = [rule.name for rule in rules_of(results.setup) if results.of(rule.name)]
        told = []
        for name in rules:
            change, gain = _change(results, name), results.total(name, COUPLED)
            if change is not None and change.high is not None and change.high < 0.0:
                told.append(
                    f"Do not verify with typical {name}: it gives fewer right answers than plain "
                    f"decoding ({_signed(change)})."
                )
            elif finding(gain) is Finding.SLOWER:
                told.append(
                    f"Do not verify with typical {name}: it is lossy, and slower than coupled "
                    f"({times(gain)})."
                )
        return told

    def _task(self, setup: Setup) -> tasks.Task:
        count = FEWER_PROBLEMS if setup.quick else PROBLEMS
        task = tasks.load(f"arithmetic:level={self._level},count={count},seed=0")
        return replace(task, template=TEMPLATE, grader=grade_number)


def divergence(reached: Reached, rule: Rule) -> float:
    """KL(said ‖ model) of a position in nats, given what was drafted for it.

    A token that is let pass is said for certain, and the divergence of certainty from p is
    −log p(token); where none passes the target's own choice is said, which has p.
    """
    token = typical_token(reached.p, reached.drafted, rule.epsilon, rule.delta)
    return 0.0 if token is None else -math.log(float(reached.p[token]))


def _kl(results: Results, arm: str) -> Interval | None:
    """Nats a token, with an interval over prompts."""
    kl: dict[int, float] = {}
    tokens: dict[int, int] = {}
    for measurement in results.of(arm):
        if "kl" not in measurement.values:
            continue
        (sample,) = measurement.samples
        kl[sample.prompt] = kl.get(sample.prompt, 0.0) + measurement.values["kl"]
        tokens[sample.prompt] = tokens.get(sample.prompt, 0) + sample.count
    spoken = [prompt for prompt, count in tokens.items() if count]
    if not spoken:
        return None
    return ratio_of_totals([kl[p] for p in spoken], [tokens[p] for p in spoken])


def _grades(results: Results, arm: str) -> dict[int, float]:
    """The share of right answers of each problem."""
    found: dict[int, list[bool]] = {}
    for measurement in results.of(arm):
        if "correct" in measurement.values:
            found.setdefault(measurement.group, []).append(measurement.values["correct"])
    return {problem: sum(each) / len(each) for problem, each in sorted(found.items())}


def _accuracy(results: Results, arm: str) -> Interval | None:
    """The share of right answers, with an interval over problems."""
    grades = list(_grades(results, arm).values())
    return mean_interval(grades) if grades else None


def _change(results: Results, arm: str) -> Interval | None:
    """What is right beyond what plain decoding has right, problem by problem."""
    own, plain = _grades(results, arm), _grades(results, PLAIN)
    changes = [own[problem] - plain[problem] for problem in own if problem in plain]
    if len(changes) < ENOUGH:
        return None
    return mean_interval(changes)


def _graded(results: Results, names: Sequence[str], right: Mapping[str, Interval | None]) -> str:
    """Which settings give fewer right answers."""
    if right[PLAIN] is None:
        return "No problem has been graded yet."
    fewer = [
        name
        for name in names
        if (change := _change(results, name)) is not None
        and change.high is not None
        and change.high < 0.0
    ]
    begun = f"Plain decoding has {_percent(right[PLAIN])} of the sums right; "
    if not fewer:
        return begun + "that any setting has fewer is not shown."
    return begun + "fewer have " + ", ".join(f"{n} ({_percent(right[n])})" for n in fewer) + "."


def _nats(value: Interval | None, unit: str = " nats") -> str:
    if value is None:
        return "–"
    if value.low is None or value.high is None:
        return f"{value.value:.3f}{unit}"
    return f"{value.value:.3f}{unit} ({value.low:.3f}–{value.high:.3f})"


def _percent(value: Interval | None) -> str:
    if value is None:
        return "–"
    if value.low is None or value.high is None:
        return share(value.value)
    return f"{share(value.value)} ({100 * value.low:.0f}–{100 * value.high:.0f})"


def _signed(value: Interval | None) -> str:
    """A change in percentage points."""
    if value is None:
        return "–"
    if value.low is None or value.high is None:
        return f"{100 * value.value:+.0f}"
    return f"{100 * value.value:+.0f} ({100 * value.low:+.0f} to {100 * value.high:+.0f}) points"
