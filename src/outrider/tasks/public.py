"""The public sets: where they are found, what their rows look like, how they are asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from outrider.errors import UsageError
from outrider.tasks.base import Grader, Problem
from outrider.tasks.files import Row, problem_from, read_rows
from outrider.tasks.graders import grade_choice, grade_mathematics, grade_number
from outrider.tasks.hub import HubName, fetch
from outrider.tasks.programs import grade_program

DATA_VARIABLE: Final = "OUTRIDER_DATA"
"""The environment variable that names the directory of the sets at hand."""

WORDED: Final = (
    "{question}\n\nThink step by step, and end with the answer alone on a line of its own, "
    "after 'Final Answer:'."
)
MATHEMATICS: Final = "{question}\n\nReason step by step, and put the final answer in \\boxed{}."
CHOICES: Final = (
    "{question}\n\n{choices}\n\nWhich is right? End with 'Final Answer:' and its letter."
)
PROGRAM: Final = (
    "Complete this Python function. Answer with the whole function in one block of code.\n\n"
    "```python\n{question}\n```"
)


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A set of questions that anyone can fetch.

    Attributes:
        hub: its repository on the Hugging Face hub.
        subset: its configuration there; None is the default one.
        split: of its rows.
        template: of the prompt.
        grader: of the answers.
        read: turns a row, of the hub or of a file, into a problem.
    """

    hub: str
    subset: str | None
    split: str
    template: str
    grader: Grader
    read: Callable[[Row, int, str], Problem] = problem_from


def find(name: str, data: Path | None, split: str | None = None) -> tuple[Problem, ...]:
    """A set's problems: from `<name>.jsonl` in the data directory, or else from the hub.

    Args:
        name: of the set.
        data: the directory; None takes that of OUTRIDER_DATA, if it is set.
        split: of the set, from the hub; None is that which everybody measures on.

    Raises:
        UsageError: the set is not at hand and the library that fetches it is missing, or a row is
            not of its shape.
        DownloadError: it could not be fetched.
    """
    found = SETS[name]
    path = file_of(name, data) if split in (None, found.split) else None
    if path is not None:
        rows, place = read_rows(path), str(path)
    else:
        whole = HubName(found.hub, found.subset, split or found.split)
        rows = fetch(whole, remedy=_remedy(name))
        place = f"{found.hub} on the hub"
    return tuple(
        _problem(found, row, index, f"Question {index + 1} of {place}")
        for index, row in enumerate(rows)
    )


def _problem(found: PublicSet, row: Row, index: int, place: str) -> Problem:
    try:
        return found.read(row, index, place)
    except KeyError as error:
        raise UsageError(
            f"{place} has no {error}, which rows of this set have; its keys are "
            f"{', '.join(map(str, row))}."
        ) from error


def file_of(name: str, data: Path | None) -> Path | None:
    """The file of a set at hand; None where there is none."""
    if data is not None and not data.is_dir():
        raise UsageError(f"The data directory {data} does not exist.")
    directory = data or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    path = directory / f"{name}.jsonl" if directory else None
    return path if path is not None and path.is_file() else None


def _remedy(name: str) -> str:
    return f"put {name}.jsonl into a directory that {DATA_VARIABLE} names"


def _gsm8k(row: Row, index: int, place: str) -> Problem:
    """The hub's answers are solutions that end with the number after ####."""
    solution, marked, number = str(row.get("answer", "")).rpartition("####")
    values: dict[str, Any] = dict(row)
    if marked:
        values |= {"solution": solution.strip(), "answer": number.strip().replace(",", "")}
    return problem_from(values, index, place)


def _svamp(row: Row, index: int, place: str) -> Problem:
    """The hub's rows have the story and the question apart, and answers such as 145.0."""
    values: dict[str, Any] = dict(row)
    if "Body" in row:
        body = str(row["Body"]).strip()
        values = {
            "id": row.get("ID", index),
            "question": f"{body}{'' if body.endswith(('.', '?', '!')) else '.'} {row['Question']}",
            "answer": float(row["Answer"]),
            "type": row.get("Type"),
        }
    return problem_from(values, index, place)


def _truthfulqa(row: Row, index: int, place: str) -> Problem:
    """Choices in an order of our own: in the set the right one always comes first."""
    targets = row.get("mc1_targets")
    if not isinstance(targets, dict) or sum(targets.get("labels", ())) != 1:
        raise UsageError(f"{place} has no mc1_targets with one right choice.")
    order = list(range(len(targets["choices"])))
    Random(f"truthfulqa/{row.get('question')}").shuffle(order)
    values = {
        "id": row.get("id", index),
        "question": row.get("question"),
        "choices": [targets["choices"][n] for n in order],
        "answer": order.index(targets["labels"].index(1)),
        "subject": row.get("category"),
    }
    return problem_from(values, index, place)


def _humaneval(row: Row, index: int, place: str) -> Problem:
    """The tests decide, so that there is no answer; the model solution stays in the data."""
    problem = problem_from(row, index, place, question_key="prompt")
    return replace(problem, answer=None, data={**problem.data, "prompt": row["prompt"]})


SETS: Final[Mapping[str, PublicSet]] = {
    "aime24": PublicSet("HuggingFaceH4/aime_2024", None, "train", MATHEMATICS, grade_mathematics),
    "aime25": PublicSet("math-ai/aime25", None, "test", MATHEMATICS, grade_mathematics),
    "gsm8k": PublicSet("openai/gsm8k", "main", "test", WORDED, grade_number, _gsm8k),
    "humaneval": PublicSet(
        "openai/openai_humaneval", None, "test", PROGRAM, grade_program, _humaneval
    ),
    "math500": PublicSet("HuggingFaceH4/MATH-500", None, "test", MATHEMATICS, grade_mathematics),
    "mmlu": PublicSet("cais/mmlu", "all", "test", CHOICES, grade_choice),
    "mmlu_stem": PublicSet("TIGER-Lab/MMLU-STEM", None, "test", CHOICES, grade_choice),
    "svamp": PublicSet("ChilleD/SVAMP", None, "test", WORDED, grade_number, _svamp),
    "truthfulqa": PublicSet(
        "truthfulqa/truthful_qa",
        "multiple_choice",
        "validation",
        CHOICES,
        grade_choice,
        _truthfulqa,
    ),
}
"""By name."""

ALSO_KNOWN_AS: Final = {"opencompass/AIME2025": "aime25", "yentinglin/aime_2025": "aime25"}
"""Other repositories of the same questions, under whatever subset and split, by the set's name."""


def name_of(hub: str, subset: str | None, split: str | None = None) -> str | None:
    """The public set that is in a repository of the hub, under a subset and a split, if named."""
    if hub in ALSO_KNOWN_AS:
        return ALSO_KNOWN_AS[hub]
    return next(
        (
            name
            for name, found in SETS.items()
            if found.hub == hub and split in (None, found.split) and subset in (None, found.subset)
        ),
        None,
    )
