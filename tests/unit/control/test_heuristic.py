from __future__ import annotations

import pytest
from control.synthetic_steps import entries

from outrider.control.base import PassReport, Room
from outrider.control.heuristic import HeuristicController
from outrider.drafters.base import Observation
from outrider.engines.toy import ToyCost
from outrider.errors import UsageError
from outrider.tree import EMPTY, ROOT, Tree
from outrider.types import Verdict

REPORT = PassReport(((1, 1),), 0.0, 1.0, 0.0)


def lengths(controller: HeuristicController, batch) -> list[int]:
    for entry in batch:
        entry.max_nodes = 100
    controller.limit(batch, Room(100, ((1, 1),) * len(batch), len(batch)))
    return [entry.max_nodes for entry in batch]


def test_two_more_after_success_one_less_after_failure() -> None:
    batch = entries(1)
    controller = HeuristicController(ToyCost(), start=2)
    chain = Tree.chain([1, 2], [0.5, 0.5])
    assert lengths(controller, batch) == [2]
    for accepted, expected in (((0, 1), 4), ((0,), 3), ((), 2), ((), 1), ((), 1), ((0, 1), 3)):
        controller.observe([Observation(batch[0], chain, Verdict(accepted, 5))], REPORT)
        assert lengths(controller, batch) == [expected]


def test_of_a_tree_a_longest_path_is_all() -> None:
    batch = entries(1)
    controller = HeuristicController(ToyCost())
    tree = Tree((1, 2, 3), (ROOT, ROOT, 1), (0.5, 0.5, 0.5))
    for accepted, expected in (((1, 2), 7), ((1,), 6), ((0,), 5)):
        lengths(controller, batch)
        controller.observe([Observation(batch[0], tree, Verdict(accepted, 5))], REPORT)
        assert lengths(controller, batch) == [expected]


def test_a_step_without_a_draft_says_nothing() -> None:
    batch = entries(1)
    controller = HeuristicController(ToyCost())
    lengths(controller, batch)
    controller.observe([Observation(batch[0], EMPTY, Verdict((), 5))], REPORT)
    assert lengths(controller, batch) == [5]


def test_completions_have_lengths_of_their_own_up_to_the_limit() -> None:
    batch = entries(2)
    controller = HeuristicController(ToyCost(), 6)
    chain = Tree.chain([1], [0.5])
    lengths(controller, batch)
    controller.observe(
        [
            Observation(batch[0], chain, Verdict((0,), 5)),
            Observation(batch[1], chain, Verdict((), 5)),
        ],
        REPORT,
    )
    assert lengths(controller, batch) == [6, 4]
    assert lengths(controller, batch[1:]) == [4]
    assert lengths(controller, batch) == [5, 4]  # the first had ended and begins anew


def test_start_out_of_range() -> None:
    with pytest.raises(UsageError, match="start has to be at least 1, not 0"):
        HeuristicController(ToyCost(), start=0)
