"""An evaluation as a page: one file of HTML that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from outrider.strategies.answering.evaluation import Evaluation
from outrider.strategies.answering.grading import Failure, Graded
from outrider.strategies.answering.judge import LEAST_KAPPA
from outrider.style import template


def render(evaluations: Sequence[Evaluation]) -> str:
    """The page of the first run, beside the others.

    It shows the figures by subject, the judge's agreement, the runs side by side, and every wrong
    answer under its kind of failure, with its text.
    """
    first = evaluations[0]
    return template("evaluation.html.jinja").render(
        evaluations=evaluations,
        first=first,
        facts=first.run.facts,
        least_kappa=LEAST_KAPPA,
        refusals=refusals(first),
        share=share,
        percent=lambda value: f"{100 * (value or 0):.1f}%",
        kappa=kappa,
        seconds=_seconds,
        by_subject=_by_subject,
    )


def refusals(found: Evaluation) -> str | None:
    """A sentence or two on the questions that ended in an error; None where none did."""
    wrong, left_out = len(found.failures.get(Failure.ERROR, ())), len(found.left_out)
    said = []
    if wrong:
        said.append(f"{_count(wrong)} ended in an error: counted as not right.")
    if left_out:
        said.append(
            f"{_count(left_out)} ended in an error with no known answer: not in the accuracy."
        )
    return " ".join(said) or None


def share(value: float | None) -> str:
    """A share for people; a dash where there is none."""
    return "–" if value is None else f"{value:.1%}"


def kappa(value: float | None) -> str:
    """Cohen's kappa for people."""
    return "not defined" if value is None else f"{value:.2f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def _by_subject(graded: Sequence[Graded]) -> str:
    counts = Counter(one.answered.subject for one in graded)
    return ", ".join(f"{subject} {count}" for subject, count in counts.most_common())


def _count(questions: int) -> str:
    return f"{questions} question{'s' if questions != 1 else ''}"
