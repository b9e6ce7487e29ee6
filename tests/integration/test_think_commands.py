"""`outrider think` and `outrider bench thinking` over the default model, as users call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outrider.cli.app import app
from outrider.cli.pair import locate
from outrider.errors import UsageError


def run(*arguments: str, stdin: str | None = None, **env: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "80", **env})
    return runner.invoke(app, list(arguments), input=stdin)


SERVERS = ("--small", "http://127.0.0.1:9/v1", "--large", "http://127.0.0.1:9/v1")


@pytest.fixture
def pair(model_path: Path) -> list[str]:
    return ["--small", str(model_path), "--large", str(model_path), "--context", "512"]


@pytest.fixture
def helped(tmp_path: Path) -> Path:
    file = tmp_path / "helped.yml"
    file.write_text(
        "not_reasoning: true\nbegin: true\nbegin_token_num: 6\nmax_target_tokens: 4\n"
        'TRIGGER_TOKENS: [".", ","]\noriginal_recap_token_num: 5\nmax_recap_token_num: 5\n'
    )
    return file


def test_an_answer_says_who_wrote_what(pair: list[str], helped: Path) -> None:
    result = run(
        *("think", "Name three colours of the rainbow.", *pair, "--config", str(helped)),
        *("--max-tokens", "40", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    record = values["record"]
    assert "".join(s["text"] for s in record["stretches"]) == values["text"]
    assert {s["author"] for s in record["stretches"]} == {"small", "large"}
    assert record["stretches"][0]["why"] == "begin"
    assert record["validations"] > 1
    assert record["total_tokens"] <= 40
    assert values["config"]["consult_always"] is True
    assert values["usage"]["completion_tokens"] == record["total_tokens"]


def test_an_answer_on_a_terminal_ends_with_what_it_took(pair: list[str], helped: Path) -> None:
    result = run(
        *("think", "-", *pair, "--config", str(helped), "--max-tokens", "24"),
        stdin="Count to five.\n",
        FORCE_COLOR="1",
    )
    assert result.exit_code == 0, result.stderr
    assert "\x1b[32m" in result.stdout  # the large model's text is green
    assert "large model called" in result.stderr
    assert "tokens rejected" in result.stderr


def test_a_text_may_be_continued_as_it_stands(pair: list[str]) -> None:
    result = run("think", "Once upon a time", *pair, "--raw", "--max-tokens", "8")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip()


def test_tokens_are_drafted_as_asked_and_the_text_stays(pair: list[str], helped: Path) -> None:
    ask = (
        "think",
        "List the days.",
        *pair,
        "--config",
        str(helped),
        "--max-tokens",
        "48",
        "--json",
    )
    drafting = ("--drafter", "ngram", "--controller", "fixed", "--num-draft-tokens", "3")
    drafted, plain = (
        json.loads(run(*ask, *extra).stdout) for extra in (drafting, ("--no-speculation",))
    )
    assert drafted["text"] == plain["text"]
    assert drafted["usage"]["draft_tokens"] > 0
    assert plain["usage"]["draft_tokens"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["think", "Hi"], "'Qwen/Qwen3-1.7B' is not known here. Give --small"),
        (["think", "Hi", "--config", "none.yml"], "qwen3_1.7b_32b.yml"),
        (["think", "Hi", "--policy", "grade"], "did you mean 'grades'"),
        (["think", ""], "question is empty"),
        (["think", "Hi", "--time-out", "0"], "time_out"),
        (
            ["think", "Hi", *SERVERS, "--drafter", "ngram"],
            "How tokens are drafted can be said of a model here",
        ),
        (["bench", "thinking", "--test-mode", "specs"], "did you mean 'spec'"),
        (["bench", "thinking", "--num-runs", "0"], "--num-runs has to be at least 1"),
    ],
)
def test_what_cannot_be_is_a_sentence(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_names_are_resolved_in_order(model_path: Path) -> None:
    given = str(model_path)
    assert locate(given, "Qwen/Qwen3-1.7B", "small", ()) == given
    assert locate(None, "smollm2-135m-instruct", "small", ()) == "smollm2-135m-instruct"
    assert locate("http://127.0.0.1:9/v1", None, "large", ()) == "http://127.0.0.1:9/v1"
    with pytest.raises(UsageError, match="No large model is named"):
        locate(None, None, "large", ())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """AIME25 as its place is filled in a test: two problems of our own."""
    rows = [
        {"id": "a", "question": "What is 2 + 2?", "answer": "4"},
        {"id": "b", "question": "What is 3 + 4?", "answer": "7"},
    ]
    (tmp_path / "aime25.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_the_published_configuration_and_task_run(
    pair: list[str], data: Path, tmp_path: Path
) -> None:
    """All defaults but for the models and the size."""
    output = tmp_path / "out.json"
    size = ["--num-problems", "2", "--num-runs", "1", "--output", str(output)]
    first = run(
        *("bench", "thinking", *pair, *size, "--test-mode", "large"),
        OUTRIDER_DATA=str(data),
    )
    assert first.exit_code == 0, first.stderr
    assert "clipped to" in first.stderr
    assert "OVERALL SPEEDUP" not in first.stdout
    second = run(
        *("bench", "thinking", *pair, *size, "--test-mode", "spec"),
        OUTRIDER_DATA=str(data),
    )
    assert second.exit_code == 0, second.stderr
    for line in ("1. LATENCY (seconds)", "2. THROUGHPUT (tokens/second)", "3. TOKEN GENERATION"):
        assert line in second.stdout
    assert "LARGE MODEL TOKEN REDUCTION: " in second.stdout
    assert "say nothing about a speed-up" in second.stderr
    results = json.loads(output.read_text())
    assert results["large_model"]["statistics"]["latency"]["mean"] > 0
    assert results["speculative_thinking"]["statistics"]["accuracy"]["max"] <= 1
    assert results["comparison"]["speedup"] > 0
    assert results["comparison"]["same_model"] is True
    assert results["config"]["num_problems"] == 2
    assert results["config"]["max_tokens"] < results["config"]["max_tokens_asked"] == 32768
    assert results["config"]["thinking"]["placement"]["target_model_gpu"] == 2
    third = run(
        *("bench", "thinking", *pair, *size, "--test-mode", "large"),
        OUTRIDER_DATA=str(data),
    )
    assert third.exit_code == 2
    assert "holds the arm large_model already" in third.stderr
    other = run(
        *("bench", "thinking", *pair, *size, "--test-mode", "small", "--drafter", "ngram"),
        OUTRIDER_DATA=str(data),
    )
    assert other.exit_code == 2
    assert "was measured with other settings (drafting was {} and is" in other.stderr


def test_more_problems_than_there_are(pair: list[str], data: Path) -> None:
    result = run("bench", "thinking", *pair, OUTRIDER_DATA=str(data))
    assert result.exit_code == 2
    assert "has 2 problems; give --num-problems 2" in result.stderr


def test_a_data_set_of_the_hub_is_taken_for_one() -> None:
    result = run("bench", "thinking", "--task-config", "hf:gsm8k")
    assert result.exit_code == 2
    assert "names no data set of the hub; write hf:owner/name" in " ".join(result.stderr.split())


def test_a_problem_without_an_answer_shows_before_anything_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "open.jsonl"
    file.write_text('{"id": "x", "question": "Why?"}\n')
    result = run("bench", "thinking", "--task-config", str(file), "--num-problems", "1")
    assert result.exit_code == 2
    assert "no known answer" in result.stderr
