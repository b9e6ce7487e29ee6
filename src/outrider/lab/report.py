"""The report of runs: one page of Markdown and one of HTML that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outrider.errors import UsageError
from outrider.lab import plots
from outrider.lab.chapters import Chapter, compose
from outrider.lab.conclusion import Conclusion, conclude
from outrider.lab.course import Answer, answered
from outrider.lab.course_tables import BLANK
from outrider.lab.evidence import Evidence, gather, names
from outrider.lab.run_folder import RunFolder, write_whole
from outrider.lab.runs import ALLOWED_SHARE, harness_share, setup_of
from outrider.lab.walk import numbers, walk
from outrider.style import template
from outrider.types import Sampling


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        page: the page of HTML.
        conclusion: what it recommends.
        chapters: what each experiment found.
    """

    page: Path
    conclusion: Conclusion
    chapters: Sequence[Chapter]


def write(folder: RunFolder) -> tuple[Path, Sequence[Chapter]]:
    """Write a run's report into its folder.

    Returns:
        The page of HTML, and its chapters.

    Raises:
        UsageError: as for `story`.
    """
    report = story([folder], folder.path)
    return report.page, report.chapters


def story(folders: Sequence[RunFolder], directory: Path) -> Report:
    """Write the report of one run or of several: the whole story in one page.

    Args:
        folders: of the runs, whole or not.
        directory: where it is written; it is made where it does not exist.

    Raises:
        UsageError: the runs cannot be told together, nothing is measured in one, matplotlib is not
            installed, or a file cannot be written.
    """
    plots.check()
    told = _tell(folders)
    blocks, chapters = compose(told.evidence, told.answers, directory)
    values = {
        "facts": _subject(folders[0]),
        "runs": {
            name: _facts(folder, share)
            for folder, (name, share) in zip(folders, told.shares.items(), strict=True)
        },
        "conclusion": told.conclusion,
        "blocks": blocks,
        "chapters": chapters,
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for ending in ("md", "html"):
            text = template(f"report.{ending}.jinja").render(values)
            write_whole(directory / f"report.{ending}", text)
    except OSError as error:
        raise UsageError(
            f"The report cannot be written to {directory}: {error.strerror}."
        ) from error
    return Report(directory / "report.html", told.conclusion, chapters)


def course(folders: Sequence[RunFolder]) -> str:
    """The course in seven parts as Markdown, its tables filled from runs, or empty without any.

    Raises:
        UsageError: the runs cannot be told together, or one cannot be read.
    """
    told = _tell(folders) if folders else None
    evidence, answers = (told.evidence, told.answers) if told is not None else ([], answered([]))
    values = {
        "parts": walk(evidence, answers),
        "conclusion": told.conclusion if told is not None else None,
        "several": len(folders) > 1,
        "numbers": numbers(),
        "blank": BLANK,
    }
    return template("course.md.jinja").render(values).rstrip() + "\n"


@dataclass(frozen=True, slots=True)
class _Told:
    """What runs say together."""

    evidence: Sequence[Evidence]
    answers: Sequence[Answer]
    shares: Mapping[str, float]
    conclusion: Conclusion


def _tell(folders: Sequence[RunFolder]) -> _Told:
    evidence = gather(folders)
    answers = answered(evidence)
    shares = {
        name: harness_share([m for e in evidence if e.run == name for m in e.results.measurements])
        for name in names(folders)
    }
    return _Told(evidence, answers, shares, conclude(evidence, answers, shares))


def _subject(folder: RunFolder) -> Mapping[str, str]:
    """What was measured, and on what; the same in all runs of a report."""
    said = folder.description
    return {
        "model": f"{said['model_name']} ({said['fingerprint']})",
        "machine": f"{said['machine']['processor']}, {said.get('threads', '?')} threads, kernel "
        f"{said.get('kernel', '?')}",
    }


def _facts(folder: RunFolder, share: float) -> Mapping[str, Any]:
    """What one run was asked, and with what."""
    setup, said = setup_of(folder), folder.description
    temperature = setup.settings.get("temperature", Sampling().temperature)
    categories = {prompt.category for prompt in setup.prompts}
    return {
        "experiments": ", ".join(said["experiments"]),
        "prompts": f"{len(setup.prompts)} in {len(categories)} categories, each "
        f"{setup.repeats} time{'s' if setup.repeats > 1 else ''}",
        "answers": f"up to {setup.max_tokens} tokens, temperature {temperature:g} unless an "
        "experiment varies it; each begins with empty drafters and no cached prefix",
        "software": ", ".join(
            f"{name} {version}"
            for name, version in said["versions"].items()
            if name in ("outrider", "python", "numpy")
        ),
        "begun": said["begun"],
        "harness": f"{share:.2%} of what it measured, timed empty"
        + ("" if share <= ALLOWED_SHARE else "; more than it should be: answers are too short"),
    }
