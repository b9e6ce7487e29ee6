"""From what a user names to a task."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from outrider import registry
from outrider.errors import UsageError, unknown_name
from outrider.prompts import take_evenly
from outrider.tasks import generated, public
from outrider.tasks.base import Task
from outrider.tasks.files import SUFFIXES, problem_from, read_rows
from outrider.tasks.graders import grade_auto, grade_mathematics
from outrider.tasks.hub import PREFIX, HubName, fetch
from outrider.tasks.public import WORDED
from outrider.tasks.skythought import SUFFIXES as TASK_SUFFIXES
from outrider.tasks.skythought import read_task

ANY: Final = "{question}\n{choices}"

REMEDY: Final = "give a file of its rows"
"""For a data set of the hub that is no public set."""


def names() -> tuple[str, ...]:
    """The names that `load` knows, sorted: of public sets and of generators."""
    return tuple(sorted((*public.SETS, *generated.NAMES)))


def load(
    spec: str | Path, *, limit: int | None = None, seed: int = 0, data: Path | None = None
) -> Task:
    """A task by name, by file, or made to order.

    Args:
        spec: a public set's name (`gsm8k`); a generator's with its options
            (`arithmetic:count=2000,levels=1-6,seed=7`); a file of questions (.json, .jsonl, .csv)
            with `question` and `answer`; or a task file (.yaml, .yml) that names a data set, its
            keys and a template; or a data set of the hub (`hf:owner/name`, as in `HubName`) with
            the keys of a file of questions, where it is no public set.
        limit: take so many problems, evenly over subjects where the set has any, the first of
            each; None takes all.
        seed: of a generator whose options name none.
        data: the directory of public sets at hand, as `<name>.jsonl`; None takes that which the
            environment variable OUTRIDER_DATA names. A set that is not there is fetched from the
            hub, if the extra `data` is installed.

    Raises:
        UsageError: there is no such task, it cannot be read, or an option cannot be honoured.
        DownloadError: it could not be fetched.
    """
    task = _load(spec, seed, data)
    problems = take_evenly(task.problems, limit, category=lambda problem: problem.subject)
    return replace(task, problems=tuple(problems))


def _load(spec: str | Path, seed: int, data: Path | None) -> Task:
    if str(spec).startswith(PREFIX):
        return _of_hub(str(spec), data)
    path, (name, colon, options) = Path(spec), str(spec).partition(":")
    if path.suffix.lower() in TASK_SUFFIXES:
        return read_task(path, data)
    if path.suffix.lower() in SUFFIXES:
        problems = tuple(
            problem_from(row, index, f"Question {index + 1} of {path}")
            for index, row in enumerate(read_rows(path))
        )
        return Task(path.stem, problems, ANY, grade_auto)
    if name in generated.NAMES:
        make = partial(generated.generate, name)
        given = registry.read_options(f"the task {name!r}", make, options) if colon else {}
        problems = make(**{"seed": seed, **given})
        return Task(str(spec), problems, WORDED, grade_mathematics)
    if name not in public.SETS:
        raise unknown_name("task", str(spec), names())
    if colon:
        raise UsageError(f"The task {name!r} takes no options; it was given {options!r}.")
    return _public(name, name, data)


def _public(title: str, name: str, data: Path | None, split: str | None = None) -> Task:
    found = public.SETS[name]
    return Task(title, public.find(name, data, split), found.template, found.grader)


def _of_hub(spec: str, data: Path | None) -> Task:
    """A data set of the hub: read as the public set that it is, or else as a file of questions."""
    there = HubName.parse(spec)
    if name := public.name_of(there.repository, there.subset):
        elsewhere = there.repository in public.ALSO_KNOWN_AS
        return _public(spec, name, data, None if elsewhere else there.split)
    rows = fetch(there, remedy=REMEDY)
    problems = tuple(
        problem_from(row, index, f"Question {index + 1} of {spec}")
        for index, row in enumerate(rows)
    )
    return Task(spec, problems, ANY, grade_auto)
