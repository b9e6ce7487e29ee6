"""The drafts that `alignment` compares: approaches, what each costs, how often it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outrider.lab.contest import Sample
from outrider.lab.experiment import PLAIN_ARM, Setup
from outrider.lab.experiments.words import StepCosts, step_costs
from outrider.lab.results import Results
from outrider.lab.speed_bench import by_prompt
from outrider.lab.speed_bench import times as times_of
from outrider.lab.statistics import Interval, speedup
from outrider.theory import acceptance_rate, break_even
from outrider.types import summed

LENGTH: Final = 4
"""Drafted tokens a step, of every draft."""

DEPTHS: Final = (0.25, 0.5, 0.75)
"""Shares of the model's layers after which an early exit is tried."""

NOISES: Final = (0.2, 0.5, 0.8, 1.5, 2.5, 4.0)
FEWER_NOISES: Final = (0.5, 0.8, 2.5)
"""Standard deviations of the noise on a logit; with models as the default one these are accepted
in some 80, 60 and 20% of four drafted tokens."""

DECLARED: Final = 0.1
"""What a simulated draft is declared to cost a token, in passes of the target over one row."""

NEAR: Final = (0.2, 0.6, 0.8)
WITHIN: Final = 0.1
"""How far from such an acceptance a measurement may lie."""

FEWEST: Final = 8
"""Drafted tokens of a prompt below which its acceptance says little."""

APPROACHES: Final = {
    "model": "separate model",
    "quantized": "4-bit copy",
    "early_exit": "early exit",
    "ngram": "n-gram, free",
    "suffix": "n-gram, free",
    "recycle": "n-gram, free",
    "mixed": "n-gram, free",
    "random": "random guesses",
    "perturbed": "simulated",
}
"""By the drafter's registered name; others are called "other"."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One way of drafting.

    Attributes:
        name: of its arm.
        spec: of the drafter.
    """

    name: str
    spec: str

    @property
    def approach(self) -> str:
        """What kind of draft it is."""
        if "through_text=true" in self.spec:
            return "another family"
        return APPROACHES.get(self.spec.partition(":")[0], "other")

    @property
    def simulated(self) -> bool:
        """Whether its cost is declared rather than measured."""
        return self.approach == "simulated"

    @property
    def declared(self) -> float:
        """What drafting a token is declared to cost, in passes of the target over one row."""
        return float(_options(self.spec).get("cost", DECLARED))

    @property
    def floor(self) -> bool:
        """Whether nobody would draft so: it shows where drafting ends that is never right."""
        return self.approach == "random guesses"


def short(name: str) -> str:
    """A draft's name for a picture, which has little room."""
    for beginning in ("model:draft_model=", "early_exit:"):
        name = name.removeprefix(beginning)
    return name.removesuffix(",through_text=true")


def _options(spec: str) -> Mapping[str, str]:
    """The options behind a drafter's name."""
    given = (option.partition("=") for option in spec.partition(":")[2].split(","))
    return {key: value for key, _, value in given if key}


def named_by(setup: Setup, *, but: Sequence[str] = ()) -> Sequence[Draft]:
    """The setup's drafters but some; for a first look the first of each approach."""
    found = [Draft(spec, spec) for spec in setup.drafters if spec not in but]
    if setup.quick:
        first = {draft.approach: draft for draft in reversed(found)}
        found = [draft for draft in found if first[draft.approach] is draft]
    return found


def drafts_of(setup: Setup) -> Sequence[Draft]:
    """What is compared: the setup's drafters, and what else the model allows."""
    found = [*named_by(setup, but=("early_exit", "quantized"))]
    given = [draft.spec for draft in found]
    if setup.copy_drafts:
        found.append(Draft("quantized", "quantized"))
    if setup.layers > 1:
        depths = dict.fromkeys(max(1, int(setup.layers * depth)) for depth in DEPTHS)
        exits = [f"early_exit:layers={layers}" for layers in depths]
        found += [Draft(spec, spec) for spec in exits if spec not in given]
    if "random" not in given:
        found.append(Draft("random", "random"))
    noises = FEWER_NOISES if setup.quick else NOISES
    found += [
        Draft(f"noise {noise:g}", f"perturbed:noise={noise:g},cost={DECLARED:g}")
        for noise in noises
    ]
    return found


@dataclass(frozen=True, slots=True)
class Point:
    """What a draft came to.

    Attributes:
        draft: which.
        rate: accepted of drafted tokens.
        costs: as theory asks for them, c as declared where the draft is simulated; None where
            nothing was drafted.
        ratio: times plain decoding, calculated where it is simulated.
    """

    draft: Draft
    rate: float
    costs: StepCosts | None
    ratio: Interval | None

    @property
    def simulated(self) -> bool:
        """Whether it supports no answer."""
        return self.draft.simulated

    @property
    def break_even(self) -> float | None:
        """The acceptance of `LENGTH` tokens below which it is slower than plain decoding.

        None where it is slower whatever is accepted, and where nothing was drafted.
        """
        if self.costs is None:
            return None
        alpha = break_even(self.costs.c, LENGTH, self.costs.v)
        return None if alpha is None else acceptance_rate(alpha, LENGTH)


def points_of(results: Results) -> list[Point]:
    """The drafts that were measured."""
    found = []
    for draft in drafts_of(results.setup):
        if not results.of(draft.name):
            continue
        costs = step_costs(results, draft.name)
        ratio = results.total(draft.name)
        if draft.simulated and costs is not None:
            pass_ms = results.pass_ms()[1]
            unit = pass_ms / _step_ms(results)
            costs = StepCosts(c=draft.declared * unit, v=costs.v, drafted=costs.drafted)
            ratio = _simulated(results, draft.name, draft.declared * pass_ms)
        rate = summed(s.usage for s in results.samples(draft.name)).acceptance_rate
        found.append(Point(draft, rate, costs, ratio))
    return found


def _step_ms(results: Results) -> float:
    """Milliseconds of a step of plain decoding, all phases."""
    usage = summed(s.usage for s in results.samples(PLAIN_ARM.name))
    return (usage.draft_ms + usage.pass_ms + usage.sampling_ms + usage.rest_ms) / usage.steps


def _simulated(results: Results, arm: str, token_ms: float) -> Interval | None:
    """Times plain decoding, as if each drafted token had taken so many milliseconds."""

    def measure(group: Sequence[Sample]) -> tuple[float, int]:
        usage = summed(sample.usage for sample in group)
        ms = usage.decode_ms - usage.draft_ms + usage.draft_tokens * token_ms
        return ms, sum(max(sample.count - 1, 0) for sample in group)

    own = times_of(results.samples(arm), by_prompt, measure)
    return speedup(results.times(PLAIN_ARM.name), own)


# ------------------------------------------------------------------------ near an acceptance


@dataclass(frozen=True, slots=True)
class Near:
    """A draft on those prompts on which about as much of it is accepted as is looked for.

    Attributes:
        draft: which.
        prompts: how many.
        rate: accepted of drafted tokens on them.
        ratio: times plain decoding on them.
    """

    draft: Draft
    prompts: int
    rate: float
    ratio: Interval | None


def rates_of(results: Results, arm: str) -> dict[int, float]:
    """The acceptance of each prompt of which enough was drafted."""
    found = {}
    for prompt in dict.fromkeys(s.prompt for s in results.samples(arm)):
        usage = summed(s.usage for s in results.samples(arm) if s.prompt == prompt)
        if usage.draft_tokens >= FEWEST:
            found[prompt] = usage.acceptance_rate
    return found


def near(results: Results, points: Sequence[Point], rate: float) -> Near | None:
    """The draft with most prompts near an acceptance; None where there are none."""
    found: list[Near] = []
    for point in points:
        arm = point.draft.name
        asked = {p for p, own in rates_of(results, arm).items() if abs(own - rate) <= WITHIN}
        kept = [m for m in results.measurements if {s.prompt for s in m.samples} <= asked]
        on = Results(results.setup, kept)
        if asked:
            usage = summed(s.usage for s in on.samples(arm))
            found.append(Near(point.draft, len(asked), usage.acceptance_rate, on.total(arm)))
    return max(found, key=lambda each: each.prompts, default=None)
