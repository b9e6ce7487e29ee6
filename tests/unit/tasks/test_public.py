from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tasks.sets import AT_HAND, ON_THE_HUB, RIGHT_AT_HAND, RIGHT_ON_THE_HUB, WRONG

from outrider import tasks
from outrider.errors import UsageError
from outrider.tasks import hub as the_hub
from outrider.tasks import public


def test_every_set_has_rows_here() -> None:
    assert set(public.SETS) == set(AT_HAND) == set(ON_THE_HUB)
    for name in public.SETS:
        assert len(AT_HAND[name]) == len(RIGHT_AT_HAND[name]) >= 2
        assert len(ON_THE_HUB[name]) == len(RIGHT_ON_THE_HUB[name]) >= 2


def check(task: tasks.Task, right: Sequence[str]) -> None:
    """Every problem is asked whole, and graded as right by its answer alone."""
    for problem, answer in zip(task.problems, right, strict=True):
        prompt = task.prompt(problem)
        assert problem.question.strip() in prompt
        assert all(choice in prompt for choice in problem.choices)
        assert task.grade(problem, answer).correct, (problem, answer)
        for wrong in (*WRONG, *(other for other in right if other != answer)):
            assert not task.grade(problem, wrong).correct, (problem, wrong)


@pytest.mark.parametrize("name", sorted(AT_HAND))
def test_a_set_at_hand_is_read_asked_and_graded(name: str, data: Path) -> None:
    check(tasks.load(name, data=data), RIGHT_AT_HAND[name])


@pytest.mark.parametrize("name", sorted(ON_THE_HUB))
def test_a_set_of_the_hub_is_read_asked_and_graded(name: str, hub: list[tuple[Any, ...]]) -> None:
    task = tasks.load(name)

    assert hub == [(public.SETS[name].hub, public.SETS[name].subset, public.SETS[name].split)]
    check(task, RIGHT_ON_THE_HUB[name])


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "key"), [("svamp", "Question"), ("svamp", "Answer"), ("truthfulqa", "mc1_targets")]
)
def test_a_row_of_another_shape_is_named(
    name: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ON_THE_HUB[name]
    changed = {k: v for k, v in second.items() if k != key}
    monkeypatch.setitem(ON_THE_HUB, name, [first, changed])

    with pytest.raises(
        UsageError, match=f"^Question 2 of {public.SETS[name].hub} on the hub.*{key}"
    ):
        tasks.load(name)


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
