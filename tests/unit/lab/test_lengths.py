"""What was derived for lengths that did not run, against runs of these lengths."""

from __future__ import annotations

import numpy as np
import pytest
from lab.chains import chain
from lab.toy_model import toy_llm

from outrider.errors import OutriderError
from outrider.lab.contest import PLAIN, contest
from outrider.lab.lengths import replayed, shortened
from outrider.lab.tuning import ride_of
from outrider.plan import Plan
from outrider.prompts import Prompt
from outrider.replay import Logged

PROMPTS = [
    Prompt(0, ("abcabcab",)),
    Prompt(1, ("theQuickBrownFox",)),
    Prompt(2, ("aaaaaaaa",)),
]


@pytest.mark.parametrize("alpha", [0.2, 0.6, 0.9])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_shorter_chains_do_what_was_derived(alpha, length):
    random = np.random.default_rng(7)
    costs = {"draft_ms": 0.5, "step_ms": 0.1}
    found = shortened(chain(random, alpha, 8, 60_000, **costs), length)
    truth = chain(random, alpha, length, 60_000, **costs)

    assert list(found.passes) == [length + 1]
    for name in ("steps", "drafted", "accepted", "draft_ms", "rest_ms"):
        of_token = (getattr(ride, name) / ride.tokens for ride in (found, truth))
        assert next(of_token) == pytest.approx(next(of_token), rel=0.03), name
    assert found.tokens == pytest.approx(found.steps + found.accepted)


def test_an_answer_without_a_draft_stays_as_it_is():
    ride = chain(np.random.default_rng(1), 0.0, 0, 10)
    assert shortened(ride, 2) is ride


@pytest.mark.parametrize("drafter", ["ngram", "suffix"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_replayed_length_is_what_the_loop_does(drafter, temperature):
    cost = Plan(name="cost", drafter=drafter, controller="cost")
    fixed = Plan(name="fixed", drafter=drafter, controller="fixed", num_draft_tokens=3)
    with toy_llm() as llm:
        samples = contest(
            llm,
            [PLAIN, cost, fixed],
            PROMPTS,
            max_tokens=60,
            temperature=temperature,
            seed=2,
            ignore_eos=True,
        )
    asked = {name: [s for s in samples if s.plan == name] for name in ("plain", "cost", "fixed")}
    found = replayed(
        [ride_of(s) for s in asked["cost"]],
        [Logged(s.prompt_tokens, s.tokens) for s in asked["plain"]],
        drafter,
        3,
        vocab_size=48,
        trees=True,
    )

    truth = [ride_of(s) for s in asked["fixed"]]
    assert sum(ride.accepted for ride in truth) > 0
    assert [dict(ride.passes) for ride in found] == [dict(ride.passes) for ride in truth]
    assert [(r.drafted, r.accepted) for r in found] == [(r.drafted, r.accepted) for r in truth]


def test_what_needs_logits_cannot_be_replayed():
    ride = chain(np.random.default_rng(1), 0.5, 2, 10)
    with pytest.raises(OutriderError, match="logits"):
        replayed([ride], [Logged((1, 2), (3, 4, 5))], "recycle", 2, vocab_size=48, trees=True)
