from __future__ import annotations

from dataclasses import fields

import pytest

from outrider.errors import UsageError
from outrider.settings import Settings, make_request, messages
from outrider.types import Message, Request, Sampling, Speculation


def test_settings_are_the_flat_names_of_the_fields() -> None:
    flat = {f.name for kind in (Sampling, Request, Speculation) for f in fields(kind)}

    assert set(Settings.__annotations__) == flat - {
        "prompt",
        "messages",
        "tokens",
        "sampling",
        "enabled",
    }


def test_a_text_is_a_prompt_and_a_conversation_messages() -> None:
    assert make_request("hi", {}) == Request(prompt="hi")
    said = (Message("user", "hi"),)
    assert make_request(said, {}).messages == said
    assert make_request([{"role": "user", "content": "hi"}], {}).messages == said
    assert make_request(None, {"tokens": [1, 2]}).tokens == (1, 2)


def test_settings_go_where_they_belong() -> None:
    request = make_request(
        "hi",
        {"temperature": 0.5, "seed": 3, "n": 2, "stop": "end", "drafter": "ngram"},
    )

    assert request == Request(
        prompt="hi",
        sampling=Sampling(temperature=0.5, seed=3),
        n=2,
        stop=("end",),
        speculation=Speculation(drafter="ngram"),
    )
    assert make_request("hi", {"stop": ["a", "b"]}).stop == ("a", "b")
    assert make_request("hi", {"speculation": False}).speculation == Speculation(enabled=False)


def test_settings_win_over_a_request() -> None:
    request = Request(prompt="hi", sampling=Sampling(temperature=0.5, top_k=4), max_tokens=9, n=2)

    changed = make_request(request, {"temperature": 1.0, "max_tokens": 3})

    assert changed.sampling == Sampling(temperature=1.0, top_k=4)
    assert (changed.max_tokens, changed.n) == (3, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tempreture": 1.0}, "Unknown setting 'tempreture'; did you mean 'temperature'"),
        ({"max_new_tokens": 1}, "did you mean 'max_tokens'"),
        ({"enabled": True}, "Unknown setting 'enabled'"),
        ({"top_p": 0.0}, "top_p has to lie in"),
        ({"stop": ""}, "stop has to be non-empty"),
        ({"tokens": [1]}, "exactly one of prompt, messages and tokens"),
    ],
)
def test_what_cannot_be_honoured_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_request("hi", settings)


@pytest.mark.parametrize(
    ("conversation", "message"),
    [
        ([{"role": "user", "contents": "hi"}], "Unknown message key 'contents'; did you mean"),
        ([{"content": "hi"}], "needs a role"),
        (["hi"], "has 'hi' in it"),
    ],
)
def test_what_is_no_message_is_named(conversation: list[object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        messages(conversation)  # type: ignore[arg-type]
