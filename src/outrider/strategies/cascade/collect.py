"""Every stage answers every question: what predictors and policies are made from."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from outrider.errors import OutriderError
from outrider.sampling import derive_seed
from outrider.strategies.cascade.answers import AnswerFile, Collected, key_of, said_before
from outrider.strategies.cascade.ladder import Ladder
from outrider.tasks import Problem, Task


@dataclass(slots=True)
class Collection:
    """What came of a collection.

    Attributes:
        asked: answers that were got now.
        kept: answers that were there already.
        failed: questions that a stage could not answer, and why; they are tried again next time.
    """

    asked: int = 0
    kept: int = 0
    failed: list[str] = field(default_factory=list)


Listener = Callable[[str, int, int], None]
"""Told a stage's name, how many of its answers are there, and of how many."""


def collect(
    ladder: Ladder,
    tasks: Sequence[Task],
    answers: AnswerFile,
    *,
    timing: int = 0,
    only_timing: bool = False,
    listener: Listener | None = None,
) -> Collection:
    """Ask every stage every question that it has not answered yet, several at a time.

    A stage is finished before the next begins, so that each model is loaded once. An answer is
    written as it is made, so that a run that is cut off goes on.

    Args:
        ladder: the stages.
        tasks: the questions and their graders.
        answers: the file, not open yet.
        timing: questions that each stage answers alone besides, one after the other, so that its
            time is its own.
        only_timing: ask nothing else.
        listener: told of progress, by the calling thread.
    """
    problems = [(task, problem) for task in tasks for problem in task.problems]
    done = Collection()
    with answers:
        for place, stage in enumerate(ladder.stages):
            name = stage.settings.name
            if timing:
                _time(ladder, place, _evenly(problems, timing), answers, done)
            if only_timing:
                continue
            known = answers.has(name)
            waiting = [(t, p) for t, p in problems if key_of(t.name, p) not in known]
            done.kept += len(problems) - len(waiting)

            def ask(what: tuple[Task, Problem], place: int = place) -> Collected:
                return _ask(ladder, place, *what)

            with _pool(ladder.settings.concurrency) as pool:
                futures = {pool.submit(ask, what): what for what in waiting}
                for count, future in enumerate(as_completed(futures), 1):
                    _keep(future, futures[future], name, answers, done)
                    if listener is not None:
                        listener(name, len(problems) - len(waiting) + count, len(problems))
    return done


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing new after an interrupt."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _keep(
    future: Future[Collected],
    what: tuple[Task, Problem],
    stage: str,
    answers: AnswerFile,
    done: Collection,
) -> None:
    try:
        answers.add(future.result())
        done.asked += 1
    except OutriderError as error:
        done.failed.append(f"{stage}: {what[1].id}: {error}")


def _ask(
    ladder: Ladder, place: int, task: Task, problem: Problem, *, timed: bool = False
) -> Collected:
    seed = question_seed(ladder.settings.seed, problem, place)
    answer = ladder.stages[place].ask(problem, seed=seed)
    grade = task.grade(problem, answer.text)
    return Collected(key_of(task.name, problem)[0], problem, answer, grade.correct, timed)


def _time(
    ladder: Ladder,
    place: int,
    problems: Sequence[tuple[Task, Problem]],
    answers: AnswerFile,
    done: Collection,
) -> None:
    """Questions one after the other; the first only warms up what is shared."""
    known = answers.has(ladder.stages[place].settings.name, timed=True)
    waiting = [(t, p) for t, p in problems if key_of(t.name, p) not in known]
    loading_ms = 0.0
    for number, (task, problem) in enumerate(waiting):
        if number == 0:
            loading_ms = _ask(ladder, place, task, problem).answer.loading_ms
        found = _ask(ladder, place, task, problem, timed=True)
        if loading_ms > 0 and found.answer.loading_ms == 0:
            # The one that warmed up is not kept, and what it took to load is.
            found = replace(found, answer=replace(found.answer, loading_ms=loading_ms))
            loading_ms = 0.0
        answers.add(found)
        done.asked += 1


def _evenly(problems: Sequence[tuple[Task, Problem]], count: int) -> list[tuple[Task, Problem]]:
    """So many of the problems, from all over their list."""
    step = max(len(problems) / count, 1.0)
    return [problems[int(i * step)] for i in range(min(count, len(problems)))]


def question_seed(seed: int, problem: Problem, place: int) -> int:
    """A seed of a question's own at each stage, whatever its place in a file."""
    asked = f"{problem.id}\n{said_before(problem)}{problem.question}"
    return derive_seed(seed, zlib.crc32(asked.encode()), place)
