"""Which plan is best here: predicted from one half of the prompts, measured on the other.

1. The cost curve is measured, and every candidate answers the first half once, in turn with plain
   decoding.
2. From their counters and what passes take, the speed-up of each is predicted, of lengths that did
   not run too.
3. The best plan of each of the best drafters is measured on the second half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from outrider import registry
from outrider.drafters.base import Drafter
from outrider.drafters.passes import PassDrafter
from outrider.errors import OutriderError, UsageError
from outrider.lab.contest import PLAIN, Sample, contest
from outrider.lab.halves import halves
from outrider.lab.lengths import replayed, shortened
from outrider.lab.prediction import PassCosts, Ride, fit_passes, predict
from outrider.lab.speed_bench import PlanFigures, summarise
from outrider.lab.verdict import Trial, Verdict, best_of_each, judge
from outrider.llm import LLM
from outrider.plan import Plan
from outrider.prompts import Prompt
from outrider.replay import Logged

DRAFTERS: Final = ("ngram", "suffix", "recycle", "mixed", "early_exit", "quantized")
"""What is tried where nothing is asked for; what does not run with the model is left out."""

FREE_LENGTHS: Final = (1, 2, 3, 4, 6, 8, 12, 16)
"""Fixed lengths of drafts that cost next to nothing."""

LONGEST_CHAIN: Final = 4
"""Tokens of the fixed chains from which shorter ones of a drafter that computes are predicted."""

BEST: Final = 3
"""Plans that are measured where no number is asked for, and what was named besides."""

Ridden = tuple[Plan, Sequence[Ride]]
"""A plan and what it did on the prompts that are fitted, in their order."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how many answers of how many are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to try.

    Attributes:
        drafters: their specs; None takes those of `DRAFTERS` that run here.
        draft_model: a model to draft with, tried besides.
        verification: of all plans.
        max_tokens: of an answer; at least 2.
        repeats: how often the best plans are measured.
        best: how many; None takes `BEST`, and the best plan of each drafter that is named.
        raw: leave out the chat template.
        seed: each prompt's own is derived from it.
        sampling: the flat names of `Settings`, such as temperature=0.8.
    """

    drafters: tuple[str, ...] | None = None
    draft_model: str | None = None
    verification: str = "coupled"
    max_tokens: int = 128
    repeats: int = 3
    best: int | None = None
    raw: bool = False
    seed: int = 0
    sampling: Mapping[str, Any] = field(default_factory=dict)

    @property
    def named(self) -> tuple[str, ...]:
        """The drafters that were asked for by name."""
        if self.draft_model is None:
            return self.drafters or ()
        others = [spec for spec in self.drafters or () if spec != "model"]
        return (*others, f"model:draft_model={self.draft_model}")

    @property
    def tried(self) -> tuple[str, ...]:
        """The drafters to try, each once."""
        return tuple(dict.fromkeys((*(() if self.drafters else DRAFTERS), *self.named)))


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was found.

    Attributes:
        verdict: what to do.
        trials: every plan, best first: those measured before the others.
        figures: what was measured of plain decoding and of each plan that was, by its name.
        costs: the curve, corrected by the passes that were made.
        context: tokens of history in the middle of the answers, on average.
        fitted: indices of the prompts that were fitted.
        measured: indices of those that were measured.
        left_out: drafters that do not run here, with the reason.
        identical: whether every plan that has to say what plain decoding says did.
    """

    verdict: Verdict
    trials: Sequence[Trial]
    figures: Mapping[str, PlanFigures]
    costs: PassCosts
    context: float
    fitted: Sequence[int]
    measured: Sequence[int]
    left_out: Sequence[tuple[str, str]]
    identical: bool


def tune(
    llm: LLM,
    prompts: Sequence[Prompt],
    wish: Wish | None = None,
    *,
    progress: Progress = lambda what, done, total: None,
) -> Tuning:
    """Find the best plan.

    Args:
        llm: idle, with the default plan.
        prompts: at least two; those of a category are divided between the halves.
        wish: what to try.
        progress: told how far it is.

    Raises:
        UsageError: there is one prompt, a drafter that was named does not run here, or no answer
            has two tokens; or as `contest`.
        CapacityError: as `contest`.
        OutriderError: as `contest`.
    """
    wish = wish or Wish()
    if wish.best is not None and wish.best < 1:
        raise UsageError(f"At least one plan has to be measured, not {wish.best}.")
    fitted, others = halves(prompts)
    candidates, left_out = _candidates(llm, wish)

    # 1 ask.
    with llm.fresh():
        curve = llm.engine.measure_cost()
    plans = [PLAIN, *(plan for plan, _ in candidates)]
    samples = _ask(llm, plans, fitted, 1, wish, progress, "fitting")
    asked = {plan.name: [s for s in samples if s.plan == plan.name] for plan in plans}
    plain = [ride_of(sample) for sample in asked[PLAIN.name]]
    answers = [_logged(sample, llm) for sample in asked[PLAIN.name]]

    # 2 predict.
    ridden: list[Ridden] = []
    for plan, chains in candidates:
        ridden.append((plan, [ride_of(sample) for sample in asked[plan.name]]))
        if plan.controller == "fixed" and chains:
            ridden += _shorter_chains(*ridden[-1])
        elif plan.verification == "coupled" and not chains:
            ridden += _fixed_lengths(*ridden[-1], answers, llm)
    costs = fit_passes(curve, _passes(samples))
    trials = _trials(plain, ridden, costs, len(others))

    # 3 measure.
    plans = [PLAIN, *(trial.plan for trial in _to_measure(trials, wish))]
    samples = _ask(llm, plans, others, wish.repeats, wish, progress, "measuring")
    bench = summarise(plans, samples, temperature=wish.sampling.get("temperature", 0.0))
    figures = {found.plan.name: found for found in bench.plans}
    trials = [_with_measured(trial, figures) for trial in trials]
    trials.sort(key=lambda trial: (trial.measured is not None, trial.overall), reverse=True)
    return Tuning(
        verdict=judge(trials),
        trials=trials,
        figures=figures,
        costs=costs,
        context=sum(ride.context for ride in plain) / len(plain),
        fitted=[prompt.index for prompt in fitted],
        measured=[prompt.index for prompt in others],
        left_out=left_out,
        identical=bench.identical,
    )


def ride_of(sample: Sample) -> Ride:
    """What an answer's counters say."""
    usage = sample.usage
    known_ms = usage.draft_ms + usage.pass_ms + usage.sampling_ms
    return Ride(
        tokens=max(len(sample.tokens) - 1, 0),
        passes={rows: len(times) for rows, times in sample.passes.items()},
        context=_context(sample),
        draft_ms=usage.draft_ms,
        sampling_ms=usage.sampling_ms,
        rest_ms=max(usage.decode_ms - known_ms, 0.0),
        drafted=usage.draft_tokens,
        accepted=usage.accepted_tokens,
        by_position=tuple(usage.accepted_per_position),
    )


# --------------------------------------------------------------------------------- candidates


def _candidates(llm: LLM, wish: Wish) -> tuple[list[tuple[Plan, bool]], list[tuple[str, str]]]:
    """Plans to ask, each with whether its drafts are chains of a drafter that computes.

    And the drafters that do not run here, with the reason; one that was named is an error.
    """
    if "none" in wish.named:
        raise UsageError("The drafter 'none' is plain decoding itself; name another.")
    weighs_draws = registry.load("verifiers", wish.verification)().weighs_draws
    plans: list[tuple[Plan, bool]] = []
    left_out: list[tuple[str, str]] = []
    for spec in wish.tried:
        try:
            drafter: Drafter = registry.load("drafters", spec)(llm.engine)
        except OutriderError as error:
            if spec in wish.named:
                raise
            left_out.append((spec, str(error)))
            continue
        chains = isinstance(drafter, PassDrafter) and drafter.chains
        if not (drafter.draws and weighs_draws):
            plans.append((_plan(spec, "cost", None, wish.verification), chains))
        if chains or drafter.draws:
            plans.append((_plan(spec, "fixed", LONGEST_CHAIN, wish.verification), chains))
    return plans, left_out


def _plan(drafter: str, controller: str, length: int | None, verification: str) -> Plan:
    return Plan(
        name=f"{drafter}/{controller}" + ("" if length is None else f" K={length}"),
        drafter=drafter,
        controller=controller,
        num_draft_tokens=length,
        verification=verification,
    )


def _ask(
    llm: LLM,
    plans: Sequence[Plan],
    prompts: Sequence[Prompt],
    repeats: int,
    wish: Wish,
    progress: Progress,
    what: str,
) -> list[Sample]:
    return contest(
        llm,
        plans,
        prompts,
        repeats=repeats,
        raw=wish.raw,
        max_tokens=wish.max_tokens,
        seed=wish.seed,
        progress=lambda done, total: progress(what, done, total),
        **wish.sampling,
    )


# -------------------------------------------------------------------------------- predictions


def _logged(sample: Sample, llm: LLM) -> Logged:
    """An answer as it can be replayed: with the token that ended it, which took a pass too."""
    ended = sample.reason == "stop" and llm.tokenizer.stop_ids
    return Logged(
        sample.prompt_tokens, (*sample.tokens, *([min(llm.tokenizer.stop_ids)] if ended else ()))
    )


def _context(sample: Sample) -> float:
    """Tokens of history in the middle of an answer."""
    return len(sample.prompt_tokens) + len(sample.tokens) / 2


def _passes(samples: Sequence[Sample]) -> Iterable[tuple[int, float, float]]:
    """Rows, history and milliseconds of every pass behind a first token."""
    for sample in samples:
        for rows, times in sample.passes.items():
            yield from ((rows, _context(sample), ms) for ms in times)


def _shorter_chains(plan: Plan, rides: Sequence[Ride]) -> Iterable[Ridden]:
    """The same drafter with chains of every shorter length."""
    for length in range(1, LONGEST_CHAIN):
        shorter = _plan(plan.drafter, "fixed", length, plan.verification)
        yield shorter, [shortened(ride, length) for ride in rides]


def _fixed_lengths(
    plan: Plan, rides: Sequence[Ride], answers: Sequence[Logged], llm: LLM
) -> list[Ridden]:
    """The same drafter with fixed lengths; none for one that needs the model's logits."""
    engine = llm.engine
    try:
        return [
            (
                _plan(plan.drafter, "fixed", length, plan.verification),
                replayed(
                    rides,
                    answers,
                    plan.drafter,
                    length,
                    vocab_size=engine.vocab_size,
                    trees=engine.capabilities.trees,
                ),
            )
            for length in FREE_LENGTHS
        ]
    except OutriderError:
        return []


def _trials(
    plain: Sequence[Ride], ridden: Sequence[Ridden], costs: PassCosts, others: int
) -> list[Trial]:
    trials = []
    for plan, rides in ridden:
        prediction = predict(plain, rides, costs, others=others)
        if prediction is not None:
            trials.append(Trial(plan, prediction))
    return trials


def _to_measure(trials: Sequence[Trial], wish: Wish) -> list[Trial]:
    """The best plan of each of the best drafters, and of those that were named."""
    ranked = best_of_each(trials)
    if wish.best is not None:
        return ranked[: wish.best]
    return ranked[:BEST] + [trial for trial in ranked[BEST:] if trial.plan.drafter in wish.named]


def _with_measured(trial: Trial, figures: Mapping[str, PlanFigures]) -> Trial:
    found = figures.get(trial.plan.name)
    return trial if found is None else replace(trial, measured=found.overall.speedup)
