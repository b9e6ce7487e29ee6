"""`outrider cascade` from questions to an answer, with the real default model."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from strategies.answering.runs import city, write
from typer.testing import CliRunner, Result

from outrider.cli.app import app

CASCADE = """
tasks: ["arithmetic:count=70,levels=1-4,seed=7"]
predictor: {regressor: logistic, holdout: 0.4, folds: 2, bins: 4}
stages:
  - name: at once
    opening: "The answer is "
    max_tokens: 5
    context: 128
    cache: 16MiB
  - name: shown
    style: examples
    template: "{question} {answer}"
    max_tokens: 6
    stop: ["\\n"]
    context: 128
    cost: {ms: 40}
    examples:
      - {question: "What is 7 * 12?", answer: "84"}
      - {question: "What is 4 + 5?", answer: "9"}
"""

pytestmark = pytest.mark.slow


def outrider(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["cascade", *map(str, arguments)])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cascade") / "small.yml"
    path.write_text(CASCADE)
    found = outrider("collect", path, "--timing", 3, "--json")
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert (values["asked"], values["kept"], values["failed"]) == (146, 0, [])
    assert set(values["accuracy"]["arithmetic"]) == {"at once", "shown"}
    found = outrider("train", path, "--json")
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert values["trained"] + values["held_out"] == 70
    assert [cost["source"] for cost in values["costs"]] == ["measured alone", "declared"]
    assert values["costs"][0]["base_ms"] + values["costs"][0]["token_ms"] > 0
    return path


def test_a_second_collection_has_nothing_to_ask(file: Path) -> None:
    found = outrider("collect", file)
    assert found.exit_code == 0, found.output
    assert "0 answers now, 140 before" in found.stderr
    assert "arithmetic" in found.stdout


def test_the_evaluation_writes_a_report(file: Path) -> None:
    found = outrider("eval", file)
    assert found.exit_code == 0, found.output
    assert re.search(r"at once +\d", found.stdout)
    report = file.with_name("small.report.md").read_text()
    assert "## Quality against cost" in report
    assert file.with_name("small.report.html").read_text().count("<svg") == 4
    values = json.loads(outrider("eval", file, "-o", file.with_name("other"), "--json").stdout)
    assert values["questions"] + values["trained"] == 70
    assert values["stages"][1]["ms"] == 40
    assert file.with_name("other.md").exists()
    asked = outrider("eval", file, "-o", file.with_name("other"), "--early-stop-rate", 1)
    assert "Asked for early stop rate 1: λ = " in " ".join(asked.stdout.split())
    none = outrider("eval", file, "--task", "svamp")
    assert none.exit_code == 2
    assert "No question of 'svamp' was collected" in none.stderr


def test_questions_are_answered(file: Path) -> None:
    one = outrider("run", file, "What is 4 + 5?", "--lambda", 0)
    assert one.exit_code == 0, one.output
    assert one.stdout.startswith("The answer is")
    assert "from at once" in one.stderr
    prompts = file.with_name("q.jsonl")
    prompts.write_text('{"question": "What is 2 + 3?"}\n{"turns": ["Hello", "What is 9 * 9?"]}\n')
    many = outrider("run", file, "--prompts", prompts, "--lambda", "inf", "--json")
    assert many.exit_code == 0, many.output
    assert json.loads(many.stdout)["lambda"] is None
    answers = json.loads(many.stdout)["answers"]
    assert [a["question"] for a in answers] == ["What is 2 + 3?", "Hello", "What is 9 * 9?"]
    assert [a["turn"] for a in answers] == [0, 0, 1]
    assert [s["stage"] for s in answers[0]["asked"]] == ["at once", "shown"]
    assert all(0 < s["score"] < 1 for a in answers for s in a["asked"])
    assert all(a["complexity"] in ("simple", "medium", "complex") for a in answers)


def test_a_cascade_answers_a_set_of_questions(file: Path) -> None:
    asked = file.with_name("sums.jsonl")
    asked.write_text(
        '{"question": "What is 2 + 3?", "answer": "5", "subject": "algebra"}\n'
        '{"question": "What is 9 * 9?", "answer": "81", "subject": "algebra"}\n'
    )
    output, profile = file.with_name("answers.jsonl"), file.with_name("profile.toml")
    profile.write_text(
        '[subjects.algebra]\nsystem = "Be brief."\nmax_tokens = 12\n'
        "sampling = { temperature = 0.9 }\n"
    )
    call = [
        *("answer", str(asked), "--profile", str(profile)), "-m", str(file), "-o", str(output),
    ]  # fmt: skip
    found = CliRunner().invoke(app, call)
    assert found.exit_code == 0, found.output
    assert "with their own sampling" in found.stderr
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["error"] for line in lines] == [None, None]
    assert all(line["text"] and line["tokens"] for line in lines)
    facts = json.loads(output.with_name("answers.run.json").read_text())
    assert facts["model"] == str(file)
    refused = CliRunner().invoke(app, [*call, "--context", "512"])
    assert refused.exit_code == 2
    assert "--context is for a model file here; the stages of" in refused.stderr


def test_stages_draft_as_asked_and_say_the_same(file: Path) -> None:
    def answers(*drafting: str) -> list[str]:
        found = outrider("run", file, "What is 2 + 3?", "--json", *drafting)
        assert found.exit_code == 0, found.output
        return [answer["text"] for answer in json.loads(found.stdout)["answers"]]

    drafted = answers("--drafter", "ngram", "--controller", "fixed", "--num-draft-tokens", "2")
    assert drafted == answers("--no-speculation")


def test_a_cascade_judges_a_run(file: Path) -> None:
    run = write(file.with_name("cities.jsonl"), [city(n, f"Town{n}", "Ur") for n in range(4)])
    found = CliRunner().invoke(app, ["evaluate", str(run), "--judge", str(file)])
    assert found.exit_code == 2
    assert "the context holds 128" in found.stderr
    roomy = file.with_name("roomy.yml")
    roomy.write_text(CASCADE.replace("context: 128", "context: 1024"))
    shutil.copy(file.with_name("small.predictor.json"), roomy.with_name("roomy.predictor.json"))
    found = CliRunner().invoke(app, ["evaluate", str(run), "--judge", str(roomy), "--json"])
    values = json.loads(found.stdout)
    assert values["judge"] == str(roomy)
    assert values["agreement"]["geography"]["answers"] == 8
    # Stages that write six tokens come to no verdict, and such a judge is not believed.
    assert found.exit_code == 1
    assert "geography: the judge's score is withheld" in found.stderr


def test_what_cannot_be_honoured_is_said(file: Path, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        found = outrider(*arguments)
        assert found.exit_code == 2, found.output
        return found.stderr

    assert "Give either a question or --prompts" in refused("run", file)
    assert "each of them settles λ" in refused("run", file, "x", "--budget", 1, "--quality", 0.5)
    assert "the cheapest policy costs" in refused("run", file, "x", "--budget", 1e-6)
    assert "says other things than plainly" in refused(
        "run", file, "x", "--verification", "typical"
    )
    assert "did you mean 'stopping'" in refused("eval", file, "--policy", "stoping")
    assert "--limit 0 asks nothing" in refused("collect", file, "--limit", 0)
    fresh = tmp_path / "fresh.yml"
    fresh.write_text(CASCADE)
    assert "`outrider cascade collect` makes it" in refused("train", fresh)
    assert "`outrider cascade train` makes it" in refused("run", fresh, "x")
    changed = file.with_name("changed.yml")
    changed.write_text(CASCADE.replace("max_tokens: 5", "max_tokens: 4"))
    said = refused("run", changed, "x", "--predictor", file.with_name("small.predictor.json"))
    assert "the stage 'at once' had other settings" in said
    said = refused("train", changed, "--answers", file.with_name("small.answers.jsonl"))
    assert "'at once' with other settings" in said
