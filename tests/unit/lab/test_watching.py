"""What is told of verdicts: the distributions at every position that a draft reaches."""

from __future__ import annotations

from functools import wraps
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.toy_model import toy_llm
from lab.toy_runs import toy_setup

from outrider.drafters.instruments import PerturbedDrafter
from outrider.lab.experiment import Arm, Bench, Cell
from outrider.lab.watching import Reached, watch
from outrider.theory import rejection_acceptance

DRAWN = "perturbed:noise=0.5,draws=true"


def arm(drafter: str, verification: str, temperature: float = 1.0) -> Arm:
    return Arm(
        name="a",
        settings={
            "drafter": drafter,
            "controller": "fixed",
            "num_draft_tokens": 4,
            "verification": verification,
            "temperature": temperature,
        },
    )


def cell(group: int) -> Cell:
    return Cell(experiment="e", arm="a", group=group, repeat=0)


def reached(which: Arm, prompts: int = 6) -> list[Reached]:
    setup = toy_setup(prompts, max_tokens=24)
    with toy_llm() as llm:
        bench, found = Bench(llm, setup), []
        for group in range(prompts):
            found += watch(bench, which, cell(group), setup.prompts, lambda r: r)
        return found


@pytest.mark.parametrize("drafter", ["ngram", "recycle", DRAWN])
@pytest.mark.parametrize("verification", ["coupled", "rejection", "typical"])
def test_watched_answers_are_the_same(drafter: str, verification: str) -> None:
    setup, which = toy_setup(3, max_tokens=24), arm(drafter, verification)
    with toy_llm() as llm:
        bench, accepted = Bench(llm, setup), 0
        for group in range(3):
            (plain,) = bench.ask(which, cell(group), setup.prompts)
            found = watch(bench, which, cell(group), setup.prompts, lambda r: r.accepted)
            # Of the last draft more may be accepted than the answer has room for.
            assert 0 <= sum(found) - plain.usage.accepted_tokens <= 4
            accepted += sum(found)
    assert accepted > 0


def test_nobody_looks_on_afterwards_and_drafts_come_from_the_same_drafter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[PerturbedDrafter] = []
    make = PerturbedDrafter.__init__

    @wraps(make)
    def counted(self: PerturbedDrafter, *args: Any, **options: Any) -> None:
        made.append(self)
        make(self, *args, **options)

    monkeypatch.setattr(PerturbedDrafter, "__init__", counted)
    setup, which, told = toy_setup(3, max_tokens=24), arm(DRAWN, "rejection"), list[Reached]()
    with toy_llm() as llm:
        bench = Bench(llm, setup)
        (before,) = bench.ask(which, cell(1), setup.prompts)
        watch(bench, which, cell(1), setup.prompts, told.append)
        seen = len(told)
        (after,) = bench.ask(which, cell(1), setup.prompts)

    assert 0 < seen == len(told)
    assert before.tokens == after.tokens
    assert len(made) == 1


def test_positions_are_told_in_their_order() -> None:
    found = reached(arm("perturbed:noise=0", "coupled"))

    assert {r.depth for r in found} == {1, 2, 3, 4}
    assert all(r.accepted and len(r.drafted) == 1 for r in found)
    for before, after in pairwise(found):
        assert after.depth in (1, before.depth + 1)


def test_drawn_tokens_are_accepted_as_often_as_the_distributions_overlap() -> None:
    found = reached(arm(DRAWN, "rejection"))
    overlaps = np.array([r.overlap for r in found])
    accepted = np.array([r.accepted for r in found])

    assert all(r.q is not None and r.overlap == rejection_acceptance(r.p, r.q) for r in found)
    # A sum of independent trials of different chances; five standard deviations.
    deviation = np.sqrt((overlaps * (1 - overlaps)).sum())
    assert abs(accepted.sum() - overlaps.sum()) < 5 * deviation
    assert 0.2 < overlaps.mean() < 0.99


@given(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=8), st.sets(st.integers(0, 2)))
def test_tokens_that_were_picked_overlap_by_what_the_target_gives_them(
    weights: list[float], picked: set[int]
) -> None:
    p = np.array(weights) / sum(weights)
    one = Reached(1, p, None, tuple(picked), 0)

    assert one.overlap == pytest.approx(sum(p[token] for token in picked))
    assert one.accepted == (0 in picked)
