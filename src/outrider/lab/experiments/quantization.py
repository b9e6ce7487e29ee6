"""The same model in other weights: size, speed, what is lost, and what it is worth as a draft."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

from outrider.engines.native import NativeEngine
from outrider.errors import UsageError
from outrider.lab.experiment import (
    FIXED,
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
)
from outrider.lab.experiments.words import exactness, share, times, verdict
from outrider.lab.formats import (
    GIVEN,
    Format,
    change_in_words,
    draft_arm,
    format_of,
    readings,
)
from outrider.lab.formats_plot import MB, draw_drafts, draw_formats
from outrider.lab.reading import Reading
from outrider.lab.results import Results
from outrider.lab.statistics import Finding, Interval, finding
from outrider.lab.variants import Variant, file_of
from outrider.types import Usage, summed

LENGTH: Final = 4
"""Tokens that a copy drafts at a step."""


class Quantization(Experiment):
    """The model's file as it is, and its copies in other types of weights."""

    name: ClassVar[str] = "quantization"
    title: ClassVar[str] = "Weights"
    question: ClassVar[str] = (
        "What do fewer bits a weight save, what do they lose, and does such a copy draft well?"
    )

    def __init__(self) -> None:
        # What was read goes with the bench, and with it the models.
        self._readings: WeakKeyDictionary[Bench, Reading] = WeakKeyDictionary()

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """The file as given and each copy, decoding plainly; each copy as a draft for the file."""
        return [
            PLAIN_ARM,
            *(
                Arm(name=kind, settings={"speculation": False}, variant=Variant(copy=kind))
                for kind in setup.formats
            ),
            *(
                Arm(
                    name=draft_arm(kind),
                    settings={"controller": FIXED, "num_draft_tokens": LENGTH},
                    variant=Variant(draft=kind),
                )
                for kind in setup.formats
            ),
        ]

    def warm_up(self, bench: Bench, arms: Sequence[Arm]) -> None:
        """Make and open the copies; float32 too, so that what is lacking shows at once.

        Raises:
            UsageError: the model was not loaded from a file.
        """
        if file_of(bench.llm) is None:
            raise UsageError("The experiment 'quantization' needs a model loaded from a file.")
        if arms:
            self._readings[bench] = Reading(bench.llm, bench.variants, len(bench.setup.prompts))
            super().warm_up(bench, arms)

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """An answer; and a passage read by the same weights, beside float32's reading of it."""
        samples = bench.ask(arm, cell, self.prompts(bench.setup))
        if arm.variant.draft is not None:
            return Measured(samples=samples)
        values = _facts(bench, arm)
        if cell.repeat == 0:
            values |= self._readings[bench].compare(arm.variant, cell.group)
        return Measured(samples=samples, values=values)

    def section(self, results: Results) -> Section:
        """Speed and divergence of each format, and what each is worth as a draft."""
        formats = [format_of(results, name) for name in (GIVEN, *results.setup.formats)]
        given, *rest = formats
        return Section(
            findings=_findings(results, given, rest),
            plots=(
                Plot(
                    "quantization",
                    "The file, its speed (every prompt a dot, all together the bar with its "
                    "interval), and how far a token's distribution is from the same file's in "
                    "float32 (every passage a dot).",
                    lambda figure: draw_formats(figure, results, formats),
                    height=max(0.09 * len(formats) + 0.14, 0.36),
                ),
                *_draft_plots(results, rest),
            ),
            tables=(_format_table(results, formats), *_draft_tables(results, formats[1:])),
            notes=_notes(formats),
        )

    def answers(self, results: Results) -> Mapping[str, str]:
        """Why it matters how well a draft agrees, from the copies that agree most and least."""
        found = [format_of(results, kind) for kind in results.setup.formats]
        if len(found) < 2:
            return {}
        most, least = (end(found, key=attrgetter("as_given")) for end in (max, min))
        rates = [share(_usage(results, f.name).acceptance_rate) for f in (most, least)]
        return {
            "alignment": f"A copy in {most.name} agrees with the file as given on the likeliest "
            f"token {share(most.as_given)} of the time, one in {least.name} "
            f"{share(least.as_given)}; of {LENGTH} tokens that they draft at a step {rates[0]} and "
            f"{rates[1]} are accepted, because one that is wrong takes all behind it along."
        }

    def advice(self, results: Results) -> Sequence[str]:
        """A faster copy with its price, and a copy that pays as a draft."""
        told = []
        for kind in results.setup.formats:
            ratio, found = results.total(kind), format_of(results, kind)
            if finding(ratio) is Finding.FASTER:
                told.append(
                    f"A copy in {kind} is {times(ratio)} times as fast as the file as given, and "
                    f"its perplexity is {change_in_words(found.change)}; `outrider quantize MODEL "
                    f"OUT --type {kind}` makes one."
                )
            ratio = results.total(draft_arm(kind))
            if finding(ratio) is Finding.FASTER:
                told.append(
                    f"A copy in {kind} pays as a draft: {times(ratio)} times plain decoding with "
                    f"{LENGTH} tokens a step; give it as `--draft-model`."
                )
        return told


def _facts(bench: Bench, arm: Arm) -> dict[str, Any]:
    """Sizes and types of an arm's file, as it is and as the engine computes it."""
    engine = bench.variants.llm(arm.variant).engine
    assert isinstance(engine, NativeEngine)
    kind = arm.variant.copy
    types = Counter(t.type for t in engine.file.tensors() if len(t.shape) == 2)
    return {
        "file_bytes": engine.file.path.stat().st_size,
        "weight_bytes": engine.weight_bytes,
        "types": dict(types.most_common()),
        "computed": dict(engine.repacked),
        "widened": kind is not None and bench.variants.copy(kind).widened,
    }


# ------------------------------------------------------------------------- what comes of it


def _findings(results: Results, given: Format, rest: Sequence[Format]) -> Sequence[str]:
    kl = f"A token's distribution is {given.kl.value:.4f} nats (KL) from float32's"
    computed = f"{kl} for the file as given, and {given.same_top:.1%} of the likeliest are the same"
    if not rest:
        return (
            f"{computed}.",
            "No copy was made: the package gguf is missing (`pip install 'outrider[quantize]'`), "
            "or the file has no other type that it can be copied in.",
        )
    fastest = max(rest, key=lambda f: f.speed.value if f.speed else 0.0)
    worst = max(rest, key=lambda f: f.kl.value)
    best = max(rest, key=lambda f: r.value if (r := results.total(draft_arm(f.name))) else 0.0)
    usage = _usage(results, best.name)
    return (
        verdict(f"The fastest copy, {fastest.name},", fastest.speed, "the file as given"),
        f"Its perplexity is {change_in_words(fastest.change)}.",
        f"{computed}; the copy furthest from it is {worst.name} with {worst.kl.value:.4f} and "
        f"{worst.same_top:.1%}.",
        f"As a draft for the file as given {best.name} has {share(usage.acceptance_rate)} of its "
        f"tokens accepted. "
        + verdict(f"With {LENGTH} of them a step it", results.total(draft_arm(best.name))),
        exactness(results, [draft_arm(f.name) for f in rest]),
    )


def _usage(results: Results, kind: str) -> Usage:
    return summed(sample.usage for sample in results.samples(draft_arm(kind)))


def _notes(formats: Sequence[Format]) -> Sequence[str]:
    wider = [f.name for f in formats if f.facts["widened"]]
    notes = [
        "Perplexity and divergence are over passages of our own, read as they stand: they tell "
        "formats of one file apart, and say little about how good a model is. Copies are made from "
        "the file as given, so what it has lost is lost in all of them, and in float32 too.",
        "The engine computes in 4 or 8 bits with 8-bit activations, whatever the file has: "
        + "; ".join(f"{f.label}: {_computed(f)}" for f in formats)
        + ".",
    ]
    if wider:
        notes.append(
            f"Widened, and so no closer to the model that the file was made from: "
            f"{', '.join(wider)}."
        )
    return notes


def _computed(found: Format) -> str:
    return ", ".join(f"{count} of {what}" for what, count in found.facts["computed"].items())


def _format_table(results: Results, formats: Sequence[Format]) -> Table:
    return Table(
        (
            "weights",
            "file, MB",
            "in memory, MB",
            "tokens/s",
            "times given",
            "perplexity",
            "times given's",
            "KL, nats",
            "same likeliest",
        ),
        [
            (
                f"{f.label}{', widened' if f.facts['widened'] else ''}",
                f"{f.facts['file_bytes'] / MB:.0f}",
                f"{f.facts['weight_bytes'] / MB:.0f}",
                f"{f.tokens_per_second:.1f}",
                times(f.speed) if f.speed else "1",
                f"{f.perplexity.value:.2f}",
                "1" if f.name == GIVEN else _fine(f.change, 3),
                _fine(f.kl, 4),
                f"{f.same_top:.1%}",
            )
            for f in formats
        ],
        f"Perplexity, KL and likeliest tokens: {len(readings(results, GIVEN))} passages, the last "
        "two against the same file in float32.",
    )


def _fine(value: Interval, digits: int) -> str:
    if value.low is None or value.high is None:
        return f"{value.value:.{digits}f}"
    return f"{value.value:.{digits}f} ({value.low:.{digits}f}–{value.high:.{digits}f})"


def _draft_tables(results: Results, copies: Sequence[Format]) -> Sequence[Table]:
    if not copies:
        return ()
    rows = []
    for f in copies:
        usage = _usage(results, f.name)
        rows.append(
            (
                f.name,
                share(usage.acceptance_rate),
                f"{usage.mean_accepted_length:.2f}",
                f"{f.as_given:.1%}",
                f"{usage.draft_ms / usage.draft_tokens:.2f}" if usage.draft_tokens else "–",
                times(results.total(draft_arm(f.name))),
            )
        )
    return (
        Table(
            (
                "draft",
                "accepted",
                "length",
                "likeliest as given",
                "ms a drafted token",
                "times plain",
            ),
            rows,
            f"With {LENGTH} tokens a step. Likeliest as given: over the passages, the share of "
            "tokens where the copy and the file as given find the same one likeliest, which is "
            "what a greedy draft lives on.",
        ),
    )


def _draft_plots(results: Results, copies: Sequence[Format]) -> Sequence[Plot]:
    if not copies:
        return ()
    return (
        Plot(
            "quantization-drafts",
            f"Copies as drafts for the file as given, {LENGTH} tokens a step: what is accepted of "
            "them, and the speed. Every prompt a dot, all together the bar.",
            lambda figure: draw_drafts(figure, results, copies),
            height=max(0.08 * len(copies) + 0.18, 0.36),
        ),
    )
