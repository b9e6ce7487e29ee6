"""The facade over the default model, and what it refuses."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outrider.constraints import AllowedTokens
from outrider.errors import CapacityError, ModelFileError, OutriderError, UsageError
from outrider.llm import LLM, Model, load
from outrider.models import Progress
from outrider.sampling import derive_seed
from outrider.text import Tokenizer
from outrider.types import Completion, Message, Request, Sampling, Speculation

CHANT = "The cat sat on the mat. The dog sat on the mat. The cat sat on the mat. The dog sat"
PROMPTS = ("The capital of France is", "Once upon a time", CHANT, "def add(a, b):\n    return")


@pytest.fixture(scope="module")
def model(model_path: Path) -> Model:
    return load(model_path, context=1024)


@pytest.fixture(scope="module")
def llm(model: Model) -> Iterator[LLM]:
    with LLM(model, max_streams=4) as llm:
        yield llm


def spoken(completion: Completion) -> list[tuple[int, ...]]:
    return [choice.tokens for choice in completion.choices]


def test_it_answers(llm: LLM) -> None:
    completion = llm.generate("The capital of France is", max_tokens=3)

    assert completion.text.startswith(" Paris")
    assert completion.text == llm.tokenizer.decode(completion.tokens)
    assert completion.finish_reason == "length"
    assert completion.prompt_tokens == tuple(llm.tokenizer.encode("The capital of France is"))
    assert completion.usage.completion_tokens == 3


def test_it_speculates_unless_told_not_to(llm: LLM) -> None:
    record = llm.generate("Hi", max_tokens=1).record
    assert (record["plan"], record["drafter"], record["controller"]) == ("default", "mixed", "cost")
    assert record["why_plain"] is None
    record = llm.generate("Hi", max_tokens=1, drafter="none").record
    assert (record["drafter"], record["controller"]) == ("none", None)
    assert record["why_plain"] == "the drafter is 'none'"


def test_generate_folds_stream(llm: LLM) -> None:
    stream = llm.stream(PROMPTS[1], max_tokens=20, temperature=0.8, seed=1, logprobs=2)
    events = list(stream)

    completion = llm.generate(PROMPTS[1], max_tokens=20, temperature=0.8, seed=1, logprobs=2)
    assert "".join(event.text for event in events) == completion.text == stream.completion.text
    assert tuple(t for event in events for t in event.tokens) == completion.tokens
    assert [event.finish_reason for event in events[:-1]] == [None] * (len(events) - 1)
    assert events[-1].usage is not None
    assert stream.completion.choices[0].logprobs == completion.choices[0].logprobs


def test_a_missing_seed_is_drawn_and_recorded(llm: LLM) -> None:
    first = llm.generate(PROMPTS[1], temperature=1.5, max_tokens=12)
    again = llm.generate(PROMPTS[1], temperature=1.5, max_tokens=12, seed=first.seed)
    other = llm.generate(PROMPTS[1], temperature=1.5, max_tokens=12)

    assert again.tokens == first.tokens
    assert other.seed != first.seed


def test_the_models_own_seed_is_for_requests_without_one(model: Model) -> None:
    with LLM(model, seed=7) as llm:
        assert llm.generate("Hi", max_tokens=1).seed == 7
        assert llm.generate("Hi", max_tokens=1, seed=8).seed == 8
        many = list(llm.generate_many(["Hi", "Ho"], max_tokens=1))
    assert [c.seed for c in many] == [derive_seed(7, 0), derive_seed(7, 1)]


def test_several_completions_differ_in_their_noise(llm: LLM) -> None:
    completion = llm.generate(PROMPTS[1], n=3, temperature=1.2, max_tokens=10, seed=5)

    assert len(set(spoken(completion))) == 3
    assert (
        spoken(completion)[0]
        == llm.generate(PROMPTS[1], temperature=1.2, max_tokens=10, seed=5).tokens
    )


def test_many_are_answered_as_one_by_one(llm: LLM) -> None:
    settings = {"temperature": 0.9, "max_tokens": 16}

    many = list(llm.generate_many(PROMPTS, seed=11, **settings))

    assert [c.seed for c in many] == [derive_seed(11, i) for i in range(len(PROMPTS))]
    for prompt, completion in zip(PROMPTS, many, strict=True):
        alone = llm.generate(prompt, seed=completion.seed, **settings)
        assert alone.tokens == completion.tokens


def test_requests_among_many_keep_their_own_seed(llm: LLM) -> None:
    own = Request(prompt="Hi", sampling=Sampling(seed=3), max_tokens=1)

    first, second = llm.generate_many([own, "Hi"], seed=4, max_tokens=1)

    assert (first.seed, second.seed) == (3, derive_seed(4, 1))


def test_one_bad_prompt_among_many_is_named(llm: LLM) -> None:
    with pytest.raises(UsageError, match="Prompt 1: The prompt has"):
        llm.generate_many(["fine", "word " * 2000])


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize(
    "wish",
    [
        Speculation(),
        Speculation(drafter="ngram", controller="fixed", num_draft_tokens=5),
        Speculation(drafter="mixed", controller="fixed"),
    ],
)
def test_drafting_changes_no_token(llm: LLM, temperature: float, wish: Speculation) -> None:
    settings = {"temperature": temperature, "seed": 2, "max_tokens": 48}
    for prompt in PROMPTS:
        plain = llm.generate(prompt, **settings, speculation=False)
        drafted = llm.generate(prompt, **settings, speculation=wish)
        assert plain.usage.draft_tokens == 0
        assert drafted.tokens == plain.tokens
        assert drafted.text == plain.text
        assert drafted.record["drafter"] == (wish.drafter or "mixed")
        assert drafted.record["why_plain"] is None


@pytest.mark.parametrize("verification", ["rejection", "typical:epsilon=0.2,delta=0.4"])
def test_other_rules_of_verification_are_greedily_the_same(llm: LLM, verification: str) -> None:
    plain = llm.generate(CHANT, max_tokens=32, speculation=False)
    drafting = {"drafter": "ngram", "controller": "fixed", "verification": verification}
    drafted = llm.generate(CHANT, max_tokens=32, **drafting)
    assert drafted.tokens == plain.tokens
    assert drafted.usage.accepted_tokens > 0
    assert drafted.record["verification"] == verification
    assert not drafted.record["lossy"]
    sampled = llm.generate(CHANT, max_tokens=4, temperature=0.5, **drafting)
    assert sampled.record["lossy"] == verification.startswith("typical")
    undrafted = llm.generate(CHANT, max_tokens=32, drafter="none", verification=verification)
    assert undrafted.record["verification"] == "coupled"


def test_a_request_without_a_drafter_needs_no_number_of_draft_tokens(model: Model) -> None:
    with LLM(model, num_draft_tokens=3) as llm:
        assert llm.generate("Hi", max_tokens=1).record["num_draft_tokens"] == 3
        assert llm.generate("Hi", max_tokens=1, drafter="none").record["drafter"] == "none"
        with pytest.raises(UsageError, match="3 needs a drafter, and 'none' drafts nothing"):
            llm.generate("Hi", max_tokens=1, drafter="none", num_draft_tokens=3)


def test_drafts_are_accepted_where_text_repeats(llm: LLM) -> None:
    usage = llm.generate(CHANT, max_tokens=32, drafter="ngram", controller="fixed").usage

    assert usage.accepted_tokens > 0
    assert usage.steps < usage.completion_tokens - 1


def test_max_streams_changes_no_token(model: Model) -> None:
    answers = []
    for max_streams in (1, 4):
        with LLM(model, max_streams=max_streams) as llm:
            answers.append(
                [
                    c.tokens
                    for c in llm.generate_many(PROMPTS, seed=3, temperature=1.0, max_tokens=24)
                ]
            )
    assert answers[0] == answers[1]


def test_stop_strings_end_the_text_before_them(llm: LLM) -> None:
    free = llm.generate(PROMPTS[1], max_tokens=24)
    word = free.text.split()[5]

    stopped = llm.generate(PROMPTS[1], max_tokens=24, stop=word)

    assert stopped.finish_reason == "stop"
    assert stopped.text == free.text[: free.text.index(word)]
    assert free.tokens[: len(stopped.tokens)] == stopped.tokens


def test_logprobs_are_those_of_the_raw_model(llm: LLM) -> None:
    completion = llm.generate(PROMPTS[0], max_tokens=4, logprobs=3, prompt_logprobs=1)

    (choice,) = completion.choices
    assert choice.logprobs is not None
    assert [value.token for value in choice.logprobs] == list(choice.tokens)
    for value in choice.logprobs:
        assert len(value.top) == 3
        assert value.top[0] == (value.token, pytest.approx(value.logprob))
        assert 0 < math.exp(value.logprob) <= 1
    assert completion.prompt_logprobs is not None
    assert [v.token for v in completion.prompt_logprobs] == list(completion.prompt_tokens[1:])


def test_a_constraint_restricts_what_is_said(llm: LLM) -> None:
    yes_no = [llm.tokenizer.encode(word)[0] for word in (" Yes", " No")]
    allowed = AllowedTokens(yes_no, llm.tokenizer.vocab_size)

    completion = llm.generate("Is it?", max_tokens=4, constraint=allowed)

    assert len(completion.tokens) == 4
    assert set(completion.tokens) <= set(yes_no)


def test_chat_speaks_through_the_template(llm: LLM) -> None:
    completion = llm.chat("Say hello.", max_tokens=12)

    assert llm.model.template is not None
    text = llm.model.template.render([Message("user", "Say hello.")])
    assert completion.prompt_tokens == tuple(llm.tokenizer.encode(text, parse_special=True))
    assert completion.tokens == llm.generate(text, parse_special=True, max_tokens=12).tokens


def test_the_second_turn_finds_the_first_in_the_cache(model: Model) -> None:
    with LLM(model) as llm:
        said = [{"role": "user", "content": "My name is Ann, and I live by the sea. And you?"}]
        first = llm.chat(said, max_tokens=20)
        said += [
            {"role": "assistant", "content": first.text},
            {"role": "user", "content": "What is my name?"},
        ]
        second = llm.chat(said, max_tokens=20)
        fresh = llm.chat(said, max_tokens=20, prompt_logprobs=0)

    assert second.usage.cached_tokens >= len(first.prompt_tokens) // 32 * 32 > 0
    assert fresh.usage.cached_tokens == 0
    assert fresh.tokens == second.tokens


def test_an_assistants_turn_is_continued(llm: LLM) -> None:
    said = [Message("user", "Count."), Message("assistant", "One, two,")]

    completion = llm.chat(said, max_tokens=4)

    assert llm.tokenizer.decode(completion.prompt_tokens).endswith("One, two,")


def test_events_come_to_an_event_loop(llm: LLM) -> None:
    async def collect() -> list[str]:
        async def one(prompt: str) -> str:
            stream = llm.astream(prompt, max_tokens=12)
            return "".join([event.text async for event in stream])

        return await asyncio.gather(*(one(prompt) for prompt in PROMPTS))

    expected = [llm.generate(prompt, max_tokens=12).text for prompt in PROMPTS]
    assert asyncio.run(collect()) == expected


def test_threads_may_ask_at_the_same_time(llm: LLM) -> None:
    expected = [llm.generate(prompt, max_tokens=12).tokens for prompt in PROMPTS]
    got: dict[int, tuple[int, ...]] = {}

    def ask(index: int) -> None:
        got[index] = llm.generate(PROMPTS[index], max_tokens=12).tokens

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[i] for i in range(len(PROMPTS))] == expected


def test_a_closed_stream_is_cancelled(llm: LLM) -> None:
    stream = llm.stream(PROMPTS[1], max_tokens=900, ignore_eos=True)
    first = next(stream)
    with pytest.raises(OutriderError, match="not finished"):
        _ = stream.completion

    stream.close()

    assert stream.completion.finish_reason == "cancelled"
    assert stream.completion.text.startswith(first.text)
    assert stream.completion.usage.completion_tokens < 900


def test_an_interrupted_stream_is_cancelled(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = llm.stream(PROMPTS[1], max_tokens=900, ignore_eos=True)

    def interrupted() -> Iterator[None]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(stream, "_events", interrupted())
    with pytest.raises(KeyboardInterrupt):
        next(stream)

    stream.close()
    assert stream.completion.finish_reason == "cancelled"


def test_a_dropped_stream_is_cancelled(model: Model) -> None:
    with LLM(model, max_streams=1) as llm:
        stream = llm.stream(PROMPTS[1], max_tokens=900, ignore_eos=True)
        next(stream)
        ended = threading.Event()
        put = stream._handle.put

        def watch(event: object) -> None:
            put(event)  # type: ignore[arg-type]
            if event.finish_reason == "cancelled":  # type: ignore[attr-defined]
                ended.set()

        job, _ = next(iter(llm._runner._handles.values()))
        object.__setattr__(job, "emit", watch)
        del stream
        gc.collect()
        assert ended.wait(60)


def test_a_closed_model_refuses(model: Model) -> None:
    llm = LLM(model)
    stream = llm.stream(PROMPTS[1], max_tokens=900, ignore_eos=True)
    llm.close()
    llm.close()

    assert stream.finish().finish_reason == "cancelled"
    with pytest.raises(OutriderError, match="closed"):
        llm.generate("Hi")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda llm: llm.generate("Hi", max_tokens=1024), "do not fit the context of 1024"),
        (lambda llm: llm.generate("word " * 1500), "The prompt has .* the context holds 1024"),
        (lambda llm: llm.generate(tokens=[]), "The prompt has no tokens"),
        (lambda llm: llm.generate(tokens=[1, 49152]), "Token id 49152 lies outside"),
        (lambda llm: llm.generate(tokens=[-1]), "Token id -1 lies outside"),
        (lambda llm: llm.generate("Hi", logit_bias={60000: 1.0}), "60000"),
        (lambda llm: llm.generate("Hi", temprature=1.0), "did you mean 'temperature'"),
        (lambda llm: llm.generate("Hi", drafter="ngrm"), "did you mean 'ngram'"),
        (lambda llm: llm.generate("Hi", controller="fixd"), "did you mean 'fixed'"),
        (lambda llm: llm.generate("Hi", verification="couple"), "did you mean 'coupled'"),
        (lambda llm: llm.generate("Hi", verification="typical:epsilon=7"), "has to lie in"),
        (
            lambda llm: llm.generate("Hi", drafter="ngram:matches=7"),
            "option of the drafter 'ngram'",
        ),
        (lambda llm: llm.generate("Hi", drafter="none", num_draft_tokens=3), "needs a drafter"),
        (lambda llm: llm.generate("Hi\ud800"), "surrogate"),
        (lambda llm: llm.generate(), "exactly one of prompt, messages and tokens"),
    ],
)
def test_bad_requests_are_named(llm: LLM, ask: Callable[[LLM], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask(llm)


def test_an_empty_prompt_begins_with_the_begin_of_text_token(llm: LLM) -> None:
    assert llm.tokenizer.bos is not None
    assert llm.generate("", max_tokens=1).prompt_tokens == (llm.tokenizer.bos,)


def test_an_empty_prompt_without_such_a_token_is_refused(
    llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm.tokenizer, "bos", None)
    with pytest.raises(UsageError, match="The prompt is empty"):
        llm.generate("")


def test_max_tokens_of_none_takes_what_the_context_leaves(llm: LLM) -> None:
    prompt = "word " * 1000
    completion = llm.generate(prompt, max_tokens=None, ignore_eos=True)

    assert len(completion.prompt_tokens) + len(completion.tokens) == llm.context
    assert completion.finish_reason == "length"


def test_a_request_that_the_cache_can_never_hold_is_refused(model_path: Path) -> None:
    small = load(model_path, context=1024, cache_bytes=4 << 20)
    with LLM(small) as llm:
        with pytest.raises(CapacityError, match="raise the cache budget") as caught:
            llm.generate("Hi", max_tokens=900)
        assert caught.value.never
        assert llm.generate("Hi", max_tokens=2).finish_reason == "length"


def test_progress_tells_of_the_loading(model_path: Path) -> None:
    seen: list[Progress] = []
    with LLM(model_path, context=1024, cache_budget=4 << 20, progress=seen.append) as llm:
        assert {(p.name, p.phase) for p in seen} == {(llm.model.name, "load")}
    assert seen[-1].done == seen[-1].total


def test_what_progress_raises_ends_the_loading(model_path: Path) -> None:
    def refuse(progress: Progress) -> None:
        raise LookupError(progress.phase)

    with pytest.raises(LookupError, match="load"):
        LLM(model_path, context=1024, cache_budget=4 << 20, progress=refuse)


def test_a_model_without_a_template_refuses_messages(model: Model) -> None:
    bare = Model(model.name, model.fingerprint, model.engine, model.tokenizer, None)
    with LLM(bare) as llm:
        assert not llm.has_chat_template
        with pytest.raises(UsageError, match="has no chat template"):
            llm.chat("Hi")


def test_files_that_are_no_model_are_named(tmp_path: Path, model_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.gguf.* does not exist"):
        LLM(tmp_path / "nothing.gguf")
    text = tmp_path / "text.gguf"
    text.write_text("no model")
    with pytest.raises(ModelFileError, match=r"text\.gguf: "):
        LLM(text)
    short = tmp_path / "short.gguf"
    with model_path.open("rb") as file:
        short.write_bytes(file.read(5 << 20))
    with pytest.raises(ModelFileError, match=r"short\.gguf: "):
        LLM(short)
    with pytest.raises(UsageError, match="did you mean 'smollm2-135m-instruct'"):
        LLM("smollm2-135m-instuct")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_streams": 0}, "max_streams"),
        ({"prefill_chunk": 0}, "prefill_chunk"),
        ({"seed": -1}, "seed"),
        ({"drafter": "ngrm"}, "did you mean 'ngram'"),
        ({"controller": "fixd"}, "did you mean 'fixed'"),
        ({"drafter": "none", "num_draft_tokens": 3}, "needs a drafter"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_loaded(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        LLM(tmp_path / "nothing.gguf", **arguments)  # type: ignore[arg-type]


def test_speculation_is_switched_off(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTRIDER_SPECULATION", "off")
    with LLM(model, drafter="ngram", controller="fixed") as llm:
        completion = llm.generate(CHANT, max_tokens=16)
    assert completion.usage.draft_tokens == 0
    assert completion.record["why_plain"] == "OUTRIDER_SPECULATION switches it off"

    with LLM(model) as llm:
        completion = llm.generate(CHANT, max_tokens=16)
    assert completion.usage.draft_tokens == completion.usage.empty_steps == 0
    assert completion.record["drafter"] == "none"

    drafting = {"drafter": "ngram", "controller": "fixed", "num_draft_tokens": 3}
    with LLM(model, **drafting, speculation=True) as llm:
        assert llm.generate(CHANT, max_tokens=16).usage.draft_tokens > 0
        plain = llm.generate(CHANT, max_tokens=16, speculation=False)
        assert plain.usage.draft_tokens == 0
        assert plain.record["why_plain"] == "the request asked for it"
        own = Speculation(drafter="none")
        assert llm.generate(CHANT, max_tokens=16, speculation=own).usage.draft_tokens == 0

    monkeypatch.setenv("OUTRIDER_SPECULATION", "maybe")
    with pytest.raises(UsageError, match="OUTRIDER_SPECULATION has to be on or off"):
        LLM(model)


def test_the_tokenizer_is_the_files_own(llm: LLM) -> None:
    assert isinstance(llm.tokenizer, Tokenizer)
    assert llm.tokenizer.vocab_size == llm.engine.vocab_size
