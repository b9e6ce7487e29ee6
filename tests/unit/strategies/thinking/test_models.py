"""Thinking with real models: token ids, prefix caches, and answers that have to be the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider.errors import UsageError
from outrider.llm import LLM
from outrider.strategies.thinking import Keywords, Thinking, ThinkingConfig
from outrider.strategies.thinking.transcript import Text, TokenTranscript, whole
from outrider.types import Completion, Message, Request

BLOCK = 16
"""Positions of a cache block; only full ones are found again."""

QUESTION = "Explain in three short paragraphs why the sky is blue, then check yourself."


@pytest.fixture(scope="module")
def llm(model_path: Path) -> Iterator[LLM]:
    with LLM(model_path, context=1024) as model:
        yield model


@pytest.fixture(scope="module")
def other(gemma_path: Path) -> Iterator[LLM]:
    with LLM(gemma_path, context=1024) as model:
        yield model


def ask(max_tokens: int = 120) -> Request:
    return Request(messages=(Message("user", QUESTION),), max_tokens=max_tokens)


def test_a_model_paired_with_itself_says_what_it_says_alone(llm: LLM) -> None:
    alone = llm.generate(ask())
    # Every break is the large model's, so stretches are cut and continued all the time.
    config = ThinkingConfig(
        consult_always=True,
        probe_tokens=3,
        recap_tokens=7,
        max_recap_tokens=7,
        triggers=("\n\n", ".", ","),
        begin=True,
        begin_tokens=5,
    )
    pair = Thinking(llm, llm, config).generate(ask())
    assert pair.text == alone.text
    record = pair.record
    assert record["tokens"]["large"] > 10
    assert record["tokens"]["small"] > 10
    assert record["total_tokens"] == alone.usage.completion_tokens
    # What was cut is found in the prefix cache, but for the last block of each beginning.
    for work in (record["small"], record["large"]):
        usage = work["usage"]
        assert work["requests"] > 5
        prefilled = usage["prompt_tokens"] - usage["cached_tokens"]
        assert prefilled <= work["requests"] * (BLOCK + 1) + record["total_tokens"] + 64


def test_neutral_probes_leave_one_answer_of_one_request(llm: LLM) -> None:
    alone = llm.generate(ask())
    silent = ThinkingConfig(keywords=Keywords(verify=(), negative=(), positive=()))
    pair = Thinking(llm, llm, silent).generate(ask())
    assert pair.text == alone.text
    assert pair.record["small"]["requests"] == 1
    assert pair.record["small"]["tokens"] == alone.usage.completion_tokens
    assert pair.record["large"]["requests"] == 0


def test_grades_of_a_model_that_runs_here_are_digits(llm: LLM) -> None:
    config = ThinkingConfig(policy="grades", grade_threshold=0, step_tokens=20, triggers=(".",))
    pair = Thinking(llm, llm, config).generate(ask(60))
    assert pair.text == llm.generate(ask(60)).text  # every step stands
    grades = [decision["grade"] for decision in pair.record["decisions"]]
    assert len(grades) > 1
    assert all(0 <= grade <= 9 for grade in grades)
    strict = ThinkingConfig(policy="grades", grade_threshold=9, step_tokens=20, triggers=(".",))
    rewritten = Thinking(llm, llm, strict).generate(ask(60))
    assert rewritten.text == pair.text
    assert rewritten.record["rejected_share"] > pair.record["rejected_share"]


def test_two_vocabularies_each_keep_their_own_ids(llm: LLM, other: LLM) -> None:
    config = ThinkingConfig(
        consult_always=True, probe_tokens=5, triggers=(".",), large_template="plain"
    )
    stream = Thinking(llm, other, config).stream(ask(80))
    own: dict[str | None, list[int]] = {"small": [], "large": []}
    text = ""
    for event in stream:
        own.setdefault(event.author, []).extend(event.tokens)
        text += event.text
    record = stream.record
    assert record.tokens("small") == len(own["small"])
    assert record.tokens("large") == len(own["large"]) > 0
    for author, model in (("small", llm), ("large", other)):
        said = "".join(s.text for s in record.stretches if s.author == author)
        assert model.tokenizer.decode(own[author], continues=True) == said
    assert text == "".join(s.text for s in record.stretches)


def test_another_models_stretch_is_tokenised_alone(llm: LLM, other: LLM) -> None:
    for tokenizer in (llm.tokenizer, other.tokenizer):
        transcript = TokenTranscript(tokenizer, tokenizer.encode("It is "))
        before = list(transcript.tokens)
        transcript.append_foreign(Text("so. And", [1, 2], 2), same_ids=False)
        assert transcript.tokens[: len(before)] == before
        assert tokenizer.decode(transcript.tokens) == "It is so. And"
        transcript.append_foreign(Text("!", [7], 1), same_ids=True)
        assert transcript.tokens[-1] == 7
    assert not llm.tokenizer.same_ids(other.tokenizer)
    assert llm.tokenizer.same_ids(llm.tokenizer)


def test_half_a_character_is_not_handed_on(llm: LLM) -> None:
    tokens = llm.tokenizer.encode("now 𓂀")
    assert len(tokens) > 3
    text = llm.tokenizer.decode(tokens[:2])
    for end in range(2, len(tokens) + 1):
        piece = whole(Text(text, tokens[:end], end), llm.tokenizer)
        found = llm.tokenizer.decode(piece.tokens)
        assert "�" not in found
        assert found in {"now ", "now", "now 𓂀"}


def test_a_question_that_fills_the_context_is_refused(llm: LLM) -> None:
    long = Request(prompt="word " * 1100)
    with pytest.raises(UsageError, match="fills the context of the small model"):
        Thinking(llm, llm).stream(long)


def test_a_context_that_is_full_ends_the_answer(model_path: Path) -> None:
    with LLM(model_path, context=96) as model:
        config = ThinkingConfig(consult_always=True, probe_tokens=4, triggers=(".", ","))
        request = Request(prompt="Once upon a time", max_tokens=None, ignore_eos=True)
        done: Completion = Thinking(model, model, config).generate(request)
    assert done.finish_reason == "length"
    assert 80 < done.record["total_tokens"] < 96
