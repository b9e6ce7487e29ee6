"""The report of a run: one page of Markdown and one of HTML that needs nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from outrider import registry
from outrider.errors import UsageError
from outrider.lab import plots
from outrider.lab.course import answered
from outrider.lab.experiment import Experiment, Section
from outrider.lab.results import Results
from outrider.lab.run_folder import RunFolder, write_whole
from outrider.lab.runs import compared, harness_share, results_of, setup_of
from outrider.lab.walk import BLANK, numbers, walk
from outrider.types import Sampling

PLOTS: Final = "plots"
TOO_EARLY: Final = "There is no prompt yet that every arm answered with two tokens or more."

ALLOWED_SHARE: Final = 0.01
"""Of the harness, beside what it measures."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """An experiment's section as a page shows it.

    Attributes:
        name: of the experiment.
        title: its heading.
        question: that it answers.
        section: what it found.
        pictures: its plots as SVG for the page, in their order.
        answers: to questions of the course, by their keys.
        advice: what to do.
        missing: cells that are planned and not measured.
        outliers: answers whose time a token is far from those like them, by name.
    """

    name: str
    title: str
    question: str
    section: Section
    pictures: Sequence[Markup]
    answers: Mapping[str, str]
    advice: Sequence[str]
    missing: int
    outliers: Sequence[str]


def write(folder: RunFolder) -> tuple[Path, Sequence[Chapter]]:
    """Write a run's report from what is measured of it.

    Returns:
        The page of HTML, and its chapters.

    Raises:
        UsageError: nothing is measured, matplotlib is not installed, or a file cannot be written.
    """
    plots.check()
    results = results_of(folder)
    if not results:
        raise UsageError(
            f"Nothing is measured in {folder.path} yet; `outrider lab retry {folder.path}` does it."
        )
    chapters = [
        _chapter(folder, registry.load("experiments", name)(), found)
        for name, found in (
            (name, results.get(name.partition(":")[0]))
            for name in folder.description["experiments"]
        )
        if found is not None
    ]
    values = {
        "run": folder.description,
        "chapters": chapters,
        "advice": [sentence for chapter in chapters for sentence in chapter.advice],
        "answers": answered({k: text for c in chapters for k, text in c.answers.items()}),
        **_facts(folder, results),
    }
    page = folder.path / "report.html"
    try:
        for ending in ("md", "html"):
            text = _environment().get_template(f"report.{ending}.jinja").render(values)
            write_whole(folder.path / f"report.{ending}", text)
    except OSError as error:
        raise UsageError(
            f"The report cannot be written to {folder.path}: {error.strerror}."
        ) from error
    return page, chapters


def course(folder: RunFolder | None) -> str:
    """The course in seven parts as Markdown, its tables filled from a run or empty.

    Raises:
        UsageError: the run cannot be read.
    """
    values = {"parts": walk(folder), "numbers": numbers(), "blank": BLANK}
    return _environment().get_template("course.md.jinja").render(values).rstrip() + "\n"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("outrider", "data"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    return environment


def _code(text: str) -> Markup:
    """A sentence for HTML: what stands between backticks is code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _chapter(folder: RunFolder, experiment: Experiment, results: Results) -> Chapter:
    paired = compared(experiment, results)
    section = Section(findings=(TOO_EARLY,), plots=())
    answers: Mapping[str, str] = {}
    advice: Sequence[str] = ()
    if paired is not None:
        section = experiment.section(paired)
        answers, advice = experiment.answers(paired), experiment.advice(paired)
    return Chapter(
        name=experiment.name,
        title=experiment.title,
        question=experiment.question,
        section=section,
        pictures=[Markup(plots.save(plot, folder.path / PLOTS)) for plot in section.plots],
        answers=answers,
        advice=advice,
        missing=folder.description["cells"][experiment.name] - len(results.measurements),
        outliers=[f"{s.plan}, prompt {s.prompt}" for s in (paired.outliers() if paired else ())],
    )


def _facts(folder: RunFolder, results: Mapping[str, Results]) -> dict[str, Any]:
    """What stands at the head of a report."""
    setup = setup_of(folder)
    everything = [m for found in results.values() for m in found.measurements]
    share = harness_share(everything)
    temperature = setup.settings.get("temperature", Sampling().temperature)
    categories = {prompt.category for prompt in setup.prompts}
    return {
        "facts": {
            "model": f"{folder.description['model_name']} ({folder.description['fingerprint']})",
            "prompts": f"{len(setup.prompts)} in {len(categories)} categories, each "
            f"{setup.repeats} time{'s' if setup.repeats > 1 else ''}",
            "answers": f"up to {setup.max_tokens} tokens, temperature {temperature:g} unless an "
            "experiment varies it; each begins with empty drafters and no cached prefix",
            "machine": f"{folder.description['machine']['processor']}, "
            f"{folder.description.get('threads', '?')} threads, kernel "
            f"{folder.description.get('kernel', '?')}",
            "software": ", ".join(
                f"{name} {version}"
                for name, version in folder.description["versions"].items()
                if name in ("outrider", "python", "numpy")
            ),
            "begun": folder.description["begun"],
            "harness": f"{share:.2%} of what it measured, timed empty"
            + ("" if share <= ALLOWED_SHARE else "; more than it should be: answers are too short"),
        },
        "harness_share": share,
    }
