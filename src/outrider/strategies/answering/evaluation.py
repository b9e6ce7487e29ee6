"""A run of answers evaluated: right and wrong by subject, times, speculation, and the score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Final

from outrider.errors import UsageError
from outrider.strategies.answering.agreement import share_interval
from outrider.strategies.answering.grading import Failure, Graded, grade, kind
from outrider.strategies.answering.judge import Agreement, ModelJudge, agreement
from outrider.strategies.answering.record import Answered, RunFacts, read_answers, read_facts
from outrider.strategies.answering.score import Score, scores

ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class AnsweredRun:
    """A run as it was read.

    Attributes:
        path: of its answers.
        answers: in the order of the file.
        facts: None where none stand beside it.
        unanswered: ids of questions without an answer: those that the facts name, and those that
            other runs have answered.
    """

    path: Path
    answers: tuple[Answered, ...]
    facts: RunFacts | None
    unanswered: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the file."""
        return self.path.name

    @property
    def total_seconds(self) -> float | None:
        """Of the whole run, by its facts; None where none stand beside it."""
        return self.facts.total_seconds if self.facts is not None else None


@dataclass(frozen=True, slots=True)
class Figures:
    """What the answers of one subject came to, or all of them.

    Attributes:
        name: of the subject.
        questions: with a known answer; those that stayed unanswered are among them.
        correct: of these, answered right.
        judged: grades among them that the judge gave.
        seconds: mean of a question, in the company of others.
        median_seconds: the same.
        tokens: generated.
        draft_tokens: drafted.
        accepted_tokens: of these, accepted.
    """

    name: str
    questions: int
    correct: int
    judged: int
    seconds: float
    median_seconds: float
    tokens: int
    draft_tokens: int
    accepted_tokens: int

    @property
    def accuracy(self) -> float | None:
        """The share of right answers; None where no answer is known."""
        return self.correct / self.questions if self.questions else None

    @property
    def interval(self) -> tuple[float, float]:
        """Of the accuracy, at 95%."""
        return share_interval(self.correct, self.questions)

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted over drafted tokens; None where nothing was drafted."""
        return self.accepted_tokens / self.draft_tokens if self.draft_tokens else None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One run, graded.

    Attributes:
        run: what was graded.
        graded: each answer's grade.
        subjects: figures by subject; the last is of all.
        agreement: of the judge with known answers, by subject; empty without a judge.
        score: relative to the runs it stands beside, itself among them.
    """

    run: AnsweredRun
    graded: tuple[Graded, ...]
    subjects: tuple[Figures, ...]
    agreement: Mapping[str, Agreement]
    score: Score

    @property
    def overall(self) -> Figures:
        """Of all subjects."""
        return self.subjects[-1]

    @property
    def withheld(self) -> tuple[str, ...]:
        """Subjects in which the judge is not to be trusted, so that comparison alone counts."""
        return tuple(name for name, found in self.agreement.items() if not found.trusted)

    @property
    def left_out(self) -> tuple[Answered, ...]:
        """Questions that ended in an error and have no known answer: the accuracy lacks them."""
        found = (one.answered for one in self.graded if one.by == "none")
        return tuple(answer for answer in found if answer.finish_reason == "error")

    @property
    def failures(self) -> dict[Failure, list[Graded]]:
        """The wrong answers by kind, the most frequent kind first."""
        groups: dict[Failure, list[Graded]] = {}
        for one in self.graded:
            if one.failure is not None:
                groups.setdefault(one.failure, []).append(one)
        return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def read_run(path: Path) -> AnsweredRun:
    """A run's answers and facts.

    Raises:
        UsageError: there are none, or they cannot be read.
    """
    answers, facts = read_answers(path), read_facts(path)
    if not answers:
        raise UsageError(f"{path} holds no answers; `outrider answer QUESTIONS -o {path}` does.")
    done = {answer.id for answer in answers}
    if len(done) < len(answers):
        raise UsageError(f"{path} answers a question twice; it is no single run.")
    named = facts.more.get("unanswered", ()) if facts is not None else ()
    return AnsweredRun(path, tuple(answers), facts, tuple(n for n in named if n not in done))


def evaluate(
    runs: Sequence[AnsweredRun],
    judge: ModelJudge | None = None,
    *,
    listener: Callable[[str], None] = lambda text: None,
) -> list[Evaluation]:
    """Evaluates runs of the same questions, each beside the best.

    A judge is first tried on known answers, subject by subject; where it does not agree with them
    it is not asked.

    Args:
        runs: one, or several to be compared.
        judge: for answers in words; None lets comparison decide.
        listener: told what happens.

    Raises:
        UsageError: the runs answer different questions, or math-verify is missing.
        OutriderError: the judge cannot be asked.
    """
    runs = _same_questions(runs)
    agreed = {}
    if judge is not None:
        listener("trying the judge on known answers")
        known = {answer.id: answer for run in runs for answer in run.answers}
        agreed = agreement(judge, list(known.values()))
    trusted = {name for name, found in agreed.items() if found.trusted}
    graded = []
    for run in runs:
        listener(f"grading {run.name}")
        graded.append(_grade(run, judge, trusted))
    figures = [_figures(run, grades) for run, grades in zip(runs, graded, strict=True)]
    found = scores([each[-1].accuracy or 0.0 for each in figures], _paces(runs))
    return [
        Evaluation(run, tuple(grades), tuple(each), agreed, score)
        for run, grades, each, score in zip(runs, graded, figures, found, strict=True)
    ]


def _paces(runs: Sequence[AnsweredRun]) -> list[float]:
    """Seconds an answer: of the whole run, or of the single questions where a run has no facts.

    A question's own seconds are those in the company of others, so that the two do not compare.
    """
    totals = [run.total_seconds for run in runs]
    if None in totals:
        totals = [sum(answer.seconds for answer in run.answers) for run in runs]
    return [(total or 0.0) / len(run.answers) for total, run in zip(totals, runs, strict=True)]


def _grade(run: AnsweredRun, judge: ModelJudge | None, trusted: set[str]) -> list[Graded]:
    graded = grade([a for a in run.answers if a.subject in trusted], judge)
    graded += grade([a for a in run.answers if a.subject not in trusted])
    order = {answer.id: index for index, answer in enumerate(run.answers)}
    return sorted(graded, key=lambda one: order[one.answered.id])


def _same_questions(runs: Sequence[AnsweredRun]) -> list[AnsweredRun]:
    """The runs, each with the questions that only others have answered among its unanswered."""
    everything = {a.id: a.question for run in runs for a in run.answers}
    made = []
    for run in runs:
        mine = {a.id: a.question for a in run.answers}
        others = {
            i: q
            for other in runs
            if other is not run
            for i, q in ((a.id, a.question) for a in other.answers)
        }
        differing = [i for i in mine if i in others and others[i] != mine[i]]
        if differing or (others and not mine.keys() & others.keys()):
            raise UsageError(
                f"{run.path} answers other questions than the runs beside it"
                + (f", {differing[0]} for one" if differing else "")
                + "; compare runs of the same file of questions."
            )
        missing = (*run.unanswered, *(i for i in everything if i not in mine))
        made.append(AnsweredRun(run.path, run.answers, run.facts, tuple(dict.fromkeys(missing))))
    return made


def _figures(run: AnsweredRun, graded: Sequence[Graded]) -> list[Figures]:
    names = sorted({one.answered.subject for one in graded})
    groups = [(name, [g for g in graded if g.answered.subject == name]) for name in names]
    figures = [_of(name, group, 0) for name, group in groups]
    # Nobody knows what subject an unanswered question was to be of.
    return [*figures, _of(ALL, graded, len(run.unanswered))]


def _of(name: str, graded: Sequence[Graded], unanswered: int) -> Figures:
    answers = [one.answered for one in graded]
    known = [one for one in graded if kind(one.answered) != "none"]
    times = [answer.seconds for answer in answers]

    def total(counter: str) -> int:
        return sum(int(answer.usage.get(counter, 0)) for answer in answers)

    return Figures(
        name=name,
        questions=len(known) + unanswered,
        correct=sum(bool(one.correct) for one in known),
        judged=sum(one.by == "judge" for one in known),
        seconds=fmean(times) if times else 0.0,
        median_seconds=median(times) if times else 0.0,
        tokens=sum(answer.tokens for answer in answers),
        draft_tokens=total("draft_tokens"),
        accepted_tokens=total("accepted_tokens"),
    )
