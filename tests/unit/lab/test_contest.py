"""Contests over the toy engine: who is asked what, in which order, and knowing what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from lab.toy_model import toy_llm

from outrider.drafters.free import RecycleDrafter
from outrider.engines.toy import ToyEngine
from outrider.errors import CapacityError, OutriderError, UsageError
from outrider.lab.contest import PLAIN, Sample, contest, decode_of, end_to_end_of
from outrider.llm import LLM
from outrider.plan import Plan
from outrider.prompts import Prompt
from outrider.types import Usage

PROMPTS = [
    Prompt(0, ("abcabcab",), "chant"),
    Prompt(1, ("theQuickBrownFox",), "prose"),
    Prompt(2, ("aaaaaaaa",), "chant"),
]
# The controller of no plan looks at a clock: what is drafted is the same every time.
NGRAM = Plan(name="ngram", drafter="ngram", controller="fixed")
RECYCLE = Plan(name="recycle", drafter="recycle", controller="fixed")
MIXED = Plan(name="mixed", drafter="mixed", controller="fixed")


@pytest.fixture
def llm() -> Iterator[LLM]:
    with toy_llm() as llm:
        yield llm


def counts(sample: Sample) -> tuple[int, ...]:
    usage = sample.usage
    return (usage.steps, usage.draft_tokens, usage.accepted_tokens, *usage.accepted_per_position)


def test_plans_take_turns_and_the_turns_rotate(llm: LLM) -> None:
    told: list[tuple[int, int]] = []
    samples = contest(
        llm,
        [PLAIN, NGRAM, RECYCLE],
        PROMPTS,
        repeats=2,
        max_tokens=8,
        progress=lambda done, total: told.append((done, total)),
    )

    asked = [(s.repeat, s.prompt, s.plan) for s in samples]
    assert asked[:6] == [
        *((0, 0, plan) for plan in ("plain", "ngram", "recycle")),
        *((0, 1, plan) for plan in ("ngram", "recycle", "plain")),
    ]
    assert [plan for repeat, prompt, plan in asked if (repeat, prompt) == (1, 0)] == [
        *("ngram", "recycle", "plain")
    ]
    assert sorted(asked) == sorted(
        (repeat, prompt.index, plan)
        for repeat in range(2)
        for prompt in PROMPTS
        for plan in ("plain", "ngram", "recycle")
    )
    assert told == [(done, 18) for done in range(19)]
    assert {s.category for s in samples if s.prompt == 1} == {"prose"}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_all_plans_say_the_same(llm: LLM, temperature: float) -> None:
    samples = contest(
        llm, [PLAIN, NGRAM, RECYCLE], PROMPTS, repeats=2, temperature=temperature, seed=3
    )

    for prompt in PROMPTS:
        assert len({s.tokens for s in samples if s.prompt == prompt.index}) == 1
    assert sum(s.usage.accepted_tokens for s in samples) > 0
    assert all(s.usage.draft_tokens == 0 for s in samples if s.plan == "plain")


@pytest.mark.parametrize("plan", [NGRAM, RECYCLE, MIXED])
def test_a_repetition_begins_like_the_first(llm: LLM, plan: Plan) -> None:
    samples = contest(llm, [plan], PROMPTS[:1], repeats=3, max_tokens=100)

    assert samples[0].usage.accepted_tokens > 0
    assert len({counts(s) for s in samples}) == 1
    assert all(s.usage.cached_tokens == 0 for s in samples)


def test_cold_a_prompt_is_answered_as_if_it_were_the_only_one(llm: LLM) -> None:
    together = contest(llm, [PLAIN, RECYCLE], PROMPTS, cold=True, max_tokens=60)
    alone = contest(llm, [RECYCLE], PROMPTS[2:], max_tokens=60)

    (found,) = (s for s in together if (s.plan, s.prompt) == ("recycle", 2))
    assert counts(found) == counts(alone[0])


def test_plans_learn_from_prompt_to_prompt_and_not_from_one_another(llm: LLM) -> None:
    again = replace(RECYCLE, name="again")
    samples = contest(llm, [RECYCLE, again], PROMPTS, repeats=2, max_tokens=60)

    for prompt in PROMPTS:
        assert len({counts(s) for s in samples if s.prompt == prompt.index}) == 1
    (alone,) = contest(llm, [RECYCLE], PROMPTS[2:], max_tokens=60)
    last = next(s for s in samples if s.prompt == PROMPTS[2].index)
    assert last.usage.accepted_tokens > alone.usage.accepted_tokens


def test_warm_drafters_have_seen_other_prompts_alone(llm: LLM) -> None:
    def accepted(warm: list[Prompt], repeats: int = 2) -> list[int]:
        samples = contest(llm, [RECYCLE], PROMPTS[:1], repeats=repeats, warm=warm, max_tokens=60)
        return [s.usage.accepted_tokens for s in samples]

    cold, warmed = accepted([]), accepted(PROMPTS[1:])
    assert len(set(cold)) == len(set(warmed)) == 1
    assert warmed[0] > cold[0]


def test_a_group_is_asked_at_the_same_moment(llm: LLM) -> None:
    samples = contest(llm, [PLAIN, NGRAM], PROMPTS, streams=2, max_tokens=30)

    assert [(s.group, s.prompt) for s in samples if s.plan == "ngram"] == [(0, 0), (0, 1), (1, 2)]
    assert len({s.tokens for s in samples if s.prompt == 1}) == 1


def test_streams_that_do_not_fit_together_are_no_streams() -> None:
    with toy_llm(ToyEngine(context=64, cache_tokens=64)) as llm:
        assert contest(llm, [PLAIN], PROMPTS[:2], max_tokens=40)
        with pytest.raises(CapacityError, match="2 answers do not fit"):
            contest(llm, [PLAIN], PROMPTS[:2], streams=2, max_tokens=40)


def test_every_pass_behind_the_first_token_is_timed_by_its_rows(llm: LLM) -> None:
    for sample in contest(llm, [PLAIN, NGRAM], PROMPTS, max_tokens=30):
        usage = sample.usage
        assert sum(len(times) for times in sample.passes.values()) == usage.steps
        drafted = sum((rows - 1) * len(times) for rows, times in sample.passes.items())
        assert drafted == usage.draft_tokens
        assert sum(map(sum, sample.passes.values())) == pytest.approx(usage.pass_ms)
        assert len(sample.prompt_tokens) == usage.prompt_tokens


def test_a_groups_time_runs_from_its_first_token_to_its_last() -> None:
    def sample(tokens: int, first_token_ms: float, decode_ms: float) -> Sample:
        return Sample(
            plan="plain",
            prompt=0,
            category=None,
            repeat=0,
            group=0,
            tokens=(1,) * tokens,
            reason="length",
            usage=Usage(
                first_token_ms=first_token_ms,
                decode_ms=decode_ms,
                total_ms=first_token_ms + decode_ms + 1,
            ),
        )

    group = [sample(5, 10.0, 40.0), sample(3, 20.0, 50.0), sample(0, 0.0, 0.0)]
    assert decode_of(group) == (60.0, 7)
    assert decode_of(group[:1]) == group[0].decode == (40.0, 4)
    assert decode_of(group[2:]) == (0.0, 0)
    assert end_to_end_of(group) == (71.0, 8)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"repeats": 0}, "repeats has to be at least 1"),
        ({"streams": 0}, "streams has to be at least 1"),
        ({"streams": 17}, "more than the 16"),
        ({"max_tokens": 1}, "max_tokens has to be at least 2"),
        ({"prompts": []}, "at least one prompt"),
        ({"plans": []}, "at least one plan"),
        ({"plans": [NGRAM, NGRAM]}, "Two plans are called 'ngram'"),
        ({"warm": [Prompt(7, ("aaaaaaaa",))]}, "Prompt 7 of those to warm up on"),
        ({"temprature": 1.0}, "did you mean 'temperature'"),
        ({"max_tokens": 500}, "Prompt 0: "),
        ({"plans": [Plan(name="x", drafter="ngarm")]}, "plan 'x' .* did you mean 'ngram'"),
        ({"plans": [Plan(name="x", drafter="model")]}, "plan 'x' .* needs a model to draft with"),
    ],
)
def test_what_cannot_be_measured_is_an_error(llm: LLM, wrong: dict, why: str) -> None:
    given = {"plans": [PLAIN, NGRAM], "prompts": PROMPTS} | wrong
    with pytest.raises(UsageError, match=why):
        contest(llm, **given)


def test_speculation_has_to_be_on() -> None:
    with toy_llm(speculation=False) as llm:
        assert contest(llm, [PLAIN], PROMPTS[:1], max_tokens=4)
        with pytest.raises(UsageError, match="OUTRIDER_SPECULATION"):
            contest(llm, [PLAIN, NGRAM], PROMPTS[:1])


def test_the_models_own_number_of_draft_tokens_is_not_taken_over() -> None:
    def most(plan: Plan) -> int:
        with toy_llm(drafter="ngram", num_draft_tokens=1) as llm:
            samples = contest(llm, [plan], PROMPTS[:1], max_tokens=60)
        return max(s.usage.draft_tokens / max(s.usage.draft_steps, 1) for s in samples)

    assert most(replace(NGRAM, num_draft_tokens=1)) <= 1
    assert most(NGRAM) > 1


def test_an_answer_that_fails_ends_the_contest() -> None:
    class Broken(ToyEngine):
        def logits(self, state: int, token: int, layers: int):
            return super().logits(state, token, layers) * float("nan")

    with (
        toy_llm(Broken()) as llm,
        pytest.raises(OutriderError, match="Prompt 0, decoded by the plan 'plain'"),
    ):
        contest(llm, [PLAIN], PROMPTS)


@pytest.mark.parametrize("cold", [False, True])
def test_a_drafter_is_reset_when_it_has_to_be(
    llm: LLM, monkeypatch: pytest.MonkeyPatch, cold: bool
) -> None:
    calls: list[str] = []
    for name in ("reset", "begin"):
        original = getattr(RecycleDrafter, name)

        def spy(self, *args, name=name, original=original):
            calls.append(name)
            original(self, *args)

        monkeypatch.setattr(RecycleDrafter, name, spy)
    contest(llm, [PLAIN, RECYCLE], PROMPTS, repeats=2, cold=cold, max_tokens=4)

    begun = [i for i, call in enumerate(calls) if call == "begin"]
    assert len(begun) == 1 + 2 * len(PROMPTS)
    after_reset = [calls[i - 1] == "reset" for i in begun[1:]]
    assert after_reset == [cold or i % len(PROMPTS) == 0 for i in range(2 * len(PROMPTS))]
