"""A cascade of a model here and one behind a real server, llama.cpp's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from outrider.cli.app import app
from outrider.errors import EndpointError
from servers import llamacpp

CASCADE = """
tasks: ["arithmetic:count=44,levels=1-4,seed=7"]
predictor: {{regressor: logistic, holdout: 0.2, calibration: 0.5, folds: 2, bins: 4}}
cost: {{ms: 0, money: 1}}
stages:
  - name: here
    opening: "The answer is "
    max_tokens: 5
    context: 128
    cache: 16MiB
    cost: {{money: 0.1}}
  - name: there
    endpoint: {address}
    style: examples
    template: "{{question}} {{answer}}"
    max_tokens: 6
    stop: ["\\n"]
    cost: {{money_per_million_prompt_tokens: 1000, money_per_million_tokens: 10000}}
    examples:
      - {{question: "What is 7 * 12?", answer: "84"}}
      - {{question: "What is 4 + 5?", answer: "9"}}
"""

pytestmark = pytest.mark.slow


def outrider(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["cascade", *map(str, arguments)])


def said(found: Result) -> Any:
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.fixture(scope="module")
def served(model_path: Path) -> Iterator[str]:
    with llamacpp(model_path) as address:
        yield address


@pytest.fixture(scope="module")
def file(served: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cascade") / "served.yml"
    path.write_text(CASCADE.format(address=served))
    values = said(outrider("collect", path, "--json"))
    assert (values["asked"], values["failed"]) == (88, [])
    said(outrider("train", path, "--json"))
    return path


def test_a_servers_answers_show_what_a_models_do(file: Path, model_path: Path) -> None:
    text = file.with_name("served.answers.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    there = [line["answer"] for line in lines if line["answer"]["stage"] == "there"]
    assert len(there) == 44
    for answer in there:
        assert 0 < len(answer["logprobs"]) == len(answer["entropies"]) <= answer["tokens"]
        assert answer["prompt_tokens"] > 20
        assert answer["loading_ms"] >= 0.0
        assert Path(answer["model"]).name == model_path.name


def test_both_stages_answer_and_are_paid(file: Path) -> None:
    values = said(outrider("run", file, "What is 4 + 5?", "--lambda", "inf", "--json"))
    (answer,) = values["answers"]
    here, there = answer["asked"]
    assert (here["stage"], there["stage"], values["unit"]) == ("here", "there", "money")
    price = (1000 * there["prompt_tokens"] + 10000 * there["tokens"]) / 1e6
    assert answer["cost"] == pytest.approx(0.1 + price)
    report = said(outrider("eval", file, "--json"))
    assert [stage["size"] > 0 for stage in report["stages"]] == [True, False]


def test_a_server_that_has_gone_is_said(file: Path, tmp_path: Path) -> None:
    """The predictor goes with a server that has moved; where none answers, that is said."""
    moved = tmp_path / "moved.yml"
    moved.write_text(CASCADE.format(address="http://127.0.0.1:9/v1"))
    predictor = file.with_name("served.predictor.json")
    question = ("What is 4 + 5?", "--predictor", predictor)
    assert outrider("run", moved, *question, "--lambda", 0).exit_code == 0
    found = outrider("run", moved, *question, "--lambda", "inf")
    assert found.exit_code == EndpointError.exit_status
    assert "127.0.0.1:9" in found.stderr
    assert "Traceback" not in found.output
