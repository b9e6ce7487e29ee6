"""`outrider replay` over the default model's tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outrider.cli.app import app

COPIED = "The ferry leaves at seven, takes forty minutes, and waits in the harbour for the wind. "


def replay(model_path: Path, log: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["replay", str(log), "-m", str(model_path), *arguments])


def write(tmp_path: Path, output: str, prompt: object = COPIED) -> Path:
    key = "prompt" if isinstance(prompt, str) else "messages"
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({key: prompt, "output": output}) + "\n", encoding="utf-8")
    return log


def test_answers_that_copy_are_worth_speculating(model_path: Path, tmp_path: Path) -> None:
    log = write(tmp_path, COPIED * 3, [{"role": "user", "content": COPIED}])
    result = replay(model_path, log, "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    replayed = {drafter["drafter"] for drafter in values["drafters"]}
    assert {"ngram", "suffix", "mixed:sources=ngram+suffix"} <= replayed
    assert {"recycle", "model"} <= {left["drafter"] for left in values["left_out"]}
    assert values["best"]["speedup"] > 1.5
    assert values["verdict"].startswith("Use ")
    assert [found["batch"] for found in values["drafters"][0]["speedups"]] == [1, 2, 4, 8, 16]
    ngram, suffix = values["peers"]
    assert ngram["vllm"]["num_speculative_tokens"] == ngram["num_draft_tokens"]
    assert ngram["llamacpp"].startswith("--spec-type ngram-simple")
    assert suffix["vllm"]["method"] == "suffix"

    shown = replay(model_path, log)
    assert "--speculative-config" in shown.stdout
    assert "left out: recycle: it needs the model's logits" in shown.stderr


def test_answers_with_nothing_to_copy_are_not(model_path: Path, tmp_path: Path) -> None:
    words = "zebra quartz violin mango plinth harbour cactus nimbus otter velvet"
    result = replay(model_path, write(tmp_path, words), "--drafter", "ngram", "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert values["best"] is None
    assert values["peers"] == []
    assert values["verdict"].startswith("Do not speculate")


def test_a_given_cost_curve_decides(model_path: Path, tmp_path: Path) -> None:
    log = write(tmp_path, COPIED * 3)
    result = replay(model_path, log, "--cost", "1,2.5", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["best"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--drafter", "recycle"), "needs the model's logits"),
        (("--drafter", "telepathy"), "Unknown drafter"),
        (("--cost", "nowhere.json"), "neither"),
    ],
)
def test_what_cannot_be_replayed_is_an_error(
    model_path: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = replay(model_path, write(tmp_path, COPIED), *arguments)
    assert result.exit_code != 0
    assert said in result.stderr


def test_token_ids_outside_the_vocabulary(model_path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"prompt": [1], "output": [10000000]}')
    result = replay(model_path, log)
    assert result.exit_code == 2
    assert "10000000" in result.stderr
