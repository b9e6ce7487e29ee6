"""Thinking with two models against each of them alone, on problems whose answers are graded."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

from outrider.errors import OutriderError
from outrider.lab.statistics import Interval, Times, mean_interval, speedup
from outrider.llm import LLM
from outrider.sampling import derive_seed
from outrider.strategies.thinking import Thinking, ThinkingConfig
from outrider.strategies.thinking.transcript import begin_transcript
from outrider.tasks import Task
from outrider.types import Generator, Message, Request, Sampling

Arm = Literal["large_model", "small_model", "speculative_thinking"]

MODES: Final[Mapping[str, tuple[Arm, ...]]] = {
    "large": ("large_model",),
    "small": ("small_model",),
    "spec": ("speculative_thinking",),
    "both": ("large_model", "speculative_thinking"),
}
"""What each mode of the benchmark measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer to one problem.

    Attributes:
        arm: what gave it.
        problem: its place in the task.
        run: which of the problem's answers it is.
        latency: seconds from the question to the end.
        total_tokens: of the answer.
        large_tokens: of these, the large model's.
        nominal_large_tokens: the same with each of its stretches as long as it was to be at most.
        validations: how often the large model was called.
        generated_tokens: all that either model generated.
        rejected_tokens: of these, not in the answer.
        correct: whether the grader takes it.
        extracted: what the grader took for the answer.
        finish_reason: why it ends.
        small_seconds: waiting for the small model.
        large_seconds: waiting for the large one.
    """

    arm: Arm
    problem: int
    run: int
    latency: float
    total_tokens: int
    large_tokens: int
    nominal_large_tokens: int
    validations: int
    generated_tokens: int
    rejected_tokens: int
    correct: bool
    extracted: str | None
    finish_reason: str
    small_seconds: float
    large_seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the answer over its latency."""
        return self.total_tokens / self.latency if self.latency > 0 else 0.0

    @property
    def large_model_ratio(self) -> float:
        """The large model's share of the tokens, as counted."""
        return self.large_tokens / self.total_tokens if self.total_tokens else 0.0

    @property
    def large_model_ratio_nominal(self) -> float:
        """The same as the published benchmark counts it."""
        return self.nominal_large_tokens / self.total_tokens if self.total_tokens else 0.0

    @property
    def rejected_share(self) -> float:
        """Rejected over generated tokens."""
        return self.rejected_tokens / self.generated_tokens if self.generated_tokens else 0.0

    @property
    def orchestration_share(self) -> float:
        """The share of the latency in which neither model was waited for."""
        waited = self.small_seconds + self.large_seconds
        return max(0.0, 1 - waited / self.latency) if self.latency > 0 else 0.0


METRICS: Final[Mapping[str, Callable[[Answer], float]]] = {
    "latency": lambda a: a.latency,
    "tokens_per_second": lambda a: a.tokens_per_second,
    "total_tokens": lambda a: float(a.total_tokens),
    "large_model_ratio": lambda a: a.large_model_ratio,
    "large_model_ratio_nominal": lambda a: a.large_model_ratio_nominal,
    "validations": lambda a: float(a.validations),
    "accuracy": lambda a: float(a.correct),
    "rejected_share": lambda a: a.rejected_share,
    "orchestration_share": lambda a: a.orchestration_share,
}
"""What is told of every arm: of each, mean, median, deviation and extremes over its answers."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is measured.

    Attributes:
        task: the problems, all of which are asked.
        runs: answers to each.
        config: how the two models think together.
        sampling: of every answer; its seed is that of the whole.
        max_tokens: of an answer.
        models: the sides that are needed.
    """

    task: Task
    runs: int
    config: ThinkingConfig
    sampling: Sampling
    max_tokens: int
    models: Mapping[Literal["small", "large"], Generator] = field(default_factory=dict)

    @cached_property
    def strategy(self) -> Thinking:
        """Both models, thinking together."""
        return Thinking(self.models["small"], self.models["large"], self.config)

    def clipped(self, max_tokens: int) -> Setup:
        """The same with shorter answers."""
        return replace(self, max_tokens=max_tokens)

    def needed(self, arm: Arm) -> list[Generator]:
        """The models that an arm needs."""
        sides: Mapping[Arm, Sequence[Literal["small", "large"]]] = {
            "large_model": ("large",),
            "small_model": ("small",),
            "speculative_thinking": ("small", "large"),
        }
        return [self.models[side] for side in sides[arm]]


def room(setup: Setup, arms: Sequence[Arm]) -> int:
    """Tokens that an answer may have, so that every model's context holds it: at most as asked.

    Each model is asked for one token behind the longest prompt, which also warms it up.
    """
    prompts = [setup.task.prompt(problem) for problem in setup.task.problems]
    longest, limit = max(prompts, key=len), setup.max_tokens
    for side, generator in setup.models.items():
        if not any(generator in setup.needed(arm) for arm in arms):
            continue
        request = _alone(setup, side, longest, setup.sampling, 1)
        used = generator.generate(request).usage.prompt_tokens
        context = getattr(generator, "context", None)
        if context is not None:
            limit = min(limit, int(context) - used)
    return limit


def measure(setup: Setup, arms: Sequence[Arm], done: Sequence[Answer] = ()) -> Iterator[Answer]:
    """Answers as they come: every problem by every arm in turn, so many runs of each.

    Which arm comes first changes from one run to the next. Every answer begins without cached
    prefixes and with drafters that know nothing, where the model runs here; arms share the seed of
    a problem's run.

    Args:
        setup: what is measured.
        arms: that take part.
        done: answers that are there already.

    Raises:
        OutriderError: a model fails.
    """
    there = {(a.arm, a.problem, a.run) for a in done}
    for problem in range(len(setup.task.problems)):
        for run in range(setup.runs):
            turn = arms if (problem + run) % 2 == 0 else tuple(reversed(arms))
            for arm in turn:
                if (arm, problem, run) not in there:
                    yield _answer(setup, arm, problem, run)


def _alone(
    setup: Setup,
    side: Literal["small", "large"],
    prompt: str,
    sampling: Sampling,
    max_tokens: int,
) -> Request:
    """What one of the models is asked alone; the same beginning as in the pair."""
    config = setup.config
    template = config.small_template if side == "small" else config.large_template
    messages = (Message("user", prompt),)
    begun = begin_transcript(setup.models[side], template, messages, "").request()
    return replace(begun, sampling=sampling, max_tokens=max_tokens, stop=config.stop)


def _answer(setup: Setup, arm: Arm, problem: int, run: int) -> Answer:
    asked = setup.task.problems[problem]
    prompt = setup.task.prompt(asked)
    seed = derive_seed(setup.sampling.seed or 0, problem, run)
    sampling = replace(setup.sampling, seed=seed)
    generators = setup.needed(arm)
    for generator in generators:
        if isinstance(generator, LLM):
            with generator.fresh():
                pass
    if arm == "speculative_thinking":
        strategy = setup.strategy
        request = Request(
            messages=(Message("user", prompt),), sampling=sampling, max_tokens=setup.max_tokens
        )
        start = time.perf_counter()
        stream = strategy.stream(request)
        done = stream.finish()
        latency = time.perf_counter() - start
        record = stream.record
        counts = {
            "total_tokens": record.tokens(),
            "large_tokens": record.tokens("large"),
            "nominal_large_tokens": record.nominal_large_tokens,
            "validations": record.validations,
            "generated_tokens": record.small.tokens + record.large.tokens,
            "rejected_tokens": record.small.rejected_tokens + record.large.rejected_tokens,
        }
        waiting = (record.small.seconds, record.large.seconds)
    else:
        side: Literal["small", "large"] = "large" if arm == "large_model" else "small"
        start = time.perf_counter()
        request = _alone(setup, side, prompt, sampling, setup.max_tokens)
        asked_at = time.perf_counter()
        done = generators[0].generate(request)
        end = time.perf_counter()
        latency, waited = end - start, end - asked_at
        tokens, large = done.usage.completion_tokens, side == "large"
        counts = {
            "total_tokens": tokens,
            "large_tokens": tokens if large else 0,
            "nominal_large_tokens": tokens if large else 0,
            "validations": 0,
            "generated_tokens": tokens,
            "rejected_tokens": 0,
        }
        waiting = (0.0, waited) if large else (waited, 0.0)
    if done.finish_reason == "error":
        raise OutriderError(f"Problem {asked.id}: {done.choices[0].error}")
    grade = setup.task.grade(asked, done.text)
    return Answer(
        arm=arm,
        problem=problem,
        run=run,
        latency=latency,
        correct=grade.correct,
        extracted=grade.answer,
        finish_reason=done.finish_reason,
        small_seconds=waiting[0],
        large_seconds=waiting[1],
        **counts,
    )


# ------------------------------------------------------------------------------------ figures


def describe(values: Sequence[float]) -> dict[str, float]:
    """Mean, median, standard deviation, minimum and maximum.

    The deviation is that of a sample (n − 1 in the denominator), and 0 for a single value.
    """
    return {
        "mean": statistics.fmean(values),
        "median": statistics.median(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
    }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Thinking with two models against the large one alone.

    Attributes:
        speedup: the large model's mean latency over the pair's.
        throughput_improvement: the pair's mean tokens a second over the large model's.
        large_model_reduction: the share of tokens that the large model did not write.
        accuracy_difference: the pair's accuracy less the large model's.
        speedup_interval: of `speedup`, over problems.
        pace_interval: tokens over seconds of all answers, the pair's over the large model's.
    """

    speedup: float
    throughput_improvement: float
    large_model_reduction: float
    accuracy_difference: Interval
    speedup_interval: Interval | None
    pace_interval: Interval | None


def compare(answers: Sequence[Answer]) -> Comparison | None:
    """The comparison; None where one of the two has no answer.

    Intervals are paired over the problems that both have answered.
    """
    large, pair = of_arm(answers, "large_model"), of_arm(answers, "speculative_thinking")
    if not large or not pair:
        return None

    def mean(found: Sequence[Answer], metric: str) -> float:
        return statistics.fmean(METRICS[metric](a) for a in found)

    both = sorted({a.problem for a in large} & {a.problem for a in pair})
    by_problem = [
        ([a for a in large if a.problem == p], [a for a in pair if a.problem == p]) for p in both
    ]
    differences = [mean(b, "accuracy") - mean(a, "accuracy") for a, b in by_problem]
    return Comparison(
        speedup=_ratio(mean(large, "latency"), mean(pair, "latency")),
        throughput_improvement=_ratio(
            mean(pair, "tokens_per_second"), mean(large, "tokens_per_second")
        ),
        large_model_reduction=1 - mean(pair, "large_model_ratio"),
        accuracy_difference=mean_interval(differences),
        speedup_interval=_speedup(by_problem, lambda _: 1),
        pace_interval=_speedup(by_problem, lambda a: a.total_tokens),
    )


def of_arm(answers: Sequence[Answer], arm: Arm) -> list[Answer]:
    """One arm's answers."""
    return [a for a in answers if a.arm == arm]


def accuracy(answers: Sequence[Answer]) -> Interval:
    """The share of right answers, with its interval over problems."""
    problems = sorted({a.problem for a in answers})
    shares = [statistics.fmean(a.correct for a in answers if a.problem == p) for p in problems]
    return mean_interval(shares)


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else 0.0


def _speedup(
    by_problem: Sequence[tuple[Sequence[Answer], Sequence[Answer]]],
    units: Callable[[Answer], int],
) -> Interval | None:
    """Seconds a unit of the first over those of the second."""

    def times(side: Literal[0, 1]) -> Times:
        found = [both[side] for both in by_problem]
        return Times.total([[(a.latency * 1000, units(a)) for a in each] for each in found])

    return speedup(times(0), times(1))


def figures(answers: Sequence[Answer], arm: Arm) -> dict[str, Any] | None:
    """Every metric's statistics for an arm; None where it has no answer."""
    found = of_arm(answers, arm)
    if not found:
        return None
    return {name: describe([metric(a) for a in found]) for name, metric in METRICS.items()}
