from __future__ import annotations

from typing import Any

import httpx
import pytest
from remote.streams import (
    BASE,
    EAGER,
    HELLO,
    Scripted,
    chat,
    end,
    event,
    generator,
    sse,
    streamed,
    text,
    usage,
)

from outrider.errors import EndpointError, OutriderError, UsageError
from outrider.remote import OpenAIGenerator, Patience
from outrider.sampling import derive_seed
from outrider.types import Event, Message, Request, TokenLogprob

ASKED = (Message("user", "Hi"),)


def test_an_answer_with_its_counters() -> None:
    server = Scripted(streamed(sse(*HELLO)))

    with generator(server) as remote:
        events = list(remote.stream(ASKED, max_tokens=5))

    assert [e.text for e in events] == ["Hel", "lo", ""]
    assert events[-1].finish_reason == "stop"
    counted = events[-1].usage
    assert counted is not None
    assert (counted.prompt_tokens, counted.completion_tokens) == (3, 2)
    assert 0 < counted.first_token_ms <= counted.first_token_ms + counted.decode_ms
    assert counted.first_token_ms + counted.decode_ms <= counted.total_ms
    assert server.bodies[0]["model"] == "m"
    assert server.paths == ["/v1/chat/completions"]


def test_the_fold_is_the_stream() -> None:
    server = Scripted(streamed(sse(*HELLO)))

    completion = generator(server).generate(ASKED, temperature=0.7, seed=9)

    assert completion.text == "Hello"
    assert completion.finish_reason == "stop"
    assert completion.seed == 9
    assert completion.tokens == ()
    assert completion.record["counted_by_server"] is True
    assert completion.record["seeds_sent"] == [9]
    assert (completion.record["endpoint"], completion.record["model"]) == (BASE, "m")


def test_a_character_split_over_pieces_of_the_wire_stays_whole() -> None:
    wire = sse(chat("日本😀"), end(), usage(1, 2))

    completion = generator(Scripted(streamed(*(bytes([b]) for b in wire)))).generate(ASKED)

    assert completion.text == "日本😀"


def test_llamacpps_own_counters_are_kept() -> None:
    timings = {"draft_n": 8, "draft_n_accepted": 5, "prompt_ms": 3.0}
    details = {
        "prompt_tokens": 4,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    chunks = (text("ab"), text("", finish_reason="length"), {"usage": details, "timings": timings})

    completion = generator(Scripted(streamed(sse(*chunks)), owner="llamacpp")).generate("x")

    assert completion.finish_reason == "length"
    assert (completion.usage.draft_tokens, completion.usage.accepted_tokens) == (8, 5)
    assert completion.usage.cached_tokens == 3
    assert completion.usage.acceptance_rate == 5 / 8
    assert completion.record["timings"] == [timings]


def test_without_usage_tokens_are_counted_by_what_comes_with_them_or_not_at_all() -> None:
    ids = (text("a", token_ids=[1]), text("b", token_ids=[2, 3]), text("", finish_reason="stop"))
    none = (text("a"), text("b", finish_reason="stop"))

    entry = {"token": "a", "logprob": -0.5, "top_logprobs": []}
    given = chat("a", logprobs={"content": [entry, entry]})
    with_logprobs = generator(Scripted(streamed(sse(given, end())))).generate(ASKED, logprobs=1)

    with_ids = generator(Scripted(streamed(sse(*ids)))).generate("x")
    without = generator(Scripted(streamed(sse(*none)))).generate("x")

    assert (with_ids.tokens, with_ids.usage.completion_tokens) == ((1, 2, 3), 3)
    assert with_logprobs.usage.completion_tokens == 2
    assert (without.text, without.usage.completion_tokens) == ("ab", 0)
    assert without.record["counted_by_server"] is False


def test_several_completions_are_several_questions_with_seeds_of_their_own() -> None:
    answers = [streamed(sse(chat(t), end(), usage(1, 1))) for t in "ab"]
    server = Scripted(*answers)

    completion = generator(server).generate(ASKED, n=2, temperature=1.0, seed=3)

    assert sorted(choice.text for choice in completion.choices) == ["a", "b"]
    assert [choice.usage.completion_tokens for choice in completion.choices] == [1, 1]
    assert {body["seed"] for body in server.bodies} == {
        derive_seed(3, i) % (2**31 - 1) for i in range(2)
    }


def test_a_failure_of_one_completion_is_raised() -> None:
    server = Scripted(*(httpx.Response(400, json={"error": {"message": "no"}}) for _ in range(2)))

    with pytest.raises(UsageError, match="refuses the request: no"):
        generator(server).generate(ASKED, n=2)


def test_reasoning_stands_between_tags_again() -> None:
    chunks = (
        {"choices": [{"delta": {"reasoning_content": "hm"}}]},
        {"choices": [{"delta": {"reasoning_content": "!"}}]},
        chat("So"),
        chat(" it is"),
        end(),
    )

    completion = generator(Scripted(streamed(sse(*chunks)))).generate(ASKED)

    assert completion.text == "<think>hm!</think>So it is"


def test_log_probabilities_come_with_their_tokens() -> None:
    entry = {"id": 7, "token": "a", "logprob": -0.5, "top_logprobs": []}
    chunks = (chat("a", logprobs={"content": [entry]}), end(), usage(1, 1))

    completion = generator(Scripted(streamed(sse(*chunks)))).generate(ASKED, logprobs=1)

    assert completion.choices[0].logprobs == (TokenLogprob(7, -0.5),)
    assert completion.tokens == (7,)


@pytest.mark.parametrize("best", [0, 1, 2, 5])
def test_no_more_alternatives_come_than_were_asked_for_and_the_best_first(best: int) -> None:
    values = (-2.0, -0.5, -1.0)
    tops = [{"id": i, "token": "a", "logprob": value} for i, value in enumerate(values)]
    entry = {"id": 0, "token": "a", "logprob": -2.0, "top_logprobs": tops}
    chunks = (chat("a", logprobs={"content": [entry]}), end(), usage(1, 1))

    completion = generator(Scripted(streamed(sse(*chunks)))).generate(ASKED, logprobs=best)

    (found,) = completion.choices[0].logprobs or ()
    assert found.top == ((1, -0.5), (2, -1.0), (0, -2.0))[:best]


def test_log_probabilities_that_do_not_come_are_an_error() -> None:
    completion = generator(Scripted(streamed(sse(*HELLO)))).generate(ASKED, logprobs=1)

    assert completion.finish_reason == "error"
    assert completion.choices[0].error == f"{BASE} gives no log-probabilities; leave logprobs out."


def test_log_probabilities_without_those_of_drafted_tokens_are_an_error() -> None:
    entry = {"id": 7, "token": "a", "logprob": -0.5, "top_logprobs": []}
    timings = {"draft_n": 2, "draft_n_accepted": 1}
    chunks = (
        chat("a", logprobs={"content": [entry]}),
        chat("b"),
        end(),
        usage(1, 2, timings=timings),
    )

    completion = generator(Scripted(streamed(sse(*chunks)))).generate(ASKED, logprobs=1)

    assert completion.text == "ab"
    assert "no log-probabilities of drafted tokens" in (completion.choices[0].error or "")


def test_many_prompts_are_answered_in_their_order_with_seeds_of_their_own() -> None:
    server = Scripted(*(streamed(sse(chat(f"{i}"), end(), usage(1, 1))) for i in range(3)))
    heard: list[tuple[int, str]] = []

    answers = generator(server, concurrency=1).generate_many(
        ["a", "b", "c"],
        temperature=1.0,
        seed=4,
        listener=lambda index, event: heard.append((index, event.text)),
    )

    assert [answer.text for answer in answers] == ["0", "1", "2"]
    assert [text for _, text in heard if text] == ["0", "1", "2"]
    assert [index for index, _ in heard] == [0, 0, 1, 1, 2, 2]
    assert [body["prompt"] for body in server.bodies] == ["a", "b", "c"]
    seeds = [derive_seed(4, index) % (2**31 - 1) for index in range(3)]
    assert [body["seed"] for body in server.bodies] == seeds


def test_one_of_many_that_fails_is_named_and_ends_the_rest() -> None:
    server = Scripted(streamed(sse(*HELLO)), httpx.Response(400, json={"error": "no"}))
    answers = generator(server, concurrency=1).generate_many(["a", "b", "c", "d"])

    assert next(answers).text == "Hello"
    with pytest.raises(UsageError, match=f"^Prompt 1: {BASE} refuses the request: no"):
        list(answers)
    with pytest.raises(UsageError, match=r"^Prompt 1: ignore_eos cannot be had"):
        generator(Scripted()).generate_many(["a", Request(prompt="b", ignore_eos=True)])


# ---------------------------------------------------------------------------------- failures


def test_what_may_pass_is_tried_again_and_recorded() -> None:
    server = Scripted(
        httpx.ConnectError("refused"),
        httpx.Response(429, json={"error": {"message": "busy"}}, headers={"retry-after": "0"}),
        streamed(sse(*HELLO)),
    )

    completion = generator(server).generate(ASKED)

    assert completion.text == "Hello"
    assert completion.record["attempts"] == [3]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_does_not_pass_is_an_error_after_the_last_retry(status: int) -> None:
    server = Scripted(*(httpx.Response(status, json={"error": "loading"}) for _ in range(3)))

    with pytest.raises(EndpointError, match=r"^http://server\.test/v1 .*: loading\.$"):
        generator(server).generate(ASKED)
    assert len(server.bodies) == 3


def test_a_server_that_asks_for_too_much_patience_is_not_waited_for() -> None:
    server = Scripted(httpx.Response(429, json={}, headers={"retry-after": "3600"}))

    with pytest.raises(EndpointError, match="It asks to wait 3600 seconds"):
        generator(server).generate(ASKED)


def test_a_connection_that_breaks_before_the_first_event_is_tried_again() -> None:
    server = Scripted(
        streamed(b": hello\n\n", failure=httpx.ReadError("reset")), streamed(sse(*HELLO))
    )

    assert generator(server).generate(ASKED).text == "Hello"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (httpx.ReadError("reset"), "The connection to http://server.test/v1 broke: reset."),
        (httpx.ReadTimeout(""), "http://server.test/v1 has said nothing for 600 seconds; "),
        (None, "http://server.test/v1 ended its answer in the middle."),
    ],
)
def test_what_was_said_before_a_break_is_kept_and_nothing_asked_again(
    failure: Exception | None, said: str
) -> None:
    server = Scripted(streamed(event(chat("Hel")), failure=failure))

    completion = generator(server).generate(ASKED)

    assert (completion.text, completion.finish_reason) == ("Hel", "error")
    assert (completion.choices[0].error or "").startswith(said)
    assert len(server.bodies) == 1


def test_a_stream_that_ends_before_it_begins_is_an_error() -> None:
    with pytest.raises(EndpointError, match="ended its answer before it began; look at its log"):
        generator(Scripted(streamed(sse()))).generate(ASKED)


def test_an_error_amid_the_stream_is_the_completions() -> None:
    chunks = (chat("a"), {"error": {"message": "out of memory"}})

    completion = generator(Scripted(streamed(sse(*chunks)))).generate(ASKED)

    assert (completion.text, completion.choices[0].error) == ("a", f"{BASE} failed: out of memory.")


def test_an_answer_ended_by_a_filter_is_an_error_that_says_so() -> None:
    completion = generator(Scripted(streamed(sse(chat("a"), end("content_filter"))))).generate(
        ASKED
    )

    assert completion.choices[0].error == f"{BASE} ended its answer by 'content_filter'."


def test_an_end_without_its_marker_is_an_end() -> None:
    completion = generator(Scripted(streamed(sse(*HELLO, done=False)))).generate(ASKED)

    assert (completion.text, completion.finish_reason) == ("Hello", "stop")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            httpx.Response(401, json={"error": {"message": "Invalid API Key"}}),
            EndpointError,
            "wants a key; set OUTRIDER_API_KEY: Invalid API Key.",
        ),
        (
            httpx.Response(404, json={"message": "The model `m` does not exist."}),
            EndpointError,
            "has no model 'm', and http://server.test/v1/models lists those it has: The model",
        ),
        (
            httpx.Response(404, json={"detail": "Not Found"}),
            EndpointError,
            "has no chat/completions, so it is no address of the OpenAI protocol; most end in /v1.",
        ),
        (httpx.Response(307, headers={"location": "/x"}), EndpointError, "has moved; "),
        (httpx.Response(501, json={"error": "not here"}), EndpointError, "failed with status 501"),
        (
            httpx.Response(400, json={"error": {"message": "min_p is not known"}}),
            UsageError,
            "refuses the request: min_p is not known.",
        ),
        (
            httpx.Response(200, json={"choices": []}),
            EndpointError,
            "does not stream its answer",
        ),
    ],
)
def test_a_refusal_is_one_sentence_and_asked_once(
    monkeypatch: pytest.MonkeyPatch, answer: httpx.Response, kind: type[OutriderError], said: str
) -> None:
    monkeypatch.delenv("OUTRIDER_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = Scripted(answer)

    with pytest.raises(kind) as refusal:
        generator(server).generate(ASKED)
    assert str(refusal.value).startswith(f"{BASE} {said}")
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    "error",
    [
        {"message": "maximum context length is 2048 tokens", "type": "BadRequestError"},
        {"message": "too many", "type": "exceed_context_size_error"},
        {"message": "too many", "code": "context_length_exceeded"},
    ],
)
def test_a_prompt_beyond_the_context_is_told_from_other_refusals(error: dict[str, Any]) -> None:
    server = Scripted(httpx.Response(400, json={"error": error}))

    with pytest.raises(UsageError, match=r"^The prompt does not fit the context of the model at"):
        generator(server).generate(ASKED)


# ------------------------------------------------------------------------------ keys and models


def test_the_key_comes_from_the_argument_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "second")
    server = Scripted(*(streamed(sse(*HELLO)) for _ in range(3)))

    generator(server).generate(ASKED)
    monkeypatch.setenv("OUTRIDER_API_KEY", "first")
    generator(server).generate(ASKED)
    generator(server, api_key="given").generate(ASKED)

    assert server.keys[::2] == ["Bearer second", "Bearer first", "Bearer given"]


def test_a_refused_key_is_never_shown() -> None:
    server = Scripted(httpx.Response(401, json={"error": "no"}))

    with pytest.raises(EndpointError, match="refuses the key it got: no") as refusal:
        generator(server, api_key="sk-secret").generate(ASKED)
    assert "secret" not in str(refusal.value)


def test_of_several_models_one_has_to_be_named() -> None:
    with pytest.raises(UsageError, match=r"has several models; write .*#NAME with one of: a, b\."):
        _ = generator(Scripted(models=("a", "b"))).model
    assert generator(Scripted(models=("a", "b")), model="b").model == "b"
    with pytest.raises(UsageError, match="has no model; load one there"):
        _ = generator(Scripted(models=())).model


def test_a_name_that_a_server_would_not_look_at_is_an_error() -> None:
    alias = {"aliases": ["small"]}

    assert generator(Scripted(owner="llamacpp", entry=alias), model="small").model == "small"
    with pytest.raises(UsageError, match=r"Unknown model of http://server\.test/v1: 'other'"):
        _ = generator(Scripted(owner="llamacpp", entry=alias), model="other").model
    assert generator(Scripted(), model="other").model == "other"


def test_what_the_server_says_of_its_context() -> None:
    assert generator(Scripted(entry={"max_model_len": 512})).context == 512
    assert generator(Scripted(entry={"meta": {"n_ctx": 256}})).context == 256
    assert generator(Scripted()).context is None


def test_a_server_without_a_list_answers_to_a_given_name() -> None:
    missing = httpx.MockTransport(lambda _: httpx.Response(404, text="?"))

    assert generator(missing, model="m").served.dialect.name == "an unknown server"
    assert generator(missing, model="m", server="vllm").served.dialect.name == "vLLM"
    with pytest.raises(EndpointError, match="has no models, so it is no address of the OpenAI"):
        _ = generator(missing).served


def test_a_server_that_still_loads_its_model_is_asked_again() -> None:
    answers = [httpx.Response(503, json={"error": {"message": "Loading model"}})] * 2
    answers += [httpx.Response(200, json={"data": [{"id": "m"}]})]
    loading = httpx.MockTransport(lambda _: answers.pop(0))

    assert generator(loading).model == "m"
    never = httpx.MockTransport(lambda _: httpx.Response(503, json={"error": "Loading model"}))
    with pytest.raises(EndpointError, match="failed with status 503: Loading model"):
        _ = generator(never).model


def test_a_page_in_place_of_a_list_is_no_server() -> None:
    page = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>"))

    with pytest.raises(EndpointError, match="is no list of models"):
        _ = generator(page).served


def test_arguments_that_cannot_be_honoured() -> None:
    with pytest.raises(UsageError, match="Two models are named, 'a' and 'b'"):
        OpenAIGenerator(f"{BASE}#a", "b")
    with pytest.raises(UsageError, match="silence has to be above 0"):
        Patience(silence=0)
    with pytest.raises(UsageError, match="retries and backoff"):
        Patience(retries=-1)
    with pytest.raises(UsageError, match="Unknown setting 'temprature'"):
        generator(Scripted()).stream(ASKED, temprature=1)  # type: ignore[call-arg]


def test_pauses_double_and_a_servers_own_wins() -> None:
    patience = Patience(backoff=1.0)

    assert all(0.5 * 2**i <= patience.pause(i, None) <= 1.5 * 2**i for i in range(5))
    assert patience.pause(3, 7.0) == 7.0
    assert EAGER.pause(4, None) == 0.0


def test_nothing_is_sent_by_a_stream_that_is_closed_at_once() -> None:
    server = Scripted()
    stream = generator(server).stream(ASKED)

    with pytest.raises(OutriderError, match="The answer is not finished"):
        _ = stream.completion
    stream.close()

    assert stream.completion.finish_reason == "cancelled"
    assert server.bodies == []


def test_closing_keeps_what_has_come() -> None:
    stream = generator(Scripted(streamed(event(chat("Hel")), event(chat("lo"))))).stream(ASKED)

    assert next(stream) == Event(text="Hel")
    stream.close()

    assert (stream.completion.text, stream.completion.finish_reason) == ("Hel", "cancelled")


def test_a_conversation_is_rendered_where_the_server_can() -> None:
    server = Scripted(httpx.Response(200, json={"prompt": "<Hi>"}), owner="llamacpp")

    assert generator(server).render(ASKED) == "<Hi>"
    assert server.paths == ["/apply-template"]
    assert server.bodies == [{"messages": [{"role": "user", "content": "Hi"}]}]

    older = Scripted(httpx.Response(404, json={}), owner="llamacpp")
    assert generator(older).render(ASKED) is None
    assert generator(Scripted(owner="sglang")).render(ASKED) is None


@pytest.mark.parametrize(
    ("read", "rest", "text"),
    [
        ([1, 5], [], "<s>Hi"),
        # Completions put the first token before a text, so it is not to be there twice.
        ([1, 1, 5], [{"prompt": "<s>"}], "Hi"),
    ],
)
def test_a_server_of_tokens_tells_their_text(
    read: list[int], rest: list[dict[str, str]], text: str
) -> None:
    script = [{"tokens": [1, 5], "count": 2}, {"prompt": "<s>Hi"}, {"tokens": read}, *rest]
    server = Scripted(*(httpx.Response(200, json=said) for said in script), owner="vllm")

    assert generator(server).render(ASKED) == text
    assert server.paths[:3] == ["/tokenize", "/detokenize", "/tokenize"]
    turns = [{"role": "user", "content": "Hi"}]
    assert server.bodies[0] == {"model": "m", "messages": turns, "add_generation_prompt": True}
    assert server.bodies[1] == {"model": "m", "tokens": [1, 5]}

    older = Scripted(httpx.Response(404, json={}), owner="vllm")
    assert generator(older).render(ASKED) is None


def test_messages_that_a_template_refuses_are_an_error() -> None:
    said = {"error": {"message": "roles must alternate"}}
    server = Scripted(httpx.Response(400, json=said), owner="llamacpp")

    with pytest.raises(UsageError, match="roles must alternate"):
        generator(server).render(ASKED)
