"""From a file of questions to a file of answers, begun or continued."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from outrider.strategies.answering.journal import Journal
from outrider.strategies.answering.profile import Profile
from outrider.strategies.answering.questions import Question
from outrider.strategies.answering.record import Answered, RunFacts
from outrider.strategies.answering.run import News, Run, Settings, Unanswered, Warmed
from outrider.strategies.answering.summary import SubjectSummary, sharing, summarise
from outrider.types import Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a run.

    Attributes:
        answers: all of them, those of earlier parts included, in the order of the questions.
        continued: answers that were there before.
        unanswered: questions that a continued run would ask again.
        warmed: the prefixes that this part has computed.
        seconds: of this part.
        facts: of the whole run, as they stand beside the file.
        summaries: by subject; the last is of all.
    """

    answers: tuple[Answered, ...]
    continued: int
    unanswered: tuple[Unanswered, ...]
    warmed: tuple[Warmed, ...]
    seconds: float
    facts: RunFacts
    summaries: tuple[SubjectSummary, ...]


def answer_file(
    generator: Generator,
    profile: Profile,
    questions: Sequence[Question],
    output: Path,
    settings: Settings,
    facts: RunFacts,
    *,
    fingerprint: str,
    listener: Callable[[News, int], None] = lambda news, done: None,
) -> Outcome:
    """Answer what has no answer in the file yet, and write each answer as it comes.

    With the same questions, profile, model and seed a run that was ended anywhere and continued
    leaves the same answers as one that was not, a deadline's budgets aside.

    Args:
        generator: answers.
        profile: says how each question is asked.
        questions: all of them.
        output: the file of answers (JSON lines); the facts are put beside it.
        settings: how the run goes.
        facts: of the run; its time is set here.
        fingerprint: tells models apart.
        listener: told what happens, and how many questions are done.

    Raises:
        UsageError: the file belongs to another run, or cannot be written.
        OutriderError: the generator fails again and again.
    """
    identity = {
        "profile": profile.fingerprint,
        "model": fingerprint,
        "seed": settings.seed,
        "questions": fingerprint_of(questions),
    }
    with Journal(output, facts, identity) as journal:
        before = len(journal.answers)
        settings = replace(settings, spent=journal.seconds_before)
        answered = {answer.id for answer in journal.answers}
        open_ = [question for question in questions if question.id not in answered]
        run = Run(generator, profile, open_, settings)
        unanswered: list[Unanswered] = []
        warmed: list[Warmed] = []
        # An exception keeps the frames that it has left, so the news would not end by themselves.
        with closing(run.news()) as stream:
            for news in stream:
                match news:
                    case Answered():
                        journal.append(news, run.seconds)
                    case Unanswered():
                        unanswered.append(news)
                    case Warmed():
                        warmed.append(news)
                listener(news, len(journal.answers) + len(unanswered))
        seconds = run.seconds
        limits = {name: subject.max_tokens for name, subject in profile.subjects.items()}
        shared = sharing(journal.answers[before:], warmed)
        more: dict[str, Any] = {
            "questions": len(questions),
            "unanswered": [one.question.id for one in unanswered],
            "deadline": settings.deadline,
        }
        if shared is not None:
            more["sharing"] = {
                "prompt_tokens": shared.prompt_tokens,
                "computed_tokens": shared.computed_tokens,
                "warm_ms": shared.warm_ms,
                "alone_ms": shared.alone_ms,
            }
        order = {question.id: question.index for question in questions}
        answers = sorted(journal.answers, key=lambda answer: order[answer.id])
        return Outcome(
            answers=tuple(answers),
            continued=before,
            unanswered=tuple(unanswered),
            warmed=tuple(warmed),
            seconds=seconds,
            facts=journal.write_facts(seconds, **more),
            summaries=tuple(summarise(answers, limits)),
        )


def fingerprint_of(questions: Sequence[Question]) -> str:
    """Tells sets of questions apart: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for question in questions:
        digest.update(f"{question.id}\0{question.text}\0{question.error}\0".encode())
    return digest.hexdigest()[:16]


def known_facts(
    profile: Profile,
    model: str,
    *,
    speculation: bool,
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
) -> RunFacts:
    """The facts of a run that has not begun."""
    return RunFacts(
        profile=profile.name,
        model=model,
        total_seconds=0.0,
        speculation=speculation,
        machine=machine,
        versions=versions,
    )
