from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from outrider.errors import UsageError
from outrider.strategies.thinking import Keywords, ThinkingConfig
from outrider.strategies.thinking.config import DEFAULT_FILE, find_config

UNQUOTED = r"""
mode: vllm
target_model_name: Qwen/Qwen3-32B
speculative_model_name: Qwen/Qwen3-1.7B
target_model_gpu: 2
speculative_model_gpu: 1
TRIGGER_TOKENS: ["\n\n"]
TARGET_VALIDATION_KEYWORDS:
  verify:   [verify, think again, recap, check]
  negative: [wait, alternatively, hold on, another]
  positive: [yeah, yes, final answer, confident]
help_think_word: null
help_recap_words: "Let me check whether there are some wrong steps:"
choose_large: true
max_target_tokens: 20
begin: false
begin_token_num: 100
original_recap_token_num: 125
recap_after_negative_num: 15
add_each_recap: 25
add_each_neg: 5
max_recap_token_num: 200
max_negative_num: 30
time_out: -1
not_reasoning: false
"""


def test_the_file_that_comes_with_the_package_has_the_defaults() -> None:
    config = ThinkingConfig.load(DEFAULT_FILE)
    assert config == ThinkingConfig(
        small="Qwen/Qwen3-1.7B",
        large="Qwen/Qwen3-32B",
        placement={"mode": "vllm", "target_model_gpu": 2, "speculative_model_gpu": 1},
    )


def test_yes_is_a_keyword_whether_quoted_or_not(tmp_path: Path) -> None:
    file = tmp_path / "published.yml"
    file.write_text(UNQUOTED)
    assert ThinkingConfig.load(file) == ThinkingConfig.load(DEFAULT_FILE)


def test_a_file_may_use_our_names(tmp_path: Path) -> None:
    file = tmp_path / "ours.yml"
    file.write_text(
        "policy: grades\ngrade_threshold: 5\nprobe_tokens: 8\ntime_out: 2.5\n"
        "keywords: {verify: [sure], negative: [], positive: [ok]}\n"
    )
    config = ThinkingConfig.load(file)
    assert (config.policy, config.grade_threshold, config.probe_tokens) == ("grades", 5, 8)
    assert config.time_out == 2.5
    assert config.keywords == Keywords(verify=("sure",), negative=(), positive=("ok",))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_target_token": 20}, "did you mean 'max_target_tokens'"),
        ({"max_target_tokens": 20, "probe_tokens": 20}, "set twice"),
        ({"keywords": {"positiv": []}}, "did you mean 'positive'"),
        ({"keywords": ["yes"]}, "lists under verify"),
        ({"keywords": {"positive": [True]}}, "keywords.positive"),
        ({"triggers": []}, "triggers"),
        ({"triggers": "\n\n"}, "triggers"),
        ({"probe_tokens": 0}, "at least 1"),
        ({"probe_tokens": "20"}, "probe_tokens"),
        ({"max_recap_tokens": 100}, "at least 125"),
        ({"grade_threshold": 10}, "at most 9"),
        ({"choose_large": "yes"}, "true or false"),
        ({"policy": "keyword"}, "did you mean 'keywords'"),
        ({"large": 5}, "text or nothing"),
        ({"recap_prefix": None}, "text"),
        ({"time_out": "soon"}, "seconds"),
    ],
)
def test_what_cannot_be_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ThinkingConfig.of(values)


@pytest.mark.parametrize(
    ("content", "said"),
    [("- a\n- b\n", "no settings"), ("a: [", "not YAML"), ("probe: 1\n", "file.yml: Unknown")],
)
def test_a_file_that_is_none(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "file.yml"
    file.write_text(content)
    with pytest.raises(UsageError, match=said):
        ThinkingConfig.load(file)


def test_files_by_path_and_by_name(tmp_path: Path) -> None:
    assert find_config("qwen3_1.7b_32b.yml") == DEFAULT_FILE
    own = tmp_path / "own.yml"
    own.write_text("begin: true\n")
    assert find_config(str(own)) == own
    with pytest.raises(UsageError, match=r"qwen3_1.7b_32b\.yml"):
        find_config(str(tmp_path / "qwen3_1.7b_32b.yml"))
    with pytest.raises(UsageError, match="cannot be read"):
        ThinkingConfig.load(tmp_path)
