"""What an experiment is: what varies, what is measured, and how it is drawn.

An experiment is a class behind this small contract and an entry point in the group
`outrider.experiments`. It plans cells, one for each measurement; the lab measures them, keeps them,
goes on with them after an interruption, and hands all of them back for the experiment to say in
words, tables and pictures what they came to.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from outrider.errors import UsageError
from outrider.lab.contest import (
    WARM_UP_TOKENS,
    LlmHost,
    Sample,
    check_together,
    sample,
    turn,
)
from outrider.lab.variants import OWN, Variant, Variants
from outrider.llm import LLM
from outrider.prompts import Prompt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from outrider.lab.results import Results

FIXED: Final = "fixed"
"""The controller under which the length of drafts is what an arm says it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What experiments are run on.

    Attributes:
        model: its name, as it was given.
        prompts: that are asked.
        drafters: that are compared, options behind a colon; the first takes part where one does.
        repeats: how often each cell is measured.
        max_tokens: of an answer.
        seed: each prompt's own is derived from it.
        raw: leave out the chat template.
        max_streams: answers computed at the same time, at most.
        context: the longest sequence in tokens.
        quick: whether a first look is wanted: fewer values of what varies.
        settings: of every request, such as temperature=0.8.
        layers: of the model, where it can stop after some of them; else 0.
        copy_drafts: whether a 4-bit copy of the model can draft for it.
        formats: types of weights that the model's file can be copied in; see `variants.formats`.
    """

    model: str
    prompts: tuple[Prompt, ...]
    drafters: tuple[str, ...]
    repeats: int = 1
    max_tokens: int = 64
    seed: int = 0
    raw: bool = False
    max_streams: int = 16
    context: int = 2048
    quick: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    layers: int = 0
    copy_drafts: bool = False
    formats: tuple[str, ...] = ()

    @property
    def drafter(self) -> str:
        """The drafter of experiments with one."""
        return self.drafters[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One value of what varies.

    Attributes:
        name: tells it apart from the experiment's other arms.
        settings: of its requests, over those of the setup.
        streams: prompts that are asked at the same moment.
        against: the name of the arm that its speed is held against; itself for one that is not.
        variant: the model that answers, where it is not the run's own as it was loaded.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    streams: int = 1
    against: str = "plain"
    variant: Variant = OWN


PLAIN_ARM: Final = Arm(name="plain", settings={"speculation": False}, against="plain")


def fixed_arm(name: str, drafter: str, length: int) -> Arm:
    """An arm that drafts so many tokens at every step, held against plain decoding."""
    return Arm(
        name=name,
        settings={"drafter": drafter, "controller": FIXED, "num_draft_tokens": length},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One planned measurement.

    Attributes:
        experiment: its name.
        arm: the name of its arm.
        group: the place of its prompts among the experiment's, in groups of the arm's streams.
        repeat: from 0.
    """

    experiment: str
    arm: str
    group: int
    repeat: int

    @property
    def key(self) -> str:
        """What it is recorded under; the same in every run of the same configuration."""
        return f"{self.experiment}/{self.arm}/{self.group}/{self.repeat}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of a cell.

    Attributes:
        samples: the answers.
        values: whatever else was measured, ready for JSON.
    """

    samples: tuple[Sample, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


class Bench:
    """The model that experiments measure, and the way they ask it.

    Every answer begins with empty drafters, controllers and prefix cache, so that a cell depends on
    nothing but itself: cells can be measured in any order, and after an interruption.

    Args:
        llm: idle.
        setup: what is asked of it.
        variants: of it, for arms that name one; None where none does.
    """

    def __init__(self, llm: LLM, setup: Setup, variants: Variants | None = None) -> None:
        self.llm = llm
        self.setup = setup
        self.variants = variants or Variants(llm)

    def host(self, arm: Arm) -> LlmHost:
        """What answers an arm's questions: its variant of the model, under its settings."""
        setup = self.setup
        settings = {**setup.settings, **arm.settings}
        llm = self.variants.llm(arm.variant)
        return LlmHost(arm.name, llm, setup.raw, setup.seed, settings)

    def ask(
        self,
        arm: Arm,
        cell: Cell,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int | None = None,
    ) -> tuple[Sample, ...]:
        """The answers of a cell.

        Args:
            arm: of the cell.
            cell: what is measured.
            prompts: of the experiment; the last group is filled up from their beginning.
            max_tokens: of an answer; None takes the setup's.

        Raises:
            UsageError: a setting.
            CapacityError: the cache cannot hold the answers of all streams.
            OutriderError: an answer failed.
        """
        setup, first = self.setup, cell.group * arm.streams
        asked = [prompts[(first + i) % len(prompts)] for i in range(arm.streams)]
        answers = self.host(arm).ask(asked, fresh=True, max_tokens=max_tokens or setup.max_tokens)
        check_together([answer for answer, _ in answers])
        return tuple(
            sample(arm.name, prompt, cell.repeat, cell.group, answer, passes)
            for prompt, (answer, passes) in zip(asked, answers, strict=True)
        )


# ----------------------------------------------------------------------- what comes of it all


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture.

    Attributes:
        name: of its files, without an ending.
        caption: what it shows, for readers and for those who cannot see it.
        draw: onto a figure.
        height: of the figure, as a share of its width.
    """

    name: str
    caption: str
    draw: Callable[[Figure], None]
    height: float = 0.62


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with headings; the first column names the row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """What an experiment says.

    Attributes:
        findings: sentences, the answer to the experiment's question first.
        plots: at least one.
        tables: the numbers behind them.
        notes: what to know before believing them.
    """

    findings: Sequence[str]
    plots: Sequence[Plot]
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


class Experiment(abc.ABC):
    """One question, answered by measuring.

    Attributes:
        name: that it is registered under.
        title: a heading.
        question: that it answers, in a sentence.
        on_request: it runs only where it is named, not among all.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    on_request: ClassVar[bool] = False

    @abc.abstractmethod
    def arms(self, setup: Setup) -> Sequence[Arm]:
        """What varies.

        Raises:
            UsageError: the setup has not what the experiment needs.
        """

    def prompts(self, setup: Setup) -> Sequence[Prompt]:
        """What is asked; at least as many prompts as any arm has streams."""
        return setup.prompts

    def cells(self, setup: Setup) -> list[Cell]:
        """The measurements, in their order: arms take turns on every group of prompts.

        What the machine does meanwhile touches all arms alike, and each is first as often as any
        other.
        """
        arms = self.arms(setup)
        planned = []
        for repeat in range(setup.repeats):
            # A prompt is asked by every arm before the next one; arms with more streams ask when
            # the first of their prompts comes up.
            for number in range(len(self.prompts(setup))):
                planned += [
                    Cell(
                        experiment=self.name,
                        arm=arm.name,
                        group=number // arm.streams,
                        repeat=repeat,
                    )
                    for arm in turn(arms, repeat + number)
                    if number % arm.streams == 0
                ]
        return planned

    def warm_up(self, bench: Bench, arms: Sequence[Arm]) -> None:
        """Let every part that arms name be made, and give an answer that does not count.

        Args:
            bench: what measures.
            arms: that have something left to measure.
        """
        seen = set()
        for arm in arms:
            parts = (
                arm.variant,
                *(
                    str(arm.settings.get(name))
                    for name in ("speculation", "drafter", "controller", "verification")
                ),
            )
            if parts not in seen:
                seen.add(parts)
                cell = Cell(experiment=self.name, arm=arm.name, group=0, repeat=0)
                max_tokens = min(WARM_UP_TOKENS, bench.setup.max_tokens)
                bench.ask(arm, cell, self.prompts(bench.setup), max_tokens=max_tokens)

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """Measure a cell.

        Raises:
            OutriderError: it cannot be measured.
        """
        return Measured(samples=bench.ask(arm, cell, self.prompts(bench.setup)))

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give back what warming up has taken; called too where that or a cell has failed."""

    @abc.abstractmethod
    def section(self, results: Results) -> Section:
        """What the measurements say; the experiment's part of the report."""

    def answers(self, results: Results) -> Mapping[str, str]:
        """The questions of `outrider.lab.course` that the measurements answer, by their keys."""
        return {}

    def advice(self, results: Results) -> Sequence[str]:
        """What to do, in sentences; nothing that the measurements do not show."""
        return ()


def arms_by_name(experiment: Experiment, setup: Setup) -> dict[str, Arm]:
    """An experiment's arms.

    Raises:
        UsageError: two share a name, or the setup has not what the experiment needs.
    """
    arms = experiment.arms(setup)
    found = {arm.name: arm for arm in arms}
    if len(found) < len(arms):
        raise UsageError(f"Two arms of the experiment {experiment.name!r} share a name.")
    return found
