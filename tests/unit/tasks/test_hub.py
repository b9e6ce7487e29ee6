from __future__ import annotations

from typing import Any

import pytest

from outrider import tasks
from outrider.errors import DownloadError, UsageError
from outrider.tasks import hub as the_hub
from outrider.tasks.hub import HubName, fetch


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf:openai/gsm8k", HubName("openai/gsm8k")),
        ("hf:openai/gsm8k:train", HubName("openai/gsm8k", None, "train")),
        ("hf:openai/gsm8k/socratic", HubName("openai/gsm8k", "socratic")),
        ("hf:a.b/c-d_e/f.g:test[:100]", HubName("a.b/c-d_e", "f.g", "test[:100]")),
    ],
)
def test_names_of_the_hub(text: str, name: HubName) -> None:
    assert HubName.parse(text) == name


@pytest.mark.parametrize(
    "text", ["hf:", "hf:gsm8k", "hf:a/b/c/d", "hf:a/b:", "hf:a/b:test[", "hf:a/b test", "a/b"]
)
def test_what_names_no_data_set(text: str) -> None:
    with pytest.raises(UsageError, match="names no data set of the hub; write hf:owner/name"):
        HubName.parse(text)


def test_without_a_split_the_one_for_measuring_is_taken(hub: list[tuple[Any, ...]]) -> None:
    for name in ("someone/colours", "someone/chats", "someone/pictures"):
        fetch(HubName(name), remedy="put it here")

    assert [split for _, _, split in hub] == ["validation", "train", "test"]


@pytest.mark.usefixtures("hub")
def test_a_failed_download_is_one_sentence() -> None:
    for split in ("test", None):
        with pytest.raises(
            DownloadError,
            match=r"^no/such could not be fetched .*\(no/such does not exist\); put it here\.$",
        ):
            fetch(HubName("no/such", None, split), remedy="put it here")


def test_without_the_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(the_hub, "find_spec", lambda name: None)

    with pytest.raises(UsageError, match=r"someone/colours is not at hand; .*'outrider\[data\]'"):
        tasks.load("hf:someone/colours")


@pytest.mark.usefixtures("hub")
def test_a_data_set_of_the_hub_is_a_task() -> None:
    task = tasks.load("hf:someone/colours", limit=2)

    assert [problem.subject for problem in task.problems] == ["nature", "body"]
    assert task.prompt(task.problems[0]) == "Which is blue?\nA. grass\nB. sky"
    assert task.grade(task.problems[0], "Final Answer: B").correct
    assert not task.grade(task.problems[1], "Final Answer: B").correct


def test_a_public_set_is_known_by_its_repository(hub: list[tuple[Any, ...]]) -> None:
    usual = tasks.load("hf:openai/gsm8k")
    other = tasks.load("hf:openai/gsm8k:train")

    assert hub == [("openai/gsm8k", "main", "test"), ("openai/gsm8k", "main", "train")]
    assert usual.problems == other.problems == tasks.load("gsm8k").problems
    assert usual.template == tasks.load("gsm8k").template


def test_the_same_questions_elsewhere(hub: list[tuple[Any, ...]]) -> None:
    task = tasks.load("hf:opencompass/AIME2025/AIME2025-I:test")

    assert task.problems == tasks.load("aime25").problems
    assert {repository for repository, _, _ in hub} == {"math-ai/aime25"}


@pytest.mark.usefixtures("hub")
def test_rows_without_a_question_are_named() -> None:
    with pytest.raises(UsageError, match=r"Question 1 of hf:someone/pictures.*image, caption"):
        tasks.load("hf:someone/pictures")
