from __future__ import annotations

import json
from pathlib import Path

import pytest

from outrider import tasks
from outrider.errors import UsageError
from outrider.types import Message


def load(tmp_path: Path, earlier: object) -> tasks.Task:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "Double it.", "answer": 84, "earlier": earlier}))
    return tasks.load(str(path))


def test_a_question_may_go_on_from_earlier_turns(tmp_path: Path) -> None:
    turns = (Message("user", "40 + 2?"), Message("assistant", "42"))
    (by_text,) = load(tmp_path, ["40 + 2?", "42"]).problems
    assert by_text.earlier == turns
    objects = [{"role": turn.role, "content": turn.content} for turn in turns]
    (by_object,) = load(tmp_path, objects).problems
    assert by_object.earlier == turns
    assert "earlier" not in by_object.data


@pytest.mark.parametrize("earlier", ["40 + 2?", [1], [{"role": "user"}]])
def test_turns_that_are_none(tmp_path: Path, earlier: object) -> None:
    with pytest.raises(UsageError, match=r"earlier turns of .* have to be a list of texts"):
        load(tmp_path, earlier)


def test_a_prompt_does_not_drop_them(tmp_path: Path) -> None:
    task = load(tmp_path, ["40 + 2?", "42"])
    with pytest.raises(UsageError, match="goes on from earlier turns"):
        task.prompt(task.problems[0])
