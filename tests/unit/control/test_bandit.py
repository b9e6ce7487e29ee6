from __future__ import annotations

import numpy as np
import pytest
from control.synthetic_steps import Chains, ListedCost, entries, simulate

from outrider.control.bandit import Arms, BanditController
from outrider.control.base import PassReport, Room
from outrider.drafters.base import Observation
from outrider.engines.toy import ToyCost
from outrider.errors import UsageError
from outrider.tree import EMPTY
from outrider.types import Verdict

LINEAR = ListedCost([0.9 + 0.1 * m for m in range(1, 40)])


def test_the_arm_that_pays_best_is_played_most() -> None:
    arms, random = Arms(3, 0.99, 0.1), np.random.default_rng(0)
    played = []
    for _ in range(600):
        arm = arms.best()
        played.append(arm)
        arms.add(arm, int(random.integers(1, 4)), (3.0, 2.0, 4.0)[arm])
    assert np.mean(np.array(played[100:]) == 1) > 0.7
    assert set(played[:3]) == {0, 1, 2}


def test_it_follows_when_another_arm_becomes_the_best() -> None:
    arms = Arms(2, 0.98, 0.1)
    played = []
    for step in range(800):
        arm = arms.best()
        played.append(arm)
        arms.add(arm, 1, 1.0 if (arm == 0) == (step < 400) else 2.0)
    assert np.mean(played[100:400]) < 0.2
    assert np.mean(played[500:]) > 0.8


@pytest.mark.parametrize(("alpha", "near"), [(0.0, 0), (0.8, 5)])
def test_it_finds_the_length_for_an_acceptance(alpha: float, near: int) -> None:
    drafter = Chains(lambda step: alpha, heeds=False)
    run = simulate(BanditController(LINEAR, discount=0.999), LINEAR, drafter, 1500)
    lengths = np.array(run.rows[700:]) - 1
    assert np.mean(np.abs(lengths - near) <= 2) > 0.7


def test_zero_is_the_only_arm_of_a_limit_of_zero() -> None:
    controller = BanditController(LINEAR, 0)
    run = simulate(controller, LINEAR, Chains(lambda step: 0.9), 20)
    assert set(run.rows) == {1}


def test_batches_of_another_size_are_learned_by_themselves() -> None:
    controller = BanditController(LINEAR)
    simulate(controller, LINEAR, Chains(lambda step: 0.8, heeds=False), 300)
    before = controller.lengths(entries(1))
    simulate(controller, LINEAR, Chains(lambda step: 0.0, heeds=False), 300, streams=8)
    assert controller.lengths(entries(1)) == before


def test_passes_with_prompts_do_not_count() -> None:
    controller = BanditController(ToyCost())
    batch = entries(1)
    seen = [Observation(batch[0], EMPTY, Verdict((), 1))]
    for rows in (((1, 1), (0, 100)), ((1, 1),)):
        controller.limit(batch, Room(9, ((1, 1),), 1))
        first = controller.lengths(batch)
        controller.observe(seen, PassReport(rows, 0.0, 1.0, 0.0))
        assert (controller.lengths(batch) == first) == (len(rows) == 2)


@pytest.mark.parametrize(
    "option", [{"longest": -1}, {"discount": 1.0}, {"discount": 0.0}, {"exploration": -0.1}]
)
def test_options_out_of_range(option: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(option))):
        BanditController(ToyCost(), **option)
