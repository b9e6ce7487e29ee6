"""The distributions behind acceptance: 1 − TV of draft and target, and where it is large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

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
from outrider.lab.experiments.acceptance_plots import draw_distributions, draw_means
from outrider.lab.experiments.drafts import Draft, named_by
from outrider.lab.experiments.overlaps import (
    CLASSES,
    Group,
    Overlaps,
    apart,
    overlaps_of,
    token_class,
)
from outrider.lab.experiments.words import drawing, share
from outrider.lab.results import Results
from outrider.lab.statistics import ENOUGH, Interval
from outrider.lab.watching import Reached, watch
from outrider.text import Tokenizer

Seen = tuple[int, str, float, int]
"""Of a position: its depth, the kind of its token, 1 − TV, and whether the draft was accepted."""

LENGTH: Final = 4
NOISE: Final = "perturbed:noise=0.8"
"""Draws from the target's own logits with noise: how a draft looks that mostly agrees."""


class Acceptance(Experiment):
    """What the target thinks of drafts, position by position.

    Args:
        temperature: at which both are drawn from, where the run asks for 0: there both
            distributions are single tokens.
    """

    name: ClassVar[str] = "acceptance"
    title: ClassVar[str] = "Acceptance"
    question: ClassVar[str] = (
        "How much do draft and target overlap: by position, by kind of token, by kind of task?"
    )

    def __init__(self, *, temperature: float = 1.0) -> None:
        self._temperature = temperature

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Each drafter, with drafts that are drawn where it can draw, under rejection."""
        at = setup.settings.get("temperature") or self._temperature
        return [
            Arm(
                name=draft.name,
                settings={
                    "drafter": drawing(draft.spec),
                    "controller": FIXED,
                    "num_draft_tokens": LENGTH,
                    "verification": "rejection",
                    "temperature": at,
                },
                against=draft.name,
            )
            for draft in _drafts(setup)
        ]

    def warm_up(self, bench: Bench, arms: Sequence[Arm]) -> None:
        """Nothing: no time is measured."""

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """The overlap at every position that the drafts of an answer reach."""
        tokenizer = bench.llm.tokenizer
        reached = watch(bench, arm, cell, bench.setup.prompts, lambda r: _seen(tokenizer, r))
        return Measured(values={"reached": reached})

    def section(self, results: Results) -> Section:
        """Overlaps by whatever they differ by."""
        found = [overlaps_of(results, draft.name) for draft in _drafts(results.setup)]
        found = [overlaps for overlaps in found if overlaps.positions]
        if not found:
            return Section(findings=("No drafter drafted anything.",), plots=())
        main = found[0]
        categories = results.categories()
        return Section(
            findings=_findings(main, categories),
            plots=(
                Plot(
                    "acceptance",
                    f"How 1 − TV is spread over the positions that drafts of {main.name} reach, by "
                    "kind of task: at the right what the target would say too, at the left what it "
                    "would not. The upright mark is the mean, which is the acceptance.",
                    lambda figure: draw_distributions(figure, main, categories),
                    height=max(0.065 * (len(categories) + 1) + 0.2, 0.5),
                ),
                Plot(
                    "acceptance-means",
                    "Acceptance by position in the draft, given that those before it were "
                    "accepted, and by the kind of token that stands there, with intervals over "
                    "prompts.",
                    lambda figure: draw_means(figure, found),
                    height=1.15,
                ),
            ),
            tables=(
                Table(
                    ("drafter", "positions", "1 − TV, mean", "counted", "below 10%", "above 90%"),
                    [_row(overlaps) for overlaps in found],
                    "counted: the share of these positions at which the draft was accepted; it "
                    "differs from the mean by chance alone.",
                ),
                Table(
                    ("by", *(overlaps.name for overlaps in found)),
                    [
                        *(_line(f"position {n}", found, "depths", n) for n in _depths(found)),
                        *(_line(name, found, "classes", name) for name in CLASSES),
                        *(_line(name, found, "categories", name) for name in categories),
                    ],
                ),
            ),
            notes=(
                "1 − TV is the sum over all tokens of the smaller of the two probabilities: what "
                "rejection accepts of a draft that is drawn. A draft that is looked up is one "
                "token for certain, or several in a tree, and 1 − TV is what the target gives them "
                "together. Answers are drawn at temperature "
                f"{results.setup.settings.get('temperature') or self._temperature:g}.",
                "A kind of token is that of the token which stands there in the end. Of a draft, "
                "later positions are reached only where all before were accepted.",
                f"`{_noise().name}` draws from the target's own logits with noise: a picture of a "
                "draft that mostly agrees, not a way to draft.",
            ),
        )

    def answers(self, results: Results) -> Mapping[str, str]:
        """The average acceptance, and what it depends on."""
        measured = [draft for draft in _drafts(results.setup) if not draft.simulated]
        found = [overlaps_of(results, draft.name) for draft in measured]
        found = [overlaps for overlaps in found if overlaps.positions]
        if not found:
            return {}
        means = "; ".join(f"{o.name} {told(o.all.mean)}" for o in found if o.all)
        return {
            "acceptance": f"Of the positions that drafts reach, accepted on average: {means}. "
            + " ".join(_findings(found[0], results.categories())[1:])
        }


def _seen(tokenizer: Tokenizer, reached: Reached) -> Seen:
    kind = token_class(tokenizer, reached.said)
    return reached.depth, kind, round(reached.overlap, 4), int(reached.accepted)


def told(value: Interval) -> str:
    """A share with its interval: 42% (38–46)."""
    if value.low is None or value.high is None:
        return share(value.value)
    return f"{share(value.value)} ({100 * value.low:.0f}–{100 * value.high:.0f})"


def _noise() -> Draft:
    return Draft("noise 0.8", NOISE)


def _drafts(setup: Setup) -> Sequence[Draft]:
    return [*named_by(setup), _noise()]


def _findings(main: Overlaps, categories: Sequence[str]) -> Sequence[str]:
    overall = main.all
    return (
        f"{main.name}: where a draft reaches a position, it is accepted there with probability "
        f"{told(overall.mean)} on average, by the distributions of draft and target; counted, "
        f"{share(overall.accepted)} were.",
        _by_depth(main),
        _extremes("kinds of token", {name: main.classes.get(name) for name in CLASSES}),
        _extremes("kinds of task", {name: main.categories.get(name) for name in categories}),
    )


def _by_depth(main: Overlaps) -> str:
    known = [depth for depth, group in main.depths.items() if group.mean.units >= ENOUGH]
    deepest = max(known, default=1)
    if deepest == 1:
        return "Beyond the first position drafts got on too few prompts to say more."
    first, last = main.depths[1], main.depths[deepest]
    sentence = (
        f"At the first position of a draft it is {told(first.mean)}, at position {deepest}, where "
        f"all before were accepted, {told(last.mean)}"
    )
    return sentence + (
        "." if apart(first.mean, last.mean) else ", so that they differ is not shown."
    )


def _extremes(kinds: str, groups: Mapping[str, Group | None]) -> str:
    """The groups of most and least acceptance, of those that enough prompts speak for."""
    known = {n: g for n, g in groups.items() if g is not None and g.mean.units >= ENOUGH}
    if len(known) < 2:
        return f"There are too few prompts to compare {kinds}."
    low, high = (f(known, key=lambda name: known[name].value) for f in (min, max))
    sentence = (
        f"Of the {kinds}, most is accepted of {high}, {told(known[high].mean)}, and least of "
        f"{low}, {told(known[low].mean)}"
    )
    if apart(known[low].mean, known[high].mean):
        return sentence + "."
    return sentence + "; that may be chance."


def _depths(found: Sequence[Overlaps]) -> Sequence[int]:
    return sorted({depth for overlaps in found for depth in overlaps.depths})


def _line(label: str, found: Sequence[Overlaps], by: str, key: int | str) -> tuple[str, ...]:
    groups = [getattr(overlaps, by).get(key) for overlaps in found]
    return (label, *(told(group.mean) if group is not None else "–" for group in groups))


def _row(overlaps: Overlaps) -> tuple[str, ...]:
    overall = overlaps.all
    values = overall.overlaps
    return (
        overlaps.name,
        str(len(values)),
        told(overall.mean),
        share(overall.accepted),
        share(sum(value < 0.1 for value in values) / len(values)),
        share(sum(value > 0.9 for value in values) / len(values)),
    )
