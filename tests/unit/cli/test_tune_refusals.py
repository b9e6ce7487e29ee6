"""What `outrider tune` refuses before it measures anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from outrider.cli.app import app


@pytest.mark.parametrize(
    ("output", "why"),
    [(".", "is a directory"), ("missing/plan.json", "There is no directory missing")],
)
def test_a_plan_that_could_not_be_written_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["tune", "-m", "no/such.gguf", "--output", output])
    assert result.exit_code == 2
    assert why in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_prompts_are_read_before_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["tune", "-m", "no/such.gguf", "--prompts", "none.jsonl"])
    assert result.exit_code == 2
    assert "none.jsonl cannot be read" in result.stderr
