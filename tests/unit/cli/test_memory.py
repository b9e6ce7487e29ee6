from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from outrider.cli.app import app

COURSE = ("--target-params", "70B", "--draft-params", "7B", "--bits", "16")
QWEN3 = {
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, ...]:
    """Two configurations, of 36 layers and of 28."""
    for name, sizes in (("large", (36, 2560, 9728)), ("small", (28, 2048, 6144))):
        (tmp_path / name).mkdir()
        keys = ("num_hidden_layers", "hidden_size", "intermediate_size")
        config = QWEN3 | dict(zip(keys, sizes, strict=True))
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    return ("-m", str(tmp_path / "large"), "--draft-model", str(tmp_path / "small"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["memory", *arguments])


def run_json(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert isinstance(values, dict)
    return values


def test_parameters_alone() -> None:
    values = run_json(*COURSE, "--batch", "2")

    assert values["streams"] == 2
    assert values["target"]["weights_bytes"] == 140e9
    assert values["draft"]["weights_bytes"] == 14e9
    assert values["overhead"] == pytest.approx(
        values["total_bytes"] / values["alone"]["total_bytes"] - 1
    )
    assert values["rule_of_thumb_cache_bytes"] == pytest.approx(2 * 7.7e9)


def test_models_by_their_configurations(pair: tuple[str, ...]) -> None:
    values = run_json(*pair, "--context", "1000", "--streams", "4", "--draft-weights", "AWQ")

    assert values["target"]["cache_bytes"] == 4 * 1000 * 147_456
    assert values["draft"]["cache_bytes"] == 4 * 1000 * 114_688
    assert values["draft"]["weights_bytes"] < values["target"]["weights_bytes"] / 8
    assert values["num_draft_tokens"] == 8
    assert not values["assumed"]


def test_a_target_alone(pair: tuple[str, ...]) -> None:
    values = run_json(*pair[:2])

    assert values["draft"] is None
    assert values["overhead"] == 0.0
    assert values["num_draft_tokens"] == 0


def test_what_fits_a_budget(pair: tuple[str, ...]) -> None:
    fits = run_json(*pair, "--weights", "awq", "--budget", "16GB")["fits"]
    shown = run(*pair, "--weights", "awq", "--budget", "3500MB").stdout
    none = run(*COURSE, "--budget", "16GB").stdout

    assert fits["with_draft"]["fits"]
    assert fits["with_draft"]["largest_context"] < fits["alone"]["largest_context"]
    assert "too much; what fits is 1 stream of up to " in " ".join(shown.split())
    assert none.count("does not fit, however short the context") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--weights", "Q4_X"), "Unknown format of weights 'Q4_X'"),
        (("--weights", "Q4_K", "--bits", "4"), "not both"),
        (("-m", "x.gguf", "--target-params", "7B"), "either as a model or by --target-params"),
        (("--target-params", "many"), "--target-params takes a count"),
        (("--target-params", "7B", "--draft-weights", "Q4_K"), "there is none"),
        (("--target-params", "7B", "--context", "0"), "context has to be at least 1"),
        (("--target-params", "7B", "--bits", "0"), "bits of a weight has to be a positive"),
        (("--target-params", "7B", "--budget", "much"), "is not a size"),
        (("-m", "missing.gguf"), "does not exist"),
    ],
)
def test_what_cannot_be_calculated(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr
