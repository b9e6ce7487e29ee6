"""`outrider tune` over the default model, as users call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outrider.cli.app import app
from outrider.plan import Plan


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_plan_is_found_written_and_used(model_path: Path, tmp_path: Path) -> None:
    output = tmp_path / "found.json"
    few = ("--limit", "10", "--max-tokens", "24", "--repeats", "1", "--drafter", "ngram")
    result = call("tune", "-m", str(model_path), *few, "--output", str(output), "--json")

    assert result.exit_code == 0, result.stderr
    assert "plan written" in result.stderr
    values = json.loads(result.stdout)
    assert len(values["prompts_fitted"]) == len(values["prompts_measured"]) == 5
    assert not {*values["prompts_fitted"]} & {*values["prompts_measured"]}
    assert values["identical"] is True
    assert values["cost"]["answers_ms"]["1"] > 0
    assert {plan["drafter"] for plan in values["plans"]} == {"ngram"}
    (measured,) = (plan for plan in values["plans"] if plan["measured"] is not None)
    assert measured["error"] == pytest.approx(measured["predicted"] / measured["measured"] - 1)

    plan = Plan.load(output)
    assert plan.record == values
    pays = measured["measured_low"] > 1
    assert (plan.name, plan.drafter) == ((measured["name"], "ngram") if pays else ("plain", "none"))
    answer = call(
        "generate",
        "Why?",
        "-m",
        str(model_path),
        "--plan",
        str(output),
        "--max-tokens",
        "4",
        "--json",
    )
    assert answer.exit_code == 0, answer.stderr
    assert json.loads(answer.stdout)["plan"] == plan.name


def test_a_plan_that_was_there_is_replaced_and_people_are_told(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plan.json").write_text("old")
    few = ("--limit", "2", "--max-tokens", "8", "--repeats", "1", "--best", "1")
    result = call("tune", "-m", str(model_path), *few)

    assert result.exit_code == 0, result.stderr
    assert "plan replaced: plan.json" in result.stderr
    assert "not available: quantized" in result.stderr
    assert "speculate here" in result.stdout or "Use " in result.stdout
    plan = Plan.load(Path("plan.json"))
    assert plan.record["use"] == plan.name


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--limit", "1"), "a single prompt cannot be halved"),
        (("--drafter", "ngarm"), "did you mean 'ngram'"),
        (("--drafter", "quantized"), "4-bit copy would be no cheaper"),
    ],
)
def test_what_cannot_be_tuned_is_an_error(
    model_path: Path, tmp_path: Path, arguments: tuple[str, ...], why: str
) -> None:
    output = tmp_path / "plan.json"
    result = call("tune", "-m", str(model_path), *arguments, "--output", str(output))
    assert result.exit_code == 2
    assert why in result.stderr
    assert not output.exists()
