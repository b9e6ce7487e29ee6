from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tasks.sets import AT_HAND, ON_THE_HUB, RIGHT, WRONG

from outrider import tasks
from outrider.errors import UsageError
from outrider.tasks import hub as the_hub
from outrider.tasks import public


def test_every_set_has_rows_here() -> None:
    assert set(public.SETS) == set(AT_HAND) == set(ON_THE_HUB) == set(RIGHT)


@pytest.mark.parametrize("name", sorted(AT_HAND))
def test_a_set_at_hand_is_read_asked_and_graded(name: str, data: Path) -> None:
    task = tasks.load(name, data=data)

    problem = task.problems[0]
    assert problem.question in task.prompt(problem)
    assert all(choice in task.prompt(problem) for choice in problem.choices)
    assert task.grade(problem, RIGHT[name][0]).correct
    assert not task.grade(problem, WRONG[name]).correct
    assert not task.grade(problem, "").correct


@pytest.mark.parametrize("name", sorted(ON_THE_HUB))
def test_a_set_of_the_hub_is_read_and_graded(name: str, hub: list[tuple[Any, ...]]) -> None:
    task = tasks.load(name)

    assert hub == [(public.SETS[name].hub, public.SETS[name].subset, public.SETS[name].split)]
    assert task.grade(task.problems[0], RIGHT[name][1]).correct
    assert not task.grade(task.problems[0], WRONG[name]).correct


def test_subjects_and_levels_are_kept(data: Path) -> None:
    stem = tasks.load("mmlu_stem", data=data).problems[0]
    algebra = tasks.load("math500", data=data).problems[0]

    assert (stem.subject, stem.answer) == ("astronomy", "B")
    assert (algebra.subject, algebra.level) == ("Algebra", 2)


def test_the_right_choice_is_not_always_the_first() -> None:
    row = AT_HAND["truthfulqa"][0]
    rows = [{**row, "question": f"Question {n}?"} for n in range(40)]

    letters = {public.SETS["truthfulqa"].read(row, 0, "a row").answer for row in rows}

    assert letters == {"A", "B", "C"}


def test_the_environment_names_the_data(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTRIDER_DATA", str(data))

    assert tasks.load("gsm8k").problems[0].answer == "15"


def test_what_is_nowhere_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(the_hub, "find_spec", lambda name: None)

    with pytest.raises(UsageError, match=r"put svamp\.jsonl into a directory.*outrider\[data\]"):
        tasks.load("svamp", data=tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        tasks.load("svamp", data=tmp_path / "absent")
