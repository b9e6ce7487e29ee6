"""Drafters over logged answers, without a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outrider.errors import OutriderError, UsageError
from outrider.replay import (
    LENGTHS,
    WORTH,
    Logged,
    llamacpp_flags,
    read_log,
    replay,
    ride,
    vllm_config,
)
from outrider.theory import flat, rows_cost

PERIOD = (1, 2, 3, 4, 5, 6, 7)
LOOPING = [Logged(PERIOD * 3, PERIOD * 6), Logged(PERIOD[::-1] * 2, PERIOD[::-1] * 3)]
FRESH = [Logged(tuple(range(20)), tuple(range(20, 60)))]


def replayed(log, k=4, spec="ngram", trees=True):
    return replay(log, spec, k, vocab_size=64, trees=trees)


@pytest.mark.parametrize("trees", [False, True])
@pytest.mark.parametrize("k", [0, 1, 4, 16])
@pytest.mark.parametrize("spec", ["ngram", "suffix", "mixed:sources=ngram+suffix"])
def test_every_token_but_the_first_is_a_pass_s_or_accepted(spec: str, k: int, trees: bool) -> None:
    for log in (LOOPING, FRESH):
        found = replayed(log, k, spec, trees)
        assert found.passes + found.accepted == sum(len(one.output) - 1 for one in log)
        assert sum(found.rows.values()) == found.passes
        assert sum((rows - 1) * count for rows, count in found.rows.items()) == found.drafted
        assert max(found.rows) <= k + 1


def test_what_repeats_is_accepted_and_what_is_new_is_not() -> None:
    assert replayed(LOOPING).tokens_per_pass > 3.5
    assert replayed(FRESH).accepted == 0
    assert replayed(FRESH).tokens_per_pass == 1.0


def test_the_same_log_gives_the_same_counts() -> None:
    assert replayed(LOOPING) == replayed(LOOPING)


def test_where_rows_cost_nothing_the_speedup_is_the_tokens_a_pass() -> None:
    found = replayed(LOOPING)
    assert found.speedup(flat, 4) == pytest.approx(found.tokens_per_pass)
    assert found.break_even(flat, 1) == 0.0


def test_break_even_is_where_the_speedup_is_one() -> None:
    v = rows_cost({1: 1.0, 32: 3.0})
    found = replayed(LOOPING)
    rate = found.break_even(v, 2)
    assert rate is not None
    cost = found.tokens_per_pass / found.speedup(v, 2)
    assert 1.0 + rate * found.drafted / found.passes == pytest.approx(cost)
    assert 0.0 < rate < found.acceptance_rate


def test_rows_that_cost_as_much_as_passes_never_pay() -> None:
    v = rows_cost({1: 1.0, 2: 2.5})
    ridden = ride(LOOPING, "ngram", vocab_size=64)
    assert [one.num_draft_tokens for one in ridden.by_length] == list(LENGTHS)
    assert ridden.best(v, 1).speedup(v, 1) < WORTH
    assert replayed(LOOPING).break_even(v, 1) is None


def test_speculation_pays_less_with_more_streams() -> None:
    v = rows_cost({1: 1.0, 8: 1.2, 16: 2.0, 32: 4.0})
    found = replayed(LOOPING)
    speedups = [found.speedup(v, batch) for batch in (1, 4, 16)]
    assert speedups == sorted(speedups, reverse=True)


@pytest.mark.parametrize("spec", ["recycle", "mixed", "model", "early_exit", "quantized"])
def test_what_needs_the_model_says_so(spec: str) -> None:
    with pytest.raises(OutriderError):
        replayed(LOOPING, 4, spec)


def test_an_unknown_drafter() -> None:
    with pytest.raises(UsageError, match="Unknown drafter"):
        replayed(LOOPING, 4, "telepathy")


# ------------------------------------------------------------------------------------- the log


def read(path: Path, *lines: object) -> list[Logged]:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text, encoding="utf-8")
    return read_log(
        path,
        prompt=lambda text: [99, *map(ord, text)],
        output=lambda text: list(map(ord, text)),
        chat=lambda messages: [98, *(ord(m["content"][0]) for m in messages)],
    )


def test_a_log_in_its_forms(tmp_path: Path) -> None:
    assert read(
        tmp_path / "log.jsonl",
        {"prompt": "a", "output": "bc", "time": 3},
        "",
        {"prompt": [1, 2], "completion": [3]},
        {"messages": [{"role": "user", "content": "x"}], "output": "y"},
        {"prompt": "not answered", "output": ""},
    ) == [
        Logged((99, 97), (98, 99)),
        Logged((1, 2), (3,)),
        Logged((98, 120), (121,)),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "Line 1 of .* is not valid JSON"),
        ("3", "has to be an object"),
        ({"prompt": "a"}, "exactly one of output and completion; given: none"),
        ({"prompt": "a", "output": "b", "completion": "b"}, "given: output, completion"),
        ({"output": "a"}, "exactly one of prompt and messages"),
        ({"prompt": 3, "output": "a"}, "'prompt' in line 1"),
        ({"prompt": "a", "output": [1, -1]}, "'output' in line 1"),
        ({"messages": "a", "output": "b"}, "no list of messages"),
        ({"prompt": "a", "output": ""}, "holds no answer"),
    ],
)
def test_what_is_no_log(tmp_path: Path, line: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(tmp_path / "log.jsonl", line)


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_log(tmp_path / "none.jsonl", prompt=list, output=list, chat=list)


def test_what_others_call_it() -> None:
    assert vllm_config("ngram", 5) == {
        "method": "ngram",
        "num_speculative_tokens": 5,
        "prompt_lookup_min": 1,
        "prompt_lookup_max": 4,
    }
    assert vllm_config("suffix", 3) == {"method": "suffix", "num_speculative_tokens": 3}
    assert vllm_config("recycle", 3) is None
    assert llamacpp_flags("ngram", 5) == "--spec-type ngram-simple --spec-draft-n-max 5"
    assert llamacpp_flags("suffix", 5) is None
