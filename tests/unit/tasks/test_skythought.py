from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from outrider import tasks
from outrider.errors import UsageError
from outrider.tasks import hub

PUBLISHED = r"""
handler: aime
dataset_path: opencompass/AIME2025
dataset_split: train
question_key: question
answer_key: answer
templating_parameters:
  template: "{prompt}\nReturn your final response within \\boxed{{}}"
"""


def write(path: Path, text: str) -> Path:
    path.write_text(dedent(text))
    return path


def test_a_published_file_reads_the_set_at_hand(tmp_path: Path) -> None:
    row = {"id": "aime25-0", "question": "Find $7 \\cdot 9$.", "answer": "63"}
    (tmp_path / "aime25.jsonl").write_text(json.dumps(row))

    task = tasks.load(write(tmp_path / "mine.yaml", PUBLISHED), data=tmp_path)

    assert task.name == "mine"
    assert task.prompt(task.problems[0]) == (
        "Find $7 \\cdot 9$.\nReturn your final response within \\boxed{}"
    )
    assert task.grade(task.problems[0], r"\boxed{63}").correct


@pytest.mark.parametrize(("split", "read"), [("test", True), ("train", False)])
def test_a_public_set_is_read_where_its_split_is_the_one_at_hand(
    split: str, read: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    (tmp_path / "gsm8k.jsonl").write_text('{"question": "What is 1 + 1?", "answer": "2"}')
    text = PUBLISHED.replace("opencompass/AIME2025", "openai/gsm8k").replace("train", split)
    path = write(tmp_path / "mine.yaml", text)

    if read:
        assert tasks.load(path, data=tmp_path).problems[0].answer == "2"
    else:
        with pytest.raises(UsageError, match=r"give .* a dataset_path that is a file"):
            tasks.load(path, data=tmp_path)


def test_a_file_beside_it_has_keys_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"ask": "Which is blue?", "say": "the sky"}')
    path = write(
        tmp_path / "mine.yml",
        """
        handler: text
        dataset_path: rows.jsonl
        question_key: ask
        answer_key: say
        templating_parameters: {template: "Q: {question}\\nA:"}
        """,
    )

    task = tasks.load(path)

    assert task.prompt(task.problems[0]) == "Q: Which is blue?\nA:"
    assert task.grade(task.problems[0], "Sky").correct


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not valid YAML at line"),
        ("just text", "has to hold keys and values"),
        (PUBLISHED + "temperature: 0.6", "Unknown key of the task file .* 'temperature'"),
        (
            PUBLISHED + "preprocess_config: {filter_difficulty: true}",
            "preprocess_config .* not supp",
        ),
        (PUBLISHED.replace("aime\n", "taco\n"), "Unknown handler .* 'taco'"),
        (PUBLISHED.replace("{prompt}", "{problem}"), r"needs \{prompt\} where"),
        (PUBLISHED.replace("  template", "  initial_template"), "needs templating_parameters with"),
        (PUBLISHED.replace("dataset_path", "dataset_subset"), "needs a dataset_path"),
        (PUBLISHED.replace("opencompass/AIME2025", "gone.jsonl"), r"gone\.jsonl .* does not exist"),
        (PUBLISHED + "  prefix: x", "prefix of templating_parameters"),
    ],
)
def test_what_a_task_file_cannot_say(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        tasks.load(write(tmp_path / "task.yaml", text))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "?", "answer": "1"}')
    text = PUBLISHED.replace("opencompass/AIME2025", "rows.jsonl").replace(
        "answer_key: answer", "answer_key: expected_answer"
    )

    with pytest.raises(UsageError, match=r"Question 1 of rows\.jsonl has no 'expected_answer'"):
        tasks.load(write(tmp_path / "task.yaml", text))
