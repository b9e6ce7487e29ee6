from __future__ import annotations

import json
from pathlib import Path

import pytest

from outrider import tasks
from outrider.errors import UsageError
from outrider.tasks import Problem

QUESTIONS = [
    {"id": "a", "question": "What is 2 + 2?", "answer": 4, "subject": "arithmetic"},
    {"id": "b", "question": "Who wrote Faust?", "answer": "Goethe", "subject": "letters"},
    {"id": "c", "question": "What is 3 + 3?", "answer": 6.0, "subject": "arithmetic"},
    {"id": "d", "question": "Which is blue?", "choices": ["grass", "sky"], "answer": "sky"},
]


def test_names_are_those_of_sets_and_generators() -> None:
    assert {"gsm8k", "humaneval", "arithmetic", "algebra"} < set(tasks.names())
    assert list(tasks.names()) == sorted(tasks.names())


@pytest.mark.parametrize("kind", ["list.json", "object.json", "lines.jsonl", "table.csv"])
def test_files_of_questions(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    path.write_text(
        {
            "list.json": json.dumps(QUESTIONS),
            "object.json": json.dumps({"version": 1, "questions": QUESTIONS}),
            "lines.jsonl": "\n".join(map(json.dumps, QUESTIONS)),
            "table.csv": "id,question,answer,subject\na,What is 2 + 2?,4,arithmetic\n"
            'b,"Who wrote ""Faust""?",Goethe,letters\nc,What is 3 + 3?,6,arithmetic\n',
        }[kind]
    )

    task = tasks.load(path)

    first, second, third = task.problems[:3]
    assert [p.answer for p in (first, second, third)] == ["4", "Goethe", "6"]
    assert [p.subject for p in (first, second)] == ["arithmetic", "letters"]
    assert task.grade(first, "It is 4.").correct
    assert task.grade(second, "Answer: goethe").correct
    if len(task.problems) > 3:
        assert "B. sky" in task.prompt(task.problems[3])
        assert task.grade(task.problems[3], "Final Answer: B").correct


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.csv", "question,answer,choices,aliases\nWhich?,B,grass|blue sky,the sky | sky\n"),
        (
            "q.json",
            '[{"question": "Which?", "answer": "B", "choices": ["grass", "blue sky"], '
            '"aliases": ["the sky", "sky"]}]',
        ),
    ],
)
def test_lists_stand_in_a_cell_too(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)

    (problem,) = tasks.load(tmp_path / name).problems

    assert problem.choices == ("grass", "blue sky")
    assert problem.data["aliases"] == ("the sky", "sky")


def test_a_single_alias_needs_no_list(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "Which?", "answer": "Rhine", "aliases": "Rhein"}')
    assert tasks.load(path).problems[0].data["aliases"] == ("Rhein",)

    path.write_text('{"question": "Which?", "answer": "Rhine", "aliases": 5}')
    with pytest.raises(UsageError, match=r"aliases of .* have to be a list, not 5"):
        tasks.load(path)


def test_a_limit_is_even_over_subjects(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(QUESTIONS))

    assert [p.id for p in tasks.load(path, limit=2).problems] == ["a", "b"]
    assert len(tasks.load(path, limit=9).problems) == 4
    with pytest.raises(UsageError, match="at least 1"):
        tasks.load(path, limit=0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "[", "a.json is not valid"),
        ("a.json", "{}", "neither a list nor an object with one list"),
        ("a.json", "[]", "holds no question"),
        ("a.json", "[3]", "Question 1 of .* has to be an object"),
        ("a.jsonl", '{"question": "?"}\n{', "line 2"),
        ("a.jsonl", '{"ask": "?"}', "needs a text under question, problem, prompt; its keys.* ask"),
        ("a.jsonl", '{"question": "?", "choices": ["a"], "answer": "b"}', "none of its choices"),
        ("a.csv", "question,answer\nonly one\n", "row 1 has not as many fields"),
    ],
)
def test_files_that_are_none(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(UsageError, match=message):
        tasks.load(tmp_path / name)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"question,answer\ncaf\xe9,1\n")

    with pytest.raises(UsageError, match="cannot be read: it is not UTF-8"):
        tasks.load(tmp_path / "latin.csv")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        tasks.load(tmp_path / "absent.jsonl")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gsm9k", "did you mean 'gsm8k'"),
        ("gsm8k:level=3", "takes no options"),
        ("algebra:depth=3", "option of the task 'algebra'"),
        ("algebra:count=many", "count of the task 'algebra' has to be a whole number"),
        ("algebra:count=0", "at least 1"),
        ("algebra:levels=3-99", "levels of algebra are 1 to 12"),
        ("algebra:levels=4-2", "levels of algebra"),
        ("algebra:level=2,levels=1-3", "either level or levels"),
    ],
)
def test_specs_that_name_no_task(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tasks.load(spec)


def test_a_template_is_filled_by_name_alone() -> None:
    problem = Problem(id="1", question="What is {x}?", answer="1", data={"hint": "small"})
    task = tasks.Task("t", (problem,), r"{prompt} \boxed{} {{x}} {hint} {absent}", grader=None)

    assert task.prompt(problem) == r"What is {x}? \boxed{} {x} small {absent}"
