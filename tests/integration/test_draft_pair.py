"""The default model and its 4-bit copy: a draft pair that any machine can make."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from outrider import LLM
from outrider.cli.app import app

PASSAGE = (
    "The sun rises in the east and sets in the west. Water boils at one hundred degrees. Paris is "
    "the capital of France, and Berlin is the capital of Germany. Once upon a time there was a "
    "little girl who lived in a small house near the forest with her mother and father."
)


@pytest.fixture(scope="module")
def copy_path(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("copy") / "copy.gguf"
    result = CliRunner().invoke(app, ["quantize", str(model_path), str(path), "--type", "Q4_0"])
    assert result.exit_code == 0, result.stderr
    return path


def favourites(path: Path) -> list[int]:
    """The likeliest token at each place of the passage."""
    with LLM(path, context=256) as llm:
        logprobs = llm.generate(PASSAGE, max_tokens=1, prompt_logprobs=1).prompt_logprobs
    assert logprobs is not None
    return [value.top[0][0] for value in logprobs if value is not None]


def test_the_copy_is_smaller_and_answers(model_path: Path, copy_path: Path) -> None:
    assert copy_path.stat().st_size < 0.95 * model_path.stat().st_size
    result = CliRunner().invoke(
        app, ["generate", "-m", str(copy_path), "--max-tokens", "12", "Why is the sky blue?"]
    )
    assert result.exit_code == 0, result.stderr
    assert "sky" in result.stdout


def test_the_copy_mostly_prefers_what_its_model_prefers(model_path: Path, copy_path: Path) -> None:
    ours, copys = favourites(model_path), favourites(copy_path)
    agreeing = sum(a == b for a, b in zip(ours, copys, strict=True))
    assert agreeing >= len(ours) * 2 / 3
    assert agreeing < len(ours)
