"""`outrider bench speed` over the default model, as users call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outrider.cli.app import app
from outrider.tree import ROOT
from outrider.types import Verdict
from outrider.verify import CoupledVerifier

CHANT = "Say this three times: the cat sat on the mat, and the dog sat on the mat beside the cat."


def bench(model_path: Path, *arguments: str) -> Result:
    command = ["bench", "speed", "-m", str(model_path), *arguments]
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, command)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    lines = [
        {"category": "chant", "prompt": CHANT},
        {"category": "sums", "prompt": "What is 17 + 4?"},
        {"category": "chant", "prompt": CHANT.replace("cat", "hen")},
    ]
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_plans_are_measured_against_plain(model_path: Path, prompts: Path, tmp_path: Path) -> None:
    plan = {"name": "mine", "drafter": "suffix", "controller": "fixed", "num_draft_tokens": 3}
    (tmp_path / "mine.json").write_text(json.dumps(plan))
    result = bench(
        model_path,
        *("--prompts", str(prompts), "--max-tokens", "24", "--repeats", "2", "--json"),
        *("--plan", "ngram/fixed", "--plan", str(tmp_path / "mine.json")),
        *("--plot", str(tmp_path / "speed.png")),
    )
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)

    assert [plan["name"] for plan in values["plans"]] == ["plain", "ngram/fixed", "mine"]
    assert values["identical"] is True
    for found in values["plans"]:
        for figures in (found, *found["categories"].values()):
            assert figures["tokens_per_second"] > 0
            assert figures["end_to_end_tokens_per_second"] > 0
        assert found["speedup_low"] <= found["speedup"] <= found["speedup_high"]
        assert set(found["categories"]) == {"chant", "sums"}
        assert found["ms_per_step"]["pass"] > 0
    plain, ngram, mine = values["plans"]
    assert (plain["mean_accepted_length"], plain["rows_per_step"]) == (1.0, 1.0)
    assert ngram["accepted_tokens"] > 0
    assert ngram["mean_accepted_length"] > 1
    assert mine["plan"]["num_draft_tokens"] == 3
    assert values["memory_bandwidth_gb_s"] > 0
    assert values["sampling"] == {"max_tokens": 24, "seed": 0}
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")

    # A repetition begins like the first: one prompt, asked twice, has the same counts.
    answers = values["answers"]
    counts: dict[tuple[str, int], set[tuple[int, ...]]] = {}
    for i, plan_name in enumerate(answers["plan"]):
        names = ("steps", "draft_tokens", "accepted_tokens", "completion_tokens")
        counts.setdefault((plan_name, answers["prompt"][i]), set()).add(
            tuple(answers[name][i] for name in names)
        )
    assert len(counts) == 9
    assert all(len(found) == 1 for found in counts.values())


def test_the_default_plan_is_the_second(model_path: Path, prompts: Path) -> None:
    settings = ("--prompts", str(prompts), "--limit", "2", "--max-tokens", "8", "--repeats", "1")
    shown = bench(model_path, *settings, "--streams", "2", "--temperature", "0.8", "--seed", "3")
    assert shown.exit_code == 0, shown.stderr
    words = " ".join(shown.stdout.split())
    assert "temperature 0.8 · 8 tokens · 2 streams" in words
    assert "Every answer that has to be plain's is." in words
    assert max(map(len, shown.stdout.splitlines())) <= 80
    names = [line.split()[0] for line in shown.stdout.splitlines() if line.strip()]
    assert names.index("plain") < names.index("default")


RIGHT = CoupledVerifier.verify


def accept_anything(self, outcome, root, position, tree, sampler, *, mask=None):
    """A verifier that accepts the first child, whatever it is."""
    for child in tree.children(ROOT):
        path = [tree.tokens[child]]
        (token,) = outcome.choose([root + 1 + child], [sampler], [position + 1], [path])
        return Verdict((child,), token)
    return RIGHT(self, outcome, root, position, tree, sampler, mask=mask)


def test_a_plan_that_says_something_else_is_found_out(
    model_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CoupledVerifier, "verify", accept_anything)
    result = bench(
        model_path,
        *("--prompts", str(prompts), "--limit", "1", "--max-tokens", "24", "--repeats", "1"),
        *("--plan", "ngram/fixed", "--json"),
    )
    assert result.exit_code == 1, result.stderr
    values = json.loads(result.stdout)
    assert values["identical"] is False
    assert values["plans"][1]["different"] == [0]
    assert "ngram/fixed has to say what plain decoding says" in values["verdict"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (["--prompts", "nowhere.jsonl"], "The prompt file nowhere.jsonl cannot be read"),
        (["--prompts", "gsm8"], "Unknown set of prompts 'gsm8'; did you mean 'gsm8k'"),
        (["--prompts", "hf:gsm8k"], "'hf:gsm8k' names no data set of the hub; write hf:owner/name"),
        (["--limit", "0"], "The limit has to be at least 1 prompt"),
        (["--plan", "nowhere.json"], "The plan nowhere.json cannot be read"),
        (["--plan", "ngarm"], "did you mean 'ngram'"),
        (["--plan", "ngram", "--plan", "ngram"], "Two plans are called 'ngram'"),
        (["--repeats", "0"], "repeats has to be at least 1"),
        (["--streams", "0"], "streams has to be at least 1"),
        (["--streams", "3", "--max-streams", "2"], "more than the 2"),
        (["--max-tokens", "1"], "max_tokens has to be at least 2"),
        (["--temperature", "-1"], "temperature has to lie"),
        (["--plot", "speed.gif"], "A plot ends in"),
    ],
)
def test_what_cannot_be_measured_is_an_error(model_path: Path, wrong: list[str], why: str) -> None:
    result = bench(model_path, *wrong)
    assert result.exit_code == 2, result.stderr
    assert why in result.stderr


def test_a_set_by_name_is_measured(model_path: Path) -> None:
    settings = ("--limit", "3", "--max-tokens", "4", "--repeats", "1")
    result = bench(model_path, "--prompts", "arithmetic:count=9,seed=1", *settings, "--json")

    values = json.loads(result.stdout)
    assert (values["given"]["prompts"], values["prompts"]) == ("arithmetic:count=9,seed=1", 3)
    assert values["plans"][1]["categories"].keys() == {"arithmetic"}


def test_drafters_are_not_warmed_on_what_is_measured(model_path: Path, prompts: Path) -> None:
    measured = ("--prompts", str(prompts), "--max-tokens", "4", "--repeats", "1")
    result = bench(model_path, *measured, "--warm", str(prompts))
    assert result.exit_code == 2, result.stderr
    assert "warm up on other prompts" in result.stderr


def test_a_plan_with_an_unknown_key_is_an_error(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"drafter": "ngram", "controler": "cost"}')
    result = bench(model_path, "--plan", str(tmp_path / "plan.json"))
    assert result.exit_code == 2, result.stderr
    assert "did you mean 'controller'" in result.stderr
