from __future__ import annotations

from typing import Any

import pytest

from outrider.constraints import AllowedTokens
from outrider.errors import UsageError
from outrider.remote import dialect
from outrider.remote.dialect import DIALECTS, UNKNOWN, Dialect
from outrider.remote.question import SEEDS, Question, write
from outrider.types import Message, Request, Sampling, Speculation

LLAMA = dialect.named("llama.cpp")
VLLM = dialect.named("vllm")
ASKED = (Message("user", "Hi"),)


def question(spoken: Dialect, request: Request, **more: Any) -> Question:
    settings: dict[str, Any] = {"model": "m", "context": 4096, "seed": 5, "extra": {}}
    return write(request, spoken, **(settings | more))


def test_a_conversation() -> None:
    found = question(UNKNOWN, Request(messages=ASKED, max_tokens=7, stop=("a", "b")))

    assert found.path == "chat/completions"
    assert found.body == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 7,
        "stop": ["a", "b"],
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_a_text_and_token_ids_go_to_completions() -> None:
    text = question(UNKNOWN, Request(prompt="Once"))
    ids = question(UNKNOWN, Request(tokens=(1, 2)))

    assert (text.path, text.body["prompt"]) == ("completions", "Once")
    assert (ids.path, ids.body["prompt"]) == ("completions", [1, 2])


def test_what_servers_would_take_from_their_own_defaults_is_always_said() -> None:
    request = Request(messages=ASKED, sampling=Sampling(temperature=0.6))

    llama, vllm = question(LLAMA, request).body, question(VLLM, request).body

    assert (llama["top_k"], llama["min_p"], llama["repeat_penalty"]) == (0, 0.0, 1.0)
    assert (vllm["top_k"], vllm["min_p"], vllm["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert llama["samplers"] == ["penalties", "temperature", "min_p", "top_k", "top_p"]
    assert "samplers" not in vllm


def test_sampling_is_written_with_the_servers_keys() -> None:
    sampling = Sampling(
        temperature=0.5,
        top_k=3,
        top_p=0.9,
        min_p=0.1,
        repetition_penalty=1.1,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        logit_bias={7: -100.0},
    )

    body = question(LLAMA, Request(messages=ASKED, sampling=sampling)).body

    assert body["repeat_penalty"] == 1.1
    assert body["repeat_last_n"] == 4096
    assert body["logit_bias"] == {"7": -100.0}
    assert {k: body[k] for k in ("top_k", "top_p", "min_p")} == {
        "top_k": 3,
        "top_p": 0.9,
        "min_p": 0.1,
    }
    assert (body["presence_penalty"], body["frequency_penalty"]) == (0.2, 0.3)


def test_greedy_choice_takes_one_token_whatever_else_is_set() -> None:
    sampling = Sampling(top_k=40, top_p=0.5, min_p=0.1)

    for spoken in (LLAMA, VLLM, UNKNOWN):
        body = question(spoken, Request(messages=ASKED, sampling=sampling)).body
        assert (body["temperature"], body["top_p"], body.get("top_k", 1)) == (0.0, 1.0, 1)
        assert body.get("min_p", 0.0) == 0.0
        assert "seed" not in body


@pytest.mark.parametrize("seed", [0, 2**31 - 2, 2**64 - 1])
def test_a_seed_is_one_that_every_server_takes(seed: int) -> None:
    request = Request(messages=ASKED, sampling=Sampling(temperature=1.0))

    assert question(UNKNOWN, request, seed=seed).body["seed"] == seed % SEEDS < 2**31


def test_log_probabilities_of_both_kinds() -> None:
    chat = question(VLLM, Request(messages=ASKED, logprobs=3)).body
    text = question(LLAMA, Request(prompt="a", logprobs=0)).body

    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 3)
    assert chat["return_tokens_as_token_ids"] is True
    assert question(LLAMA, Request(messages=ASKED, logprobs=0)).body["top_logprobs"] == 1
    assert text["logprobs"] == 1


def test_the_assistants_message_is_continued_where_that_can_be_had() -> None:
    request = Request(messages=(*ASKED, Message("assistant", "So")))

    vllm, llama = question(VLLM, request).body, question(LLAMA, request).body

    assert (vllm["continue_final_message"], vllm["add_generation_prompt"]) == (True, False)
    assert llama["messages"][-1] == {"role": "assistant", "content": "So"}
    with pytest.raises(UsageError, match="continuing the assistant's message cannot be had"):
        question(UNKNOWN, request)


def test_a_text_without_a_limit_goes_on_to_the_contexts_end() -> None:
    request = Request(prompt="a", max_tokens=None)

    assert question(LLAMA, request).body["max_tokens"] == -1
    assert question(VLLM, request).body["max_tokens"] is None
    assert "max_tokens" not in question(UNKNOWN, Request(messages=ASKED, max_tokens=None)).body
    with pytest.raises(UsageError, match="max_tokens=None with a text"):
        question(UNKNOWN, request)


def test_extra_keys_win() -> None:
    body = question(LLAMA, Request(messages=ASKED), extra={"cache_prompt": False, "top_p": 2}).body

    assert (body["cache_prompt"], body["top_p"]) == (False, 2)


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ({"constraint": AllowedTokens([1], 4)}, "constraint"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
        ({"speculation": Speculation(enabled=False)}, "speculation"),
        ({"speculation": Speculation(drafter="ngram")}, "speculation"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"parse_special": True}, "parse_special"),
        ({"sampling": Sampling(temperature=1.0, top_k=2)}, "top_k"),
        ({"sampling": Sampling(temperature=1.0, min_p=0.1)}, "min_p"),
        ({"sampling": Sampling(repetition_penalty=1.1)}, "repetition_penalty"),
    ],
)
def test_what_an_unknown_server_might_ignore_is_an_error(option: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} cannot be had from an unknown server; "):
        question(UNKNOWN, Request(messages=ASKED, **option))


def test_token_ids_are_refused_where_the_server_would() -> None:
    with pytest.raises(UsageError, match=r"^tokens cannot be had from llama-cpp-python; give"):
        question(dialect.named("llama-cpp-python"), Request(tokens=(1,)))


def test_a_bias_beyond_the_protocols_is_an_error() -> None:
    with pytest.raises(UsageError, match="logit_bias of token 3 is 101"):
        question(LLAMA, Request(messages=ASKED, sampling=Sampling(logit_bias={3: 101.0})))


def test_servers_are_told_apart_by_what_they_say() -> None:
    assert [dialect.of_owner(known.owner) for known in DIALECTS] == list(DIALECTS)
    assert dialect.of_owner("somebody") is UNKNOWN
    assert dialect.of_owner("") is UNKNOWN
    with pytest.raises(UsageError, match="Unknown server 'SGLan'; did you mean 'SGLang'"):
        dialect.named("SGLan")
