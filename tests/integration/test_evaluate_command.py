"""`outrider evaluate`, as users call it."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from strategies.answering.runs import Scripted, answered, city, fair, write
from typer.testing import CliRunner, Result

from outrider import generators
from outrider.cli import judging
from outrider.cli.app import app


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], terminal_width=80)


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    run = [
        answered(1),
        answered(2, answer="17"),
        *(city(n, f"Town{n}", f"well, Town{n}, or so they say") for n in range(10, 20)),
    ]
    return write(tmp_path / "mine.jsonl", run, total_seconds=6.0)


def test_a_run_is_graded_and_its_page_written(answers: Path) -> None:
    result = call(answers)

    assert result.exit_code == 0, result.stderr
    assert "algebra        1   2     50.0%" in result.stdout
    assert "10 wrong answer" in result.stdout
    assert "--against" in result.stdout
    assert "page: " in result.stderr
    assert "Town12" in answers.with_suffix(".html").read_text()


def test_questions_that_could_not_be_asked_are_named(tmp_path: Path) -> None:
    error = {"question": "", "answer": None, "text": "", "finish_reason": "error", "error": "No."}
    run = write(
        tmp_path / "a.jsonl",
        [answered(1), answered(2, **error), answered(3, gold=None, **error)],
    )

    result = call(run, "--no-page")
    values = json.loads(call(run, "--no-page", "--json").stdout)

    assert "algebra      1   2     50.0%" in result.stdout
    assert "1 question ended in an error: counted as not right." in result.stdout
    assert "not in the accuracy." in result.stdout
    assert values["runs"][0]["left_out"] == ["q3"]


def test_runs_stand_beside_one_another(answers: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", [answered(1), answered(2)], total_seconds=0.5)

    result = call(answers, "--against", other, "--no-page", "--json")

    values: dict[str, Any] = json.loads(result.stdout)
    first, second = values["runs"]
    assert first["subjects"]["all"]["correct"] == 1
    assert second["subjects"]["all"]["questions"] == 12
    assert second["score"] == pytest.approx(1.0)
    assert first["score"] == pytest.approx(0.6 * 0.5 + 0.4 * 0.5)
    assert values["failures"]["wrong value"] == ["q2"]
    assert {v["id"] for v in values["verdicts"] if v["correct"]} == {"q1"}
    assert all(verdict["reason"] for verdict in values["verdicts"])
    assert not answers.with_suffix(".html").exists()


@pytest.mark.parametrize(
    ("says", "status", "right"), [(fair, 0, 11), (lambda asked: "Verdict: right", 1, 1)]
)
def test_a_judge_counts_where_it_agrees_with_known_answers(
    answers: Path, monkeypatch: pytest.MonkeyPatch, says: Any, status: int, right: int
) -> None:
    monkeypatch.setattr(generators, "open_generator", lambda *given, **more: Scripted(says))

    result = call(answers, "--judge", "any", "--json", "--page", answers.with_name("page.html"))

    values = json.loads(result.stdout)
    assert result.exit_code == status
    assert values["runs"][0]["subjects"]["all"]["correct"] == right
    assert values["agreement"]["geography"]["kappa"] == (1.0 if status == 0 else 0.0)
    assert ("withheld" in result.stderr) is (status == 1)
    assert answers.with_name("page.html").exists()


def test_a_cascade_judges(answers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def open_cascade(
        file: Path, *given: object, **more: object
    ) -> AbstractContextManager[Scripted]:
        opened.append(file)
        return nullcontext(Scripted(fair))

    monkeypatch.setattr(judging, "open_cascade", open_cascade)

    result = call(answers, "--judge", "ladder.yml", "--json", "--no-page")

    values = json.loads(result.stdout)
    assert opened == [Path("ladder.yml")]
    assert values["judge"] == "ladder.yml"
    assert values["runs"][0]["subjects"]["all"]["correct"] == 11


def test_a_floor_that_is_not_reached_fails(answers: Path) -> None:
    assert call(answers, "--floor", "0.05", "--no-page").exit_code == 0

    result = call(answers, "--floor", "0.5", "--no-page")

    assert result.exit_code == 1
    assert "8.3% right is below the floor of 50.0%" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--page", "x.html", "--no-page"], "either --page or --no-page"),
        (["--floor", "2"], "--floor has to lie in [0, 1]"),
        (["--rubrics", "r.toml"], "--rubrics are for a judge"),
        (["--against", "absent.jsonl"], "absent.jsonl cannot be read"),
        (["--judge", "absent.yml"], "absent.yml cannot be read"),
        (["--judge", "c.yml", "--judge-endpoint", "http://x"], "the stages of c.yml say themsel"),
        (["--judge", "nobody"], "'nobody' is no model that is known here"),
        (["--page", "/proc/none/page.html"], "cannot be written"),
    ],
)
def test_what_cannot_be_honoured_is_one_sentence(
    answers: Path, arguments: list[str], message: str
) -> None:
    result = call(answers, *arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("error:") == 1


def test_a_real_model_judges(answers: Path, model_path: Path) -> None:
    result = call(answers, "--judge", model_path, "--no-page", "--json")

    values = json.loads(result.stdout)
    found = values["agreement"]["geography"]
    assert found["answers"] == 20
    assert 0 <= found["agreed"] <= 20
    assert result.exit_code == (0 if found["trusted"] else 1)
