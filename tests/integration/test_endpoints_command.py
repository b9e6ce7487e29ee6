"""`outrider bench speed` and `outrider certify` with two real servers, as users call them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outrider.cli.app import app
from servers import llamacpp

COPY = "Repeat this: one two three four five six. one two three four five six. one two three"


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, arguments)


@pytest.fixture(scope="module")
def endpoints(model_path: Path) -> Iterator[list[str]]:
    with llamacpp(model_path) as plain, llamacpp(model_path, "ngram-simple") as speculating:
        yield ["--endpoint", plain, "--endpoint", f"{speculating}/v1"]


@pytest.fixture
def prompts(tmp_path: Path) -> list[str]:
    lines = [
        {"category": "copying", "prompt": COPY},
        {"category": "sums", "prompt": "What is 17 + 4?"},
    ]
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return ["--prompts", str(path)]


def test_servers_are_measured_against_the_first(endpoints: list[str], prompts: list[str]) -> None:
    result = run(
        *("bench", "speed", *endpoints, *prompts, "--max-tokens", "24", "--raw"),
        *("--concurrency", "2", "--json"),
    )

    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    plain, speculating = values["servers"]
    assert plain["speedup"] == 1.0
    assert speculating["speedup"] > 0
    assert (plain["server"], plain["acceptance_rate"]) == ("llama.cpp", None)
    assert 0 < speculating["accepted_tokens"] <= speculating["draft_tokens"]
    assert (speculating["identical"], speculating["compared"]) == (2, 2)
    assert set(speculating["categories"]) == {"copying", "sums"}
    assert speculating["cached_share"] < 0.2
    assert values["concurrency"] == 2
    assert values["answers"]["group"] == [0] * 12  # two servers, two prompts, three times
    assert all(ms > 0 for ms in values["answers"]["first_token_ms"])


def test_the_tables_fit_a_terminal(endpoints: list[str], prompts: list[str]) -> None:
    result = run("bench", "speed", *endpoints, *prompts, "--max-tokens", "8")

    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    for said in ("times 1", "first, ms", "2 of 2", "They say the same on 2 of 2 prompts."):
        assert said in " ".join(result.stdout.split())


def test_servers_are_certified(endpoints: list[str], prompts: list[str]) -> None:
    result = run("certify", *endpoints, *prompts, "--max-tokens", "24", "--raw", "--json")

    values = json.loads(result.stdout)
    plain, speculating = values["servers"]
    assert values["unsteady"] == []
    assert speculating["failures"] == []
    assert plain["accepted"] is None
    # What so few tokens show is nothing, and the exit status says so.
    assert (speculating["status"], result.exit_code) == ("inconclusive", 2)

    shown = run("certify", *endpoints, *prompts, "--max-tokens", "4")
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "answers" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench", "speed", "--plan", "ngram"], "--plan is for a model here"),
        (["bench", "speed", "-m", "x.gguf"], "--model is for a model here"),
        (["bench", "speed", "--max-streams", "2"], "--max-streams is for a model here"),
        (["bench", "speed", "--cold"], "--cold is for a model here"),
        (["certify", "--drafter", "ngram"], "--drafter is for a model here"),
        (["certify", "--temperature", "1"], "--temperature is for a model here"),
        (["certify"], "name two or more endpoints"),
    ],
)
def test_what_is_for_a_model_here_is_an_error(
    endpoints: list[str], arguments: list[str], said: str
) -> None:
    result = run(*arguments, *endpoints[:2])

    assert result.exit_code == 2
    assert said in result.stderr


def test_concurrency_is_for_servers() -> None:
    result = run("certify", "--concurrency", "2")

    assert result.exit_code == 2
    assert "--concurrency is for servers" in result.stderr


def test_a_server_that_is_not_there_has_a_status_of_its_own() -> None:
    result = run("bench", "speed", "--endpoint", "http://127.0.0.1:9")

    assert result.exit_code == 7
    assert "Nobody answers at http://127.0.0.1:9/v1" in result.stderr
