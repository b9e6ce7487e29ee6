"""Memory as calculated and as measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from outrider import models
from outrider.errors import UsageError
from outrider.lab.experiment import (
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
from outrider.lab.memory_probe import Asked, probe
from outrider.lab.results import Results
from outrider.models.sizes import read_sizes
from outrider.plan import Plan
from outrider.style import COLOURS, INK
from outrider.theory.memory import Load, memory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOADS = ((1, 1024), (1, 4096), (4, 1024), (4, 4096), (16, 4096))
NUM_DRAFT_TOKENS = 8
MB = 1e6


class MemoryExperiment(Experiment):
    """What weights, cache and scratch take, for contexts and streams."""

    name: ClassVar[str] = "memory"
    title: ClassVar[str] = "Memory"
    question: ClassVar[str] = "How much memory is needed, and how much more with a draft model?"

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """The target alone at every load; with the draft model too, where one drafts."""
        drafts = [False, True] if _draft_model(setup) is not None else [False]
        found = [
            Arm(
                name=_arm(streams, context, drafted),
                settings={"streams": streams, "context": context, "draft": drafted},
            )
            for streams, context in LOADS
            if context <= setup.context and streams <= setup.max_streams
            for drafted in drafts
        ]
        if not found:
            raise UsageError(
                f"The experiment 'memory' needs a context of at least {LOADS[0][1]} tokens, and "
                f"this one has {setup.context}."
            )
        return found

    def cells(self, setup: Setup) -> list[Cell]:
        """Each load once: memory does not vary from one time to the next."""
        return [
            Cell(experiment=self.name, arm=arm.name, group=0, repeat=0) for arm in self.arms(setup)
        ]

    def warm_up(self, bench: Bench, arms: Sequence[Arm]) -> None:
        """Nothing: every measurement is made in a process of its own."""

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """Load, fill and compute in a process of its own; and calculate the same."""
        draft_model = _draft_model(bench.setup) if arm.settings["draft"] else None
        names = [bench.setup.model, *([draft_model] if draft_model else [])]
        streams, context = arm.settings["streams"], arm.settings["context"]
        drafted = NUM_DRAFT_TOKENS if draft_model else 0
        found = probe(
            Asked(
                models=[str(models.ensure(name, offline=True)) for name in names],
                context=context,
                streams=streams,
                num_draft_tokens=drafted,
                threads=bench.llm.model.facts.get("threads"),
                kernel=bench.llm.model.facts.get("kernel"),
            )
        )
        target, *rest = [read_sizes(name) for name in names]
        load = Load(context=context, streams=streams, num_draft_tokens=drafted)
        needed = memory(target, rest[0] if rest else None, load)
        parts = [needed.target, *([needed.draft] if needed.draft else [])]
        return Measured(
            values={
                "process": found.process,
                "measured_weights": found.weights,
                "measured_used": found.used,
                "weights": sum(part.weights for part in parts),
                "cache": sum(part.cache for part in parts),
                "scratch": sum(part.scratch for part in parts),
            }
        )

    def section(self, results: Results) -> Section:
        """Calculated beside measured, and what a draft model adds."""
        values = {arm: results.of(arm)[0].values for arm in results.arms}
        errors = {arm: _measured(v) / _calculated(v) - 1.0 for arm, v in values.items()}
        worst = max(errors, key=lambda arm: abs(errors[arm]))
        largest = results.arms[-1]
        process = max(v["process"] for v in values.values())
        return Section(
            findings=(
                f"{largest}: {_measured(values[largest]) / MB:.0f} MB measured, "
                f"{_calculated(values[largest]) / MB:.0f} MB calculated.",
                f"The calculation is off by {abs(errors[worst]):.0%} at most ({worst}).",
                *_overhead(results),
            ),
            plots=(
                Plot(
                    "memory",
                    "Memory beyond the interpreter's, calculated in its parts and as measured (the "
                    "upright mark), by streams and tokens of context.",
                    lambda figure: _draw(figure, values),
                    height=max(0.08 * len(values) + 0.22, 0.4),
                ),
            ),
            tables=(
                Table(
                    (
                        "streams × context",
                        "weights, MB",
                        "cache, MB",
                        "scratch, MB",
                        "calculated",
                        "measured",
                        "difference",
                    ),
                    [
                        (
                            arm,
                            *(f"{v[part] / MB:.0f}" for part in ("weights", "cache", "scratch")),
                            f"{_calculated(v) / MB:.0f}",
                            f"{_measured(v) / MB:.0f}",
                            f"{errors[arm]:+.1%}",
                        )
                        for arm, v in values.items()
                    ],
                    f"Beside {process / MB:.0f} MB that the interpreter, its libraries and the "
                    "models' vocabularies take.",
                ),
            ),
        )

    def answers(self, results: Results) -> Mapping[str, str]:
        """What a draft model adds."""
        return {"memory": " ".join(_overhead(results))}


def _draft_model(setup: Setup) -> str | None:
    drafts = (Plan(drafter=drafter).draft_model for drafter in setup.drafters)
    return next((model for model in drafts if model is not None), None)


def _arm(streams: int, context: int, drafted: bool) -> str:
    return f"{streams} × {context}{' with draft' if drafted else ''}"


def _measured(values: Mapping[str, Any]) -> float:
    return float(values["measured_weights"] + values["measured_used"])


def _calculated(values: Mapping[str, Any]) -> float:
    return float(values["weights"] + values["cache"] + values["scratch"])


def _overhead(results: Results) -> Sequence[str]:
    """What the draft model adds, at the largest load that was measured with it and without."""
    for streams, context in reversed(LOADS):
        alone, both = (results.of(_arm(streams, context, drafted)) for drafted in (False, True))
        if alone and both:
            share = _measured(both[0].values) / _measured(alone[0].values) - 1.0
            return (
                f"With {streams} × {context} tokens the draft model takes {share:.0%} more than "
                "the target alone.",
            )
    return ("No draft model took part; drafters without one add scratch alone.",)


def _draw(figure: Figure, values: Mapping[str, Mapping[str, Any]]) -> None:
    axes = figure.subplots()
    left = [0.0] * len(values)
    for number, part in enumerate(("weights", "cache", "scratch")):
        widths = [v[part] / MB for v in values.values()]
        axes.barh(range(len(values)), widths, 0.6, left, color=COLOURS[number], label=part)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, v in enumerate(values.values()):
        axes.vlines(_measured(v) / MB, row - 0.4, row + 0.4, color=INK, linewidth=2)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xlabel("MB")
    axes.yaxis.grid(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
