"""Tuning over the toy engine: what is tried, predicted, measured and left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab.toy_model import toy_llm

from outrider.errors import UsageError
from outrider.lab.contest import PLAIN, contest
from outrider.lab.tuning import BEST, Wish, ride_of, tune
from outrider.llm import LLM
from outrider.prompts import Prompt

PROMPTS = [
    *(Prompt(i, (text,), "chant") for i, text in enumerate(("abcabcab", "aaaaaaaa", "xyxyxyxy"))),
    *(Prompt(i, (text,), "prose") for i, text in enumerate(("theQuickBrown", "lazyDog"), 3)),
]


@pytest.fixture
def llm() -> Iterator[LLM]:
    with toy_llm() as llm:
        yield llm


def test_one_half_predicts_and_the_other_is_measured(llm: LLM):
    told = []
    found = tune(
        llm,
        PROMPTS,
        Wish(drafters=("ngram", "recycle"), max_tokens=40, repeats=2),
        progress=lambda what, done, total: told.append((what, done, total)),
    )

    assert sorted((*found.fitted, *found.measured)) == [0, 1, 2, 3, 4]
    names = {trial.plan.name for trial in found.trials}
    assert {"ngram/cost", "recycle/cost", "ngram/fixed K=4"} <= names
    assert not any(name.startswith("recycle/fixed") for name in names)
    measured = [trial for trial in found.trials if trial.measured is not None]
    assert {trial.plan.drafter for trial in measured} == {"ngram", "recycle"}
    assert len(measured) == 2
    assert set(found.figures) == {"plain", *(trial.plan.name for trial in measured)}
    assert found.figures["plain"].overall.prompts == len(found.measured)
    assert found.identical
    assert found.verdict.trial in measured
    assert ("fitting", 9, 9) in told  # three plans, three prompts
    assert told[-1] == ("measuring", 12, 12)  # three plans, two prompts, twice


def test_chains_of_a_drafter_that_computes_are_predicted_at_every_length(llm: LLM):
    found = tune(llm, PROMPTS, Wish(drafters=("early_exit",), max_tokens=20, repeats=1))
    by_name = {trial.plan.name: trial for trial in found.trials}
    assert {"early_exit/cost", *(f"early_exit/fixed K={k}" for k in (1, 2, 3, 4))} == set(by_name)
    assert by_name["early_exit/fixed K=2"].plan.num_draft_tokens == 2


def test_by_default_the_best_few_are_measured_and_the_rest_predicted(llm: LLM):
    found = tune(llm, PROMPTS, Wish(max_tokens=20, repeats=1))
    assert sum(trial.measured is not None for trial in found.trials) == BEST
    tried = {trial.plan.drafter for trial in found.trials}
    assert {"ngram", "suffix", "recycle", "mixed"} <= tried
    (left,) = found.left_out
    assert left[0] == "quantized"
    assert "quantized" in left[1]


def test_so_many_are_measured_as_were_asked_for(llm: LLM):
    found = tune(llm, PROMPTS, Wish(max_tokens=20, repeats=1, best=1))
    assert sum(trial.measured is not None for trial in found.trials) == 1


def test_what_was_named_is_measured_whatever_was_predicted_of_it():
    wish = Wish(drafters=("early_exit", "model"), draft_model="small")
    assert wish.named == wish.tried == ("early_exit", "model:draft_model=small")
    assert Wish(draft_model="small").tried[-1] == "model:draft_model=small"
    assert len(Wish(draft_model="small").tried) > 1
    assert Wish(drafters=("ngram", "ngram")).tried == ("ngram",)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"drafters": ("ngarm",)}, "did you mean 'ngram'"),
        ({"drafters": ("none",)}, "plain decoding itself"),
        ({"drafters": ("quantized",)}, "quantized"),
        ({"verification": "copuled"}, "did you mean 'coupled'"),
        ({"best": 0}, "At least one plan"),
        ({"repeats": 0}, "repeats has to be at least 1"),
        ({"max_tokens": 1}, "max_tokens has to be at least 2"),
    ],
)
def test_what_cannot_be_tried_is_an_error(llm: LLM, wish: dict, why: str):
    with pytest.raises(UsageError, match=why):
        tune(llm, PROMPTS, Wish(**wish))


def test_a_drafter_that_draws_is_not_asked_through_a_controller_that_looks(llm: LLM):
    wish = Wish(
        drafters=("early_exit:draws=true",),
        verification="rejection",
        max_tokens=20,
        repeats=1,
        sampling={"temperature": 1.0},
    )
    found = tune(llm, PROMPTS, wish)
    assert {trial.plan.controller for trial in found.trials} == {"fixed"}


def test_a_ride_is_what_the_answer_counted(llm: LLM):
    (sample,) = contest(llm, [PLAIN], PROMPTS[:1], max_tokens=30)
    ride, usage = ride_of(sample), sample.usage
    assert ride.tokens == 29
    assert ride.passes == {1: usage.steps}
    assert ride.context == 8 + 15
    parts = usage.pass_ms + ride.draft_ms + ride.sampling_ms + ride.rest_ms
    assert parts == pytest.approx(usage.decode_ms)
