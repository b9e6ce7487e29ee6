from __future__ import annotations

import numpy as np
import pytest
from control.synthetic_steps import entries
from hypothesis import given
from hypothesis import strategies as st

from outrider.control.base import PassReport, Room
from outrider.control.threshold import ThresholdController, best_threshold, tried
from outrider.drafters.base import Observation
from outrider.engines.toy import ToyCost
from outrider.errors import UsageError
from outrider.tree import EMPTY, ROOT, Tree
from outrider.types import Verdict

REPORT = PassReport(((1, 1),), 0.0, 1.0, 0.0)
CHAIN = Tree.chain([1] * 10, [0.5] * 10)


def drafted(controller: ThresholdController, batch, tree: Tree) -> Tree:
    for entry in batch:
        entry.max_nodes = 100
    room = Room(100, ((1, 1),) * len(batch), len(batch))
    controller.limit(batch, room)
    return controller.choose(batch, [tree] * len(batch), room)[0]


def k_after(accepted: list[int], **options) -> int:
    """K after steps in which so many of ten nodes were accepted."""
    batch = entries(1)
    controller = ThresholdController(ToyCost(), options.pop("most", None), **options)
    for count in accepted:
        drafted(controller, batch, CHAIN)
        verdict = Verdict(tuple(range(count)), 1)
        controller.observe([Observation(batch[0], CHAIN, verdict)], REPORT)
    drafted(controller, batch, EMPTY)
    return batch[0].max_nodes


def test_k_rises_above_one_threshold_and_falls_below_the_other() -> None:
    assert k_after([]) == 4
    assert k_after([9] * 3) == 4  # the window is not full
    assert k_after([9] * 4) == 5
    assert k_after([9] * 8) == 6
    assert k_after([8] * 8) == 4
    assert k_after([5] * 8) == 4
    assert k_after([4] * 4) == 3
    assert k_after([0] * 40) == 1
    assert k_after([10, 10, 10, 3]) == 5  # it is the rate of the window


def test_both_thresholds_and_the_window_can_be_set() -> None:
    assert k_after([7], window=1, raise_above=0.6) == 5
    assert k_after([7], window=1, lower_below=0.75) == 3
    assert k_after([10] * 9, window=1, start=2, most=6) == 6


def test_a_step_without_a_draft_says_nothing() -> None:
    batch = entries(1)
    controller = ThresholdController(ToyCost(), window=1)
    drafted(controller, batch, CHAIN)
    controller.observe([Observation(batch[0], EMPTY, Verdict((), 1))], REPORT)
    drafted(controller, batch, EMPTY)
    assert batch[0].max_nodes == 4


def test_confidence_ends_a_path_at_its_first_doubtful_node() -> None:
    controller = ThresholdController(ToyCost(), mode="confidence")
    doubtful = Tree.chain([1, 2, 3, 4], [0.9, 0.39, 0.9, 0.9])
    assert drafted(controller, entries(1), doubtful).tokens == (1, 2)
    sure = Tree.chain([1, 2, 3, 4], [0.9, 0.4, 0.9, 0.9])
    assert drafted(controller, entries(1), sure) is sure
    branches = Tree((1, 2, 3, 4), (ROOT, ROOT, 0, 1), (0.6, 0.3, 0.5, 0.9))
    assert drafted(controller, entries(1), branches).tokens == (1, 2, 3)
    limited = ThresholdController(ToyCost(), 1, mode="confidence")
    assert drafted(limited, entries(1), sure).tokens == (1,)


def test_confidence_is_tuned_on_what_came_of_the_draft() -> None:
    """Tokens at 0.3 are right and those at 0.2 wrong: the threshold moves between them."""
    batch = entries(1)
    controller = ThresholdController(ToyCost(), mode="confidence")
    for probability, accepted in ((0.3, (0,)), (0.2, ()), (0.6, (0,))):
        for _ in range(3):
            chain = Tree.chain([1], [probability])
            controller.observe([Observation(batch[0], chain, Verdict(accepted, 2))], REPORT)
    assert controller.confidence == 0.3
    assert drafted(controller, batch, Tree.chain([1, 2], [0.3, 0.9])).tokens == (1, 2)


def test_few_samples_or_of_one_kind_change_nothing() -> None:
    batch = entries(1)
    controller = ThresholdController(ToyCost(), mode="confidence", confidence=0.7)
    for count in range(20):
        chain = Tree.chain([1], [0.1])
        verdict = Verdict((0,) if count else (), 2)
        if count in (0, 5):
            assert controller.confidence == 0.7
        controller.observe([Observation(batch[0], chain, verdict)], REPORT)
    assert controller.confidence == 0.1
    assert best_threshold([(0.2, True)] * 9, 0.7) == 0.7


def test_only_nodes_that_were_reached_were_tried() -> None:
    tree = Tree((1, 2, 3, 4), (ROOT, ROOT, 1, 2), (0.1, 0.2, 0.3, 0.4))
    seen = Observation(entries(1)[0], tree, Verdict((1,), 9))
    assert tried(seen) == [(0.1, False), (0.2, True), (0.3, False)]


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.booleans()), min_size=1))
def test_no_threshold_is_better(samples: list[tuple[float, bool]]) -> None:
    right = np.array([r for _, r in samples])
    if right.all() or not right.any():
        return
    probabilities = np.array([p for p, _ in samples])

    def loss(threshold: float) -> float:
        above = probabilities >= threshold
        return float(
            (above & ~right).sum() / (~right).sum() + 3 * (~above & right).sum() / right.sum()
        )

    found = loss(best_threshold(samples, 0.4))
    assert all(found <= loss(t) + 1e-12 for t in (0.0, 0.2, 0.4, 0.6, 1.0))


@pytest.mark.parametrize(
    "option",
    [
        {"mode": "confident"},
        {"start": 0},
        {"window": 0},
        {"raise_above": 1.1},
        {"lower_below": -0.1},
        {"raise_above": 0.4},
        {"confidence": 2.0},
    ],
)
def test_options_out_of_range(option: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(option))):
        ThresholdController(ToyCost(), **option)
