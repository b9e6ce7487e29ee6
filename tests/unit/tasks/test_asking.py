from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tasks.sets import AT_HAND

from outrider import tasks
from outrider.errors import UsageError
from outrider.prompts import BUILT_IN, Prompt, read_prompts
from outrider.tasks import load_prompts, public


@pytest.fixture
def _at_hand(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(public.DATA_VARIABLE, str(data))


def test_prompts_of_our_own_are_two_a_category_unless_more_are_asked_for() -> None:
    own = load_prompts()

    assert set(Counter(prompt.category for prompt in own).values()) == {2}
    assert own == read_prompts(BUILT_IN)[:26]
    assert load_prompts(limit=13) == own[:13]
    assert load_prompts(limit=104) == read_prompts(BUILT_IN)


@pytest.mark.usefixtures("_at_hand")
@pytest.mark.parametrize("name", sorted(AT_HAND))
def test_a_public_set_is_asked_as_its_task_is(name: str) -> None:
    task = tasks.load(name)

    assert load_prompts(name) == [
        Prompt(index, (task.prompt(problem),), problem.subject, problem.id)
        for index, problem in enumerate(task.problems)
    ]
    assert len(load_prompts(name, limit=1)) == 1


def test_made_to_order() -> None:
    prompts = load_prompts("arithmetic:count=6,levels=1-3,seed=4", limit=2)

    assert [prompt.index for prompt in prompts] == [0, 1]
    assert prompts[0].turns[0].endswith("after 'Final Answer:'.")


@pytest.mark.usefixtures("hub")
def test_data_sets_of_the_hub() -> None:
    assert load_prompts("hf:someone/colours", limit=1) == [
        Prompt(0, ("Which is blue?\nA. grass\nB. sky",), "nature")
    ]
    assert load_prompts("hf:someone/chats") == [Prompt(0, ("Hello.", "And you?"), "chat")]
    assert load_prompts("hf:openai/openai_humaneval") == load_prompts("humaneval")
    with pytest.raises(UsageError, match="Row 1 of hf:someone/pictures has to be an object with"):
        load_prompts("hf:someone/pictures")


def test_files_of_questions_and_task_files(tmp_path: Path) -> None:
    rows = [{"question": "Which is blue?", "choices": ["grass", "sky"], "answer": "B"}]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    (tmp_path / "q.csv").write_text("id,question,subject\na,Who wrote Faust?,letters\n")
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "q.yaml").write_text(
        "dataset_path: q.json\nquestion_key: question\nanswer_key: answer\nhandler: choice\n"
        "templating_parameters:\n  template: 'Say a letter. {prompt}'\n"
    )

    asked = "Which is blue?\nA. grass\nB. sky"
    assert load_prompts(tmp_path / "q.json") == [Prompt(0, (asked,), None, "0")]
    assert load_prompts(tmp_path / "q.jsonl") == [Prompt(0, (asked,))]
    assert load_prompts(tmp_path / "q.csv") == [Prompt(0, ("Who wrote Faust?",), "letters", "a")]
    assert load_prompts(str(tmp_path / "q.yaml"))[0].turns == ("Say a letter. Which is blue?",)


def test_a_file_may_have_the_name_of_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gsm8k").write_text("one\n")
    monkeypatch.chdir(tmp_path)

    assert load_prompts("./gsm8k") == [Prompt(0, ("one",))]


def test_what_is_neither_a_name_nor_a_file() -> None:
    with pytest.raises(UsageError, match="Unknown set of prompts 'gsm8'; did you mean 'gsm8k'"):
        load_prompts("gsm8")
    for path in ("nowhere/gsm8", "gsm8.txt"):
        with pytest.raises(UsageError, match=f"{path} cannot be read: No such file"):
            load_prompts(path)
