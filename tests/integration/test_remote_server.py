"""A real server, llama.cpp's, as a generator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outrider.errors import UsageError
from outrider.llm import LLM
from outrider.remote import OpenAIGenerator
from outrider.types import Message, Request
from servers import llamacpp

COPY = "one two three four five six seven eight nine ten. " * 4 + "one two three"
ASKED = (Message("user", "Name three colours."),)


@pytest.fixture(scope="module")
def plain(model_path: Path) -> Iterator[OpenAIGenerator]:
    with llamacpp(model_path) as address, OpenAIGenerator(address) as remote:
        yield remote


@pytest.fixture(scope="module")
def speculating(model_path: Path) -> Iterator[OpenAIGenerator]:
    with llamacpp(model_path, "ngram-simple") as address, OpenAIGenerator(address) as remote:
        yield remote


def test_the_server_is_recognised(plain: OpenAIGenerator, model_path: Path) -> None:
    assert plain.served.dialect.name == "llama.cpp"
    assert plain.context == 2048
    assert Path(plain.model).name == model_path.name


def test_a_text_from_it_is_ours(plain: OpenAIGenerator, model_path: Path) -> None:
    request = Request(prompt="The capital of France is", max_tokens=3)
    with LLM(model_path, drafter="none") as llm:
        ours = llm.generate(request)

    theirs = plain.generate(request)

    assert theirs.text == ours.text
    assert theirs.finish_reason == ours.finish_reason == "length"
    assert theirs.usage.prompt_tokens == ours.usage.prompt_tokens
    assert theirs.usage.completion_tokens == 3


def test_a_prompt_of_ids_is_the_prompt(plain: OpenAIGenerator, model_path: Path) -> None:
    with LLM(model_path, drafter="none") as llm:
        ids = llm.tokenizer.encode_prompt("The capital of France is")

    by_ids = plain.generate(Request(tokens=tuple(ids), max_tokens=6))

    assert by_ids.text == plain.generate("The capital of France is", max_tokens=6).text


def test_a_conversation_streams_with_log_probabilities(plain: OpenAIGenerator) -> None:
    events = list(plain.stream(ASKED, max_tokens=8, logprobs=2))

    *pieces, last = events
    assert len(pieces) == 8
    for piece in pieces:
        assert piece.logprobs is not None
        (entry,) = piece.logprobs
        assert piece.tokens == (entry.token,)
        assert entry.top[0] == (entry.token, entry.logprob)
        assert entry.top[1][1] <= entry.logprob <= 0.0
    assert last.finish_reason == "length"
    for prompt in (ASKED, "one two"):
        (alone,) = plain.generate(prompt, max_tokens=1, logprobs=0).choices[0].logprobs or ()
        assert (alone.top, alone.logprob < 0) == ((), True)


def test_the_assistants_message_is_continued(plain: OpenAIGenerator) -> None:
    begun = "My three colours are red, green and"

    text = plain.generate((*ASKED, Message("assistant", begun)), max_tokens=2).text

    assert text.startswith(" ")
    assert begun not in text


def test_a_seed_gives_the_same_again(plain: OpenAIGenerator) -> None:
    def ask(seed: int) -> list[str]:
        answer = plain.generate(ASKED, max_tokens=12, temperature=1.5, seed=seed, n=2)
        return [choice.text for choice in answer.choices]

    assert ask(2**63) == ask(2**63)
    assert len({*ask(1), *ask(2)}) == 4


def test_stop_strings_and_the_end_of_text_can_be_had(plain: OpenAIGenerator) -> None:
    stopped = plain.generate(COPY, max_tokens=30, stop="seven")
    ended = plain.generate(ASKED, max_tokens=200)
    ignoring = plain.generate(ASKED, max_tokens=ended.usage.completion_tokens + 5, ignore_eos=True)

    assert "six" in stopped.text
    assert "seven" not in stopped.text
    assert stopped.finish_reason == ended.finish_reason == "stop"
    assert ignoring.finish_reason == "length"


def test_penalties_change_the_answer(plain: OpenAIGenerator) -> None:
    free = plain.generate(COPY, max_tokens=16)
    penalised = plain.generate(COPY, max_tokens=16, repetition_penalty=1.8)

    assert free.text != penalised.text


def test_a_prompt_beyond_the_context_is_an_error(plain: OpenAIGenerator) -> None:
    with pytest.raises(UsageError, match="does not fit the context"):
        plain.generate("word " * 3000)


def test_a_cancelled_answer_frees_the_server(plain: OpenAIGenerator) -> None:
    stream = plain.stream("Once upon a time", max_tokens=None, ignore_eos=True)
    next(stream)
    stream.close()

    assert stream.completion.finish_reason == "cancelled"
    # It has one place, which the answer above would hold for some 2000 tokens.
    assert plain.generate("Hello", max_tokens=2).usage.completion_tokens == 2


def test_speculation_is_counted_and_changes_nothing(
    plain: OpenAIGenerator, speculating: OpenAIGenerator
) -> None:
    fast, slow = (g.generate(COPY, max_tokens=40) for g in (speculating, plain))

    assert fast.text == slow.text
    assert fast.usage.draft_tokens >= fast.usage.accepted_tokens > 0
    assert slow.usage.draft_tokens == 0


def test_log_probabilities_that_speculation_loses_are_an_error(
    speculating: OpenAIGenerator,
) -> None:
    completion = speculating.generate(COPY, max_tokens=40, logprobs=1)

    assert completion.finish_reason == "error"
    assert "no log-probabilities of drafted tokens" in (completion.choices[0].error or "")


def test_the_guides_example_runs(
    plain: OpenAIGenerator, capsys: pytest.CaptureFixture[str]
) -> None:
    guide = Path(__file__).parents[2] / "docs" / "guides" / "endpoints.md"
    (code,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    named: dict[str, Any] = {}

    exec(code.replace("http://127.0.0.1:8001", plain.address.base), named)

    assert capsys.readouterr().out
    assert named["completion"].text.startswith(" Paris")
    assert len(named["completion"].choices[0].logprobs[0].top) == 3
