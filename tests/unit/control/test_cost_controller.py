from __future__ import annotations

import math

import numpy as np
import pytest
from control.synthetic_steps import Chains, ListedCost, entries, simulate
from hypothesis import example, given, settings
from hypothesis import strategies as st

from outrider._native import PROBE_NODES
from outrider.control.base import PassReport, Room
from outrider.control.cost import CostController
from outrider.control.prefix import best_prefix
from outrider.drafters.base import Observation
from outrider.engines.toy import ToyCost
from outrider.errors import UsageError
from outrider.theory import best_length, expected_tokens, rows_cost
from outrider.tree import EMPTY, Tree
from outrider.types import Verdict

CURVES = st.lists(st.floats(0.0, 0.6), min_size=1, max_size=25).map(
    lambda steps: ListedCost([1.0, *(1.0 + np.cumsum(steps)).tolist()])
)
LINEAR = ListedCost([0.9 + 0.1 * m for m in range(1, 40)])


def speed(alpha: float, cost: ListedCost, call_ms: float, length: int) -> float:
    rows_ms = cost.ms([(1, 1 + length)])
    return expected_tokens(alpha, length) / (rows_ms + call_ms * length)


def best(alpha: float, cost: ListedCost, call_ms: float = 0.0) -> float:
    return max(speed(alpha, cost, call_ms, length) for length in range(25))


@given(CURVES, st.floats(0.0, 0.98))
def test_free_drafts_are_as_long_as_theory_says(cost: ListedCost, alpha: float) -> None:
    controller = CostController(cost, margin=0.0)
    (entry,) = batch = entries(1)
    entry.max_nodes = 100
    room = Room(100, ((1, 1),), 1)
    controller.limit(batch, room)
    proposed, _ = Chains(lambda step: alpha).draft(0, batch)
    (chosen,) = controller.choose(batch, proposed, room)
    # Before the first calls are seen, a drafter is asked for few nodes.
    reachable = max(speed(alpha, cost, 0.0, k) for k in range(entry.max_nodes + 1))
    assert speed(alpha, cost, 0.0, len(chosen)) == pytest.approx(reachable, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(CURVES, st.floats(0.0, 0.95), st.integers(0, 3))
def test_within_five_percent_of_the_best_length(cost: ListedCost, alpha: float, seed: int) -> None:
    run = simulate(CostController(cost), cost, Chains(lambda step: alpha), 600, seed=seed)
    lengths = [rows - 1 for rows in run.rows[16:]]
    expected = sum(expected_tokens(alpha, k) for k in lengths) / sum(
        cost.ms([(1, 1 + k)]) for k in lengths
    )
    assert expected >= 0.95 * best(alpha, cost)


@pytest.mark.parametrize("alpha", [0.6, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("call_ms", [0.05, 0.1, 0.25])
def test_a_drafter_that_takes_time_is_asked_for_what_pays(alpha: float, call_ms: float) -> None:
    run = simulate(CostController(LINEAR), LINEAR, Chains(lambda step: alpha, call_ms), 1500)
    plain = 1.0 / LINEAR.ms([(1, 1)])
    assert run.rate >= max(0.94 * best(alpha, LINEAR, call_ms), plain)


@settings(max_examples=25, deadline=None)
@given(
    CURVES,
    st.floats(0.0, 1.0),
    st.floats(0.0, 2.0),
    st.floats(0.0, 1.0),
    st.booleans(),
    st.integers(0, 5),
)
@example(ListedCost([1.0, 1.0]), 0.8125, 0.5, 1.0, False, 1)
@example(ListedCost([1.0, 1.0, 1.25]), 1.0, 0.75, 0.75, False, 0)
@example(ListedCost([1.0, 1.5]), 0.0, 0.125, 1.0, False, 0)
@example(ListedCost([1.0, 1.0]), 0.5, 0.25, 0.28125, True, 0)
def test_never_slower_than_plain_by_more_than_the_bound(
    cost: ListedCost, alpha: float, call_ms: float, stated: float, heeds: bool, seed: int
) -> None:
    """A drafter may lie, where it takes time, and take no notice of the price of a node."""
    lie = stated if call_ms >= 0.05 else None
    drafter = Chains(lambda step: alpha, call_ms, lie, heeds)
    run = simulate(CostController(cost), cost, drafter, 1500, seed=seed, renewed=100)
    # What it takes to find the drafter out: some calls of a few nodes.
    finding_out = 10.0 + 8 * PROBE_NODES * call_ms
    assert run.ms <= 1.03 * run.tokens * cost.ms([(1, 1)]) + finding_out


def test_useless_drafts_get_no_row() -> None:
    run = simulate(CostController(LINEAR), LINEAR, Chains(lambda step: 0.02), 200)
    assert set(run.rows) == {1}
    assert all(run.calls)  # it costs nothing to ask


def test_a_drafter_that_does_not_pay_is_asked_ever_more_rarely() -> None:
    drafter = Chains(lambda step: 0.0, call_ms=0.5, stated=0.9)
    run = simulate(CostController(LINEAR), LINEAR, drafter, 4000)
    waits = np.diff([step for step, called in enumerate(run.calls) if called])
    assert (np.diff(waits) >= 0).all()
    # A call takes four nodes of half a pass: the share of time is calls a step times two.
    assert 2.0 * np.mean(run.calls[1000:]) <= 0.012


@pytest.mark.parametrize("call_ms", [0.03, 0.2])
def test_recovery_when_the_text_changes(call_ms: float) -> None:
    drafter = Chains(lambda step: 0.9 if step >= 2000 else 0.0, call_ms, stated=0.9)
    run = simulate(CostController(LINEAR), LINEAR, drafter, 4000)
    assert np.mean(run.calls[1000:2000]) < 0.35
    assert np.mean(run.calls[3000:]) > 0.95
    assert np.mean(run.rows[3000:]) > 3


def test_a_new_text_is_tried_at_once() -> None:
    drafter = Chains(lambda step: 0.9 if step >= 1000 else 0.0, call_ms=0.5)
    run = simulate(CostController(LINEAR), LINEAR, drafter, 1100, renewed=1000)
    assert run.calls[1000]


def test_speculation_fades_as_the_batch_fills_the_machine() -> None:
    cost = ListedCost([max(4.0, 0.5 * m) for m in range(1, 200)])
    drafted = []
    for streams in (1, 2, 4, 8, 16):
        run = simulate(CostController(cost), cost, Chains(lambda _: 0.6), 40, streams=streams)
        drafted.append(np.mean(run.rows[8:]) / streams - 1.0)
        plain = streams / cost.ms([(1, 1)] * streams)
        assert run.rate >= 0.98 * plain
    assert drafted == sorted(drafted, reverse=True)
    assert drafted[0] > 4.0
    assert drafted[-1] == 0.0


def test_a_drafter_may_pay_for_one_and_not_for_many() -> None:
    """Answers alone and eight at once take turns; the drafter is right about those alone."""
    alone = [step // 50 % 2 == 0 for step in range(4000)]
    drafter = Chains(lambda step: 0.9 if alone[step] else 0.0, call_ms=0.01, stated=0.9)
    run = simulate(CostController(LINEAR), LINEAR, drafter, 4000, streams=(1, 8), renewed=50)
    asked = np.array(run.calls)[1000:]
    assert np.mean(asked[np.array(alone)[1000:]]) > 0.95
    assert np.mean(asked[~np.array(alone)[1000:]]) < 0.2


def test_a_drafter_that_saves_next_to_nothing_is_not_asked() -> None:
    """A row costs nothing and its draft 8% of a pass, for a token in eleven steps, or in four."""
    cost = ListedCost([1.0, 1.0, *(2.0 + m for m in range(30))])
    for alpha, least, most in ((0.09, 0.0, 0.5), (0.28, 0.9, 1.0)):
        run = simulate(CostController(cost), cost, Chains(lambda _, a=alpha: a, 0.08), 3000)
        assert least <= np.mean(run.calls[500:]) <= most


def test_rows_of_others_are_part_of_the_cost() -> None:
    cost = ListedCost([max(4.0, 0.5 * m) for m in range(1, 200)])
    (entry,) = batch = entries(1)
    chain = Tree.chain([1] * 4, [0.6] * 4)
    for others, expected in ((0, 4), (20, 0)):
        entry.max_nodes = 50
        room = Room(50, ((1, 1),) * (1 + others), 1 + others)
        controller = CostController(cost)
        controller.limit(batch, room)
        (chosen,) = controller.choose(batch, [chain], room)
        assert len(chosen) == expected


def test_the_likelier_sequence_gets_the_rows() -> None:
    batch = entries(2)
    room = Room(3, ((1, 1), (1, 1)), 2)
    for entry in batch:
        entry.max_nodes = 3
    controller = CostController(ToyCost())
    controller.limit(batch, room)
    weak, strong = Tree.chain([1] * 3, [0.3] * 3), Tree.chain([1] * 3, [0.95] * 3)
    first, second = controller.choose(batch, [weak, strong], room)
    assert (len(first), len(second)) == (0, 3)


def test_limits_are_only_lowered() -> None:
    for wish, cap, budget, expected in ((None, 3, 9, 3), (2, 9, 9, 2), (0, 9, 9, 0)):
        (entry,) = batch = entries(1)
        entry.max_nodes = cap
        CostController(ToyCost(), wish).limit(batch, Room(budget, ((1, 1),), 1))
        assert entry.max_nodes == expected


@given(CURVES, st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_no_node_below_the_price_is_in_the_best_choice(
    cost: ListedCost, probabilities: list[float]
) -> None:
    (entry,) = batch = entries(1)
    entry.max_nodes = 24
    room = Room(24, ((1, 1),), 1)
    controller = CostController(cost)
    controller.limit(batch, room)
    chain = Tree.chain([1] * len(probabilities), probabilities)
    times = np.array([cost.ms([(1, 1 + m)]) for m in range(entry.max_nodes + 1)])
    (chosen,) = best_prefix([chain], [entry.max_nodes], [0.0], times, 1.0)
    if len(chosen):
        assert chosen.path_probabilities()[-1] >= entry.min_path_probability * (1 - 1e-9)


def test_passes_correct_the_choice() -> None:
    """The curve says that rows are dear; passes of a few sizes show that they are cheap."""
    measured = ListedCost([0.4 + 0.6 * m for m in range(1, 40)])
    true = ListedCost([0.99 + 0.01 * m for m in range(1, 40)])
    drafter = Chains(lambda step: 0.97 if step % 3 else 0.0)
    run = simulate(CostController(measured), true, drafter, 2000)
    assert max(run.rows[:30]) < 10
    assert max(run.rows[-30:]) > 15


def test_a_machine_that_hesitates_changes_nothing() -> None:
    calm = simulate(CostController(LINEAR), LINEAR, Chains(lambda _: 0.7), 1500)
    noisy = simulate(
        CostController(LINEAR),
        LINEAR,
        Chains(lambda _: 0.7),
        1500,
        stutter=lambda step: 15.0 if step % 17 == 0 else 1.0,
    )
    assert noisy.rate == pytest.approx(calm.rate, rel=0.03)


def test_the_rule_and_the_closed_form_agree() -> None:
    run = simulate(CostController(LINEAR, margin=0.0), LINEAR, Chains(lambda _: 0.8), 100)
    found = best_length(0.8, 0.0, rows_cost(LINEAR.times))
    assert run.rows[50:] == [1 + found.length] * 50


@pytest.mark.parametrize("option", [{"max_nodes": 0}, {"margin": -0.1}, {"margin": math.nan}])
def test_options_out_of_range(option: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(option))):
        CostController(ToyCost(), **option)


def test_drafts_are_no_better_beside_a_prompt() -> None:
    """A row costs as much there, and the prompt's time passes in any case."""
    cost = ListedCost([10.0 + 0.5 * m for m in range(1, 400)])
    batch, chain = entries(1), Tree.chain([1] * 4, [0.4] * 4)
    chosen = []
    for prompt in ((), ((0, 256),)):
        controller = CostController(cost)
        for entry in batch:
            entry.max_nodes = 50
        room = Room(50, ((1, 1), *prompt), 1)
        controller.limit(batch, room)
        chosen += controller.choose(batch, [chain], room)
    assert chosen[0] == chosen[1]
    assert 0 < len(chosen[0]) < len(chain)


def test_the_times_of_a_pass_with_a_prompt_are_not_kept_for_the_next() -> None:
    """As many sequences are in both passes, but 200 rows of a prompt in the first alone."""
    cost = ListedCost([1.0 + 0.1 * min(m, 100) for m in range(1, 400)])
    controller, batch = CostController(cost), entries(2)
    rows = tuple((len(entry.tokens), 1) for entry in batch)
    seen = [Observation(entry, EMPTY, Verdict((), 1)) for entry in batch]

    def price(room: Room) -> float:
        for entry in batch:
            entry.max_nodes = room.budget
        controller.limit(batch, room)
        return batch[0].min_path_probability

    decoding = Room(64, rows, 2)
    for _ in range(17):  # the next step is not one at which times are looked up anyway
        expected = price(decoding)
        controller.observe(seen, PassReport(rows, 0.001, cost.ms(rows), 0.0))
    with_prompt = price(Room(64, (rows[0], (0, 200)), 1))
    assert with_prompt < 0.5 * expected
    assert price(decoding) == pytest.approx(expected)


def test_a_choice_without_limits_is_refused() -> None:
    controller = CostController(ToyCost())
    with pytest.raises(UsageError, match="differ in number"):
        controller.choose(entries(1), [Tree.chain([1], [0.5])], Room(9, ((1, 1),), 1))
