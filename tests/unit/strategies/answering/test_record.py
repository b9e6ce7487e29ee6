from __future__ import annotations

from pathlib import Path

import pytest
from strategies.answering.runs import answered, write

from outrider.errors import UsageError
from outrider.strategies.answering.record import RunFacts, facts_path, read_answers, read_facts


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    answers = [answered(1, aliases=("one", "eins")), answered(2, gold=None, text="a\u2028b\n李白")]

    path = write(tmp_path / "a.jsonl", answers, total_seconds=2.0, more={"questions": 2})

    assert read_answers(path) == answers
    assert facts_path(path) == tmp_path / "a.run.json"
    assert read_facts(path) == RunFacts(
        profile="plain", model="tiny", total_seconds=2.0, more={"questions": 2}
    )


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [answered(1), answered(2)])
    path.write_bytes(path.read_bytes()[:-20])

    assert read_answers(path) == [answered(1)]
    assert read_facts(path) is None


def test_a_spoilt_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n" + answered(1).line())

    with pytest.raises(UsageError, match=r"Line 1 of .* is no answer"):
        read_answers(path)
    facts_path(path).write_text("[]")
    with pytest.raises(UsageError, match="holds no facts of a run"):
        read_facts(path)
