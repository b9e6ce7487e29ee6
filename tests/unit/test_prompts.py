from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import UsageError
from outrider.prompts import Prompt, read_prompts, take_evenly


def write(path: Path, *lines: object) -> Path:
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


def test_json_lines_of_every_kind(tmp_path: Path) -> None:
    path = write(
        tmp_path / "file.jsonl",
        {"turns": ["first", "second"], "category": "writing", "question_id": 81},
        "",
        {"prompt": "continue me", "reference": ["ignored, as the data set's own"]},
        {"question": "2 + 2?", "answer": "4", "id": "gsm-1", "category": "mathematics"},
    )

    assert read_prompts(path) == [
        Prompt(0, ("first", "second"), "writing", "81"),
        Prompt(1, ("continue me",)),
        Prompt(2, ("2 + 2?",), "mathematics", "gsm-1"),
    ]


def test_rows_of_public_sets(tmp_path: Path) -> None:
    path = write(
        tmp_path / "file.jsonl",
        {"task_id": "HumanEval/0", "prompt": "def f():\n", "entry_point": "f"},
        {"problem": "Solve $x=1$.", "subject": "Algebra", "level": 2, "unique_id": "test/1"},
        {"question": "Which is blue?", "choices": ["grass", "sky"], "subject": None, "type": "x"},
    )

    assert read_prompts(path) == [
        Prompt(0, ("def f():\n",), None, "HumanEval/0"),
        Prompt(1, ("Solve $x=1$.",), "Algebra", "test/1"),
        Prompt(2, ("Which is blue?\nA. grass\nB. sky",), "x"),
    ]


def test_json_lines_are_known_by_their_first_line(tmp_path: Path) -> None:
    path = write(tmp_path / "prompts.txt", {"prompt": "hello"})

    assert read_prompts(path) == [Prompt(0, ("hello",))]


def test_plain_text_is_a_prompt_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "prompts.txt", "one", "", "  two\u2028and a half  ", "[3]")

    assert [p.turns for p in read_prompts(path)] == [("one",), ("two\u2028and a half",), ("[3]",)]


def test_byte_order_mark_and_carriage_returns_are_no_part_of_a_prompt(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("one\r\nzwölf\r\n".encode("utf-8-sig"))

    assert [p.turns for p in read_prompts(path)] == [("one",), ("zwölf",)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"prompt": "a"}, "{broken"], "Line 2 .*not valid JSON"),
        (
            [{"prompt": "a"}, "", {"text": "b"}],
            "Line 3 .*turns, prompt, question, problem; found: none",
        ),
        ([{"prompt": "a", "question": "b"}], "found: prompt, question"),
        ([{"turns": []}], "'turns' in line 1 .*non-empty texts"),
        ([{"turns": "hello"}], "'turns' in line 1"),
        ([{"prompt": ""}], "'prompt' in line 1"),
        ([{"prompt": 3}], "'prompt' in line 1"),
        ([{"prompt": "a", "category": ["b"]}], "'category' in line 1"),
        ([{"question": "a", "choices": {"text": ["b"]}}], "'choices' in line 1 .*to be a list"),
        ([{"question": "a", "choices": ["b"] * 27}], "'choices' in line 1 .*at most 26 texts"),
        ([{"prompt": "a"}, ["b"]], "Line 2 .*found: none"),
        (["", "  "], "holds no prompt"),
    ],
)
def test_what_is_no_prompt_is_named(tmp_path: Path, lines: list[object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_prompts(write(tmp_path / "prompts.jsonl", *lines))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.jsonl cannot be read: No such file"):
        read_prompts(tmp_path / "missing.jsonl")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UsageError, match=r"latin\.txt cannot be read: it is not UTF-8"):
        read_prompts(tmp_path / "latin.txt")


def test_limit_without_categories_takes_the_first() -> None:
    prompts = [Prompt(i, ("text",)) for i in range(5)]

    assert take_evenly(prompts, 3) == prompts[:3]
    assert take_evenly(prompts, 9) == prompts
    with pytest.raises(UsageError, match="at least 1"):
        take_evenly(prompts, 0)


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 40))
def test_limit_is_even_over_categories(categories: list[str], limit: int) -> None:
    prompts = [Prompt(i, ("text",), category) for i, category in enumerate(categories)]
    there = Counter(categories)

    taken = take_evenly(prompts, limit)

    counts = Counter(p.category for p in taken)
    assert len(taken) == min(limit, len(prompts))
    assert taken == sorted(taken, key=lambda p: p.index)
    for category in there:
        if counts[category] < there[category]:
            assert counts[category] >= max(counts.values()) - 1
