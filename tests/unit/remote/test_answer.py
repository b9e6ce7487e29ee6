from __future__ import annotations

import json
from typing import Any

import pytest
from remote.streams import chat, text

from outrider.errors import EndpointError
from outrider.remote.answer import Piece, message, read
from outrider.types import UNKNOWN_TOKEN, TokenLogprob


def piece(chunk: object) -> Piece:
    return read(json.dumps(chunk), "http://s")


def test_log_probabilities_of_a_chat() -> None:
    entry = {
        "token": "a",
        "logprob": -0.5,
        "top_logprobs": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}],
    }

    found = piece(chat("a", logprobs={"content": [entry]}))

    assert found.logprobs == (
        TokenLogprob(UNKNOWN_TOKEN, -0.5, ((UNKNOWN_TOKEN, -0.5), (UNKNOWN_TOKEN, -1.5))),
    )
    assert found.tokens == ()


def test_llamacpp_gives_ids_with_log_probabilities() -> None:
    entry = {"id": 7, "token": "a", "logprob": -0.5, "top_logprobs": []}

    assert piece(text("a", logprobs={"content": [entry]})).tokens == (7,)


def test_log_probabilities_of_a_text() -> None:
    lists = {
        "tokens": ["a", "b"],
        "token_logprobs": [-0.1, -0.2],
        "top_logprobs": [{"a": -0.1, "c": -3.0}, None],
    }

    found = piece(text("ab", logprobs=lists))

    assert [entry.logprob for entry in found.logprobs] == [-0.1, -0.2]
    assert [value for _, value in found.logprobs[0].top] == [-0.1, -3.0]


def test_vllm_gives_ids_as_tokens_and_on_their_own() -> None:
    lists = {
        "tokens": ["token_id:5"],
        "token_logprobs": [-0.1],
        "top_logprobs": [{"token_id:5": 0}],
    }

    found = piece(text("a", logprobs=lists, token_ids=[5], prompt_token_ids=[1, 2]))

    assert found.logprobs == (TokenLogprob(5, -0.1, ((5, 0.0),)),)
    assert (found.tokens, found.prompt_tokens) == ((5,), (1, 2))


def test_reasoning_that_is_kept_apart() -> None:
    for key in ("reasoning_content", "reasoning"):
        assert piece({"choices": [{"delta": {key: "hm"}}]}) == Piece(reasoning="hm")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "Too long.", "code": 400}}, "Too long"),
        ({"error": "no"}, "no"),
        ({"message": "a\n b", "object": "error"}, "a b"),
        ({"detail": "Not Found"}, "Not Found"),
        (
            {"detail": [{"loc": ["body", "prompt"], "msg": "has to be text"}]},
            "prompt: has to be text",
        ),
        ("plain", "plain"),
        ({}, ""),
        (None, ""),
    ],
)
def test_errors_of_all_forms_become_a_sentence(body: Any, said: str) -> None:
    assert message(body) == said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "sent what is not JSON: '{'"),
        ("[]", r"sent no part of an answer: '\[\]'"),
        ('{"choices": [3]}', "sent no part of an answer"),
        ('{"choices": {"a": 1}}', "sent no part of an answer"),
        ('{"error": {"message": "out of memory"}}', "failed: out of memory"),
        ('{"choices": [{"logprobs": {"content": [{}]}}]}', "sent no part of an answer"),
    ],
)
def test_what_is_no_chunk_is_an_error_that_names_the_server(data: str, said: str) -> None:
    with pytest.raises(EndpointError, match=f"^http://s {said}"):
        read(data, "http://s")
