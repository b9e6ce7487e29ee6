"""From what a user names to prompts: whatever can be a task can be asked without grading."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from outrider.errors import unknown_name
from outrider.prompts import BUILT_IN, Prompt, prompt_from, read_prompts, take_evenly
from outrider.tasks import public
from outrider.tasks.files import SUFFIXES as QUESTION_SUFFIXES
from outrider.tasks.hub import PREFIX, HubName, fetch
from outrider.tasks.loading import REMEDY, load, names
from outrider.tasks.skythought import SUFFIXES as TASK_SUFFIXES

OWN: Final = 26
"""Prompts of our own that are asked where nobody says how many: two of each category."""

_AS_TASKS: Final = {*QUESTION_SUFFIXES, *TASK_SUFFIXES} - {".jsonl"}


def load_prompts(spec: str | Path | None = None, limit: int | None = None) -> list[Prompt]:
    """Prompts by name or of a file.

    Args:
        spec: a public set or a generator (`gsm8k`, `arithmetic:count=50`), asked with its task's
            template; a data set of the hub (`hf:owner/name`, as in `HubName`); a prompt file
            (JSON lines or plain text, as in `read_prompts`), a file of questions (.json, .csv) or
            a task file (.yaml, .yml); None takes prompts of our own.
        limit: take only so many, evenly over the categories; None takes all, of our own `OWN`.

    Raises:
        UsageError: there is nothing of that name, or it cannot be read.
        DownloadError: it could not be fetched.
    """
    if spec is None:
        return read_prompts(BUILT_IN, OWN if limit is None else limit)
    text = str(spec)
    if text.partition(":")[0] in names():
        return _of_task(text, limit)
    if text.startswith(PREFIX):
        there = HubName.parse(text)
        if public.name_of(there.repository, there.subset):
            return _of_task(text, limit)
        rows = enumerate(fetch(there, remedy=REMEDY))
        found = [prompt_from(row, index, f"row {index + 1} of {text}") for index, row in rows]
        return take_evenly(found, limit)
    path = Path(spec)
    if path.suffix.lower() in _AS_TASKS:
        return _of_task(text, limit)
    if not path.exists() and path.name == text and not path.suffix:
        raise unknown_name("set of prompts", text, names())
    return read_prompts(path, limit)


def _of_task(spec: str, limit: int | None) -> list[Prompt]:
    task = load(spec)
    prompts = [
        Prompt(index, (task.prompt(problem),), problem.subject, problem.id)
        for index, problem in enumerate(task.problems)
    ]
    return take_evenly(prompts, limit)
