from __future__ import annotations

import json
from pathlib import Path

import pytest

from outrider.errors import OutriderError, UsageError
from outrider.strategies.answering.journal import Journal
from outrider.strategies.answering.record import Answered, RunFacts, read_answers, read_facts

FACTS = RunFacts(profile="p", model="m", total_seconds=0.0)
IDENTITY = {"profile": "1", "seed": 0}


def answered(name: str) -> Answered:
    return Answered(
        id=name,
        question="Hm?",
        subject="tea",
        answer="“x”\n",
        text="é 中",
        seconds=1.0,
        tokens=2,
        finish_reason="stop",
        profile="p",
    )


def opened(path: Path, **identity: object) -> Journal:
    return Journal(path, FACTS, {**IDENTITY, **identity})


def test_what_is_appended_is_there_at_once_and_the_next_part_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.jsonl"
    with opened(path) as journal:
        journal.append(answered("1"), 2.0)
        assert read_answers(path) == [answered("1")]
        journal.append(answered("2"), 3.5)
    with opened(path) as journal:
        assert [a.id for a in journal.answers] == ["1", "2"]
        assert journal.seconds_before == 3.5
        journal.append(answered("3"), 1.0)
    assert [a.id for a in read_answers(path)] == ["1", "2", "3"]
    facts = read_facts(path)
    assert facts is not None
    assert facts.total_seconds == 4.5


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_a_line_that_was_cut_short_is_asked_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    with opened(path) as journal:
        for name in "123":
            journal.append(answered(name), 1.0)
    content = path.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(content[:last] + content[last:][:cut])

    with opened(path) as journal:
        assert [a.id for a in journal.answers] == ["1", "2"]
        journal.append(answered("3"), 1.0)
    assert path.read_bytes() == content


def test_another_runs_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(path) as journal:
        journal.append(answered("1"), 1.0)
    content = path.read_bytes()

    with pytest.raises(UsageError, match=r"another seed \(0, now 1\)"):
        opened(path, seed=1)
    assert path.read_bytes() == content
    with opened(path) as journal:  # the refusal has let go of it
        assert len(journal.answers) == 1


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("precious", encoding="utf-8")

    with pytest.raises(UsageError, match="is no run of answers"):
        opened(path)
    assert path.read_text() == "precious"


def test_two_processes_do_not_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(path), pytest.raises(UsageError, match="Another process is writing"):
        opened(path)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be written"):
        opened(tmp_path / "file" / "a.jsonl")
    (tmp_path / "b.jsonl").mkdir()
    with pytest.raises(UsageError):
        opened(tmp_path / "b.jsonl")


def test_the_facts_are_whole_whenever_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(path) as journal:
        journal.write_facts(7.0, sharing={"x": 1})
        values = json.loads((tmp_path / "a.run.json").read_text())
        assert values["more"] == {"sharing": {"x": 1}, "identity": IDENTITY}
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.jsonl",
        "a.run.json",
    ]


def test_a_full_disk_is_an_error_and_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(path) as journal:
        journal.append(answered("1"), 1.0)
        with Path("/dev/full").open("ab", buffering=0) as full:
            journal._file, mine = full, journal._file
            with pytest.raises(OutriderError, match="No space left"):
                journal.append(answered("2"), 2.0)
            journal._file = mine
    with opened(path) as journal:
        assert [a.id for a in journal.answers] == ["1"]
