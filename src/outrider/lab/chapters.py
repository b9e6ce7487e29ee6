"""The parts of a report's page: answers and chapters, with every picture in one place.

A picture stands where it is first rested on: under the answer to a question, or else in its
experiment's chapter. Everything else refers to it by its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from outrider.lab import plots
from outrider.lab.course import Answer, Question
from outrider.lab.evidence import Evidence
from outrider.lab.experiment import Section

TOO_EARLY = "There is no prompt yet that every arm answered with two tokens or more."


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture with its number.

    Attributes:
        number: from 1, in the order in which they stand on the page.
        file: of the SVG, beside the page.
        caption: what it shows.
        picture: the SVG for the page.
    """

    number: int
    file: str
    caption: str
    picture: Markup


@dataclass(frozen=True, slots=True)
class Chapter:
    """An experiment's section as a page shows it.

    Attributes:
        evidence: that it shows.
        anchor: that links lead to.
        title: its heading.
        section: what the experiment found.
        shown: pictures that stand in it.
        elsewhere: those that stand under an answer.
        outliers: answers whose time a token is far from those like them, by name.
    """

    evidence: Evidence
    anchor: str
    title: str
    section: Section
    shown: Sequence[Figure]
    elsewhere: Sequence[Figure]
    outliers: Sequence[str]

    @property
    def missing(self) -> int:
        """Cells that are planned and not measured."""
        return self.evidence.missing


@dataclass(frozen=True, slots=True)
class Part:
    """What an experiment says to a question.

    Attributes:
        text: the answer.
        source: the title of its chapter.
        anchor: of its chapter.
        figure: the picture that it rests on.
        shown: whether that stands here.
    """

    text: str
    source: str
    anchor: str
    figure: Figure
    shown: bool


@dataclass(frozen=True, slots=True)
class Block:
    """A question with its answers as a page shows them.

    Attributes:
        number: of the question, from 1.
        question: what was asked.
        parts: the answers; none where nothing was measured.
    """

    number: int
    question: Question
    parts: Sequence[Part]


def compose(
    evidence: Sequence[Evidence], answers: Sequence[Answer], directory: Path
) -> tuple[list[Block], list[Chapter]]:
    """Questions and chapters, and their pictures drawn and numbered.

    Args:
        evidence: what was measured.
        answers: to the questions, resting on it.
        directory: of the page.

    Raises:
        UsageError: a picture cannot be written.
    """
    drawn = _Drawn(evidence, directory)
    blocks = [
        Block(
            number,
            answer.question,
            [drawn.part(answer.question, told.evidence, told.text) for told in answer.told],
        )
        for number, answer in enumerate(answers, start=1)
    ]
    return blocks, [drawn.chapter(each) for each in evidence]


class _Drawn:
    """Pictures as they are placed on the page, one after another."""

    def __init__(self, evidence: Sequence[Evidence], directory: Path) -> None:
        self._directory = directory
        self._several = len({each.run for each in evidence}) > 1
        self._sections = {
            id(each): Section(findings=(TOO_EARLY,), plots=())
            if each.paired is None
            else each.experiment.section(each.paired)
            for each in evidence
        }
        self._figures: dict[tuple[str, str], Figure] = {}

    def part(self, question: Question, evidence: Evidence, text: str) -> Part:
        """An answer; its picture stands here unless it stands somewhere already."""
        names = [plot.name for plot in self._sections[id(evidence)].plots]
        wanted = question.experiments.get(evidence.experiment.name)
        name = wanted if wanted in names else names[0]
        new = (evidence.run, name) not in self._figures
        return Part(
            text=text,
            source=self._title(evidence),
            anchor=self._anchor(evidence),
            figure=self._figure(evidence, name),
            shown=new,
        )

    def chapter(self, evidence: Evidence) -> Chapter:
        """An experiment's section, with the pictures that stand nowhere yet."""
        section, paired = self._sections[id(evidence)], evidence.paired
        here = [p.name for p in section.plots if (evidence.run, p.name) not in self._figures]
        figures = {plot.name: self._figure(evidence, plot.name) for plot in section.plots}
        return Chapter(
            evidence=evidence,
            anchor=self._anchor(evidence),
            title=self._title(evidence),
            section=section,
            shown=[figure for name, figure in figures.items() if name in here],
            elsewhere=[figure for name, figure in figures.items() if name not in here],
            outliers=[
                f"{s.plan}, prompt {s.prompt}" for s in (paired.outliers() if paired else ())
            ],
        )

    def _figure(self, evidence: Evidence, name: str) -> Figure:
        key = (evidence.run, name)
        if key not in self._figures:
            (plot,) = (p for p in self._sections[id(evidence)].plots if p.name == name)
            folder = f"{plots.DIRECTORY}/{evidence.run}" if self._several else plots.DIRECTORY
            self._figures[key] = Figure(
                number=len(self._figures) + 1,
                file=f"{folder}/{name}.svg",
                caption=plot.caption,
                picture=Markup(plots.save(plot, self._directory / folder)),
            )
        return self._figures[key]

    def _title(self, evidence: Evidence) -> str:
        return evidence.experiment.title + (f" ({evidence.run})" if self._several else "")

    def _anchor(self, evidence: Evidence) -> str:
        return (f"{evidence.run}-" if self._several else "") + evidence.experiment.name
