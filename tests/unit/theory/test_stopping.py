from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.errors import UsageError
from outrider.theory.stopping import (
    ScoreTable,
    backward_induction,
    best_set,
    expected_best,
    next_box,
    reservation_value,
)

probabilities = st.floats(0, 1)
History = tuple[int, ...]


def simplex(draw: st.DrawFn, size: int) -> list[float]:
    weights = draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
    weights[0] += not any(weights)
    return [w / sum(weights) for w in weights]


@st.composite
def tables(draw: st.DrawFn, stages: int = 3, bins: int = 2) -> ScoreTable:
    """A ladder with scores that collide now and then, and two bins before generation."""
    level = st.integers(0, 8).map(lambda n: n / 8)
    unique = st.lists(level, min_size=bins, max_size=bins, unique=True)
    values = [np.array(sorted(draw(unique))) for _ in range(stages + 1)]
    given = {
        (i, i + 1): np.array([simplex(draw, bins) for _ in range(bins)]) for i in range(stages)
    }
    costs = draw(st.lists(st.integers(0, 6), min_size=stages, max_size=stages))
    edges = tuple((v[1:] + v[:-1]) / 2 for v in values)
    return ScoreTable(tuple(values), edges, given, tuple(map(float, costs)))


def histories(table: ScoreTable) -> Iterator[History]:
    for stage in range(1, table.stages):
        yield from product(*(range(len(v)) for v in table.values[1 : stage + 1]))


def worth_of(table: ScoreTable, go: frozenset[History], start: int, worth: float) -> float:
    """The expected λ·quality − cost of going on exactly after the histories in `go`."""

    def from_here(history: History) -> float:
        stage = len(history)
        if stage == table.stages or (history and history not in go):
            return worth * max(table.values[i][z] for i, z in enumerate(history, 1))
        row = table.given[stage, stage + 1][history[-1] if history else start]
        return -table.costs[stage] + sum(
            p * from_here((*history, z)) for z, p in enumerate(row) if p
        )

    return from_here(())


def subsets(items: list[History]) -> Iterator[frozenset[History]]:
    every = chain.from_iterable(combinations(items, n) for n in range(len(items) + 1))
    return map(frozenset, every)


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from([0.0, 1.0, 4.0, 17.0, 100.0]), st.integers(0, 1))
def test_backward_induction_is_the_best_of_all_rules(
    table: ScoreTable, worth: float, start: int
) -> None:
    rule = backward_induction(table, worth)
    every = list(histories(table))
    best = max(worth_of(table, go, start, worth) for go in subsets(every))
    assert rule.entry[start] == pytest.approx(best)
    taken = frozenset(h for h in every if _goes_on(table, worth, h))
    assert worth_of(table, taken, start, worth) == pytest.approx(best)


def _goes_on(table: ScoreTable, worth: float, history: History) -> bool:
    best = max(table.values[i][z] for i, z in enumerate(history, 1))
    return backward_induction(table, worth).goes_on(len(history), best, history[-1])


@given(tables(stages=4, bins=3))
def test_a_worthless_answer_stops_and_a_priceless_one_never_does(table: ScoreTable) -> None:
    cheap, dear = backward_induction(table, 0.0), backward_induction(table, math.inf)
    assert not any(go.any() for go in cheap.go)
    assert all(go.all() for go in dear.go)
    assert cheap.entry == pytest.approx(-table.costs[0])
    everything = frozenset(histories(table))
    for start in range(3):
        assert dear.entry[start] == pytest.approx(worth_of(_free(table), everything, start, 1.0))
        # A finite λ comes as close as one likes, though it stops where nothing can be gained.
        assert backward_induction(table, 1e9).entry[start] / 1e9 == pytest.approx(
            dear.entry[start], abs=1e-6
        )


def _free(table: ScoreTable) -> ScoreTable:
    return ScoreTable(table.values, table.edges, table.given, (0.0,) * table.stages)


def test_without_recall_the_last_answer_would_be_taken() -> None:
    """A first answer better than the second is kept, and going on is still worth a try."""
    table = ScoreTable(
        (np.array([0.5]), np.array([0.6]), np.array([0.1, 0.9])),
        (np.array([]), np.array([]), np.array([0.5])),
        {(0, 1): np.ones((1, 1)), (1, 2): np.array([[0.5, 0.5]])},
        (1.0, 1.0),
    )
    # E[max(0.6, s)] − 0.6 = 0.15, so it pays from λ = 1 / 0.15 on.
    assert not backward_induction(table, 6.6).goes_on(1, 0.6, 0)
    assert backward_induction(table, 6.7).goes_on(1, 0.6, 0)
    assert not backward_induction(table, math.inf).goes_on(2, 0.9, 1)
    assert backward_induction(table, 10.0).entry[0] == pytest.approx(10 * 0.75 - 2)


def test_published_ladder_needs_a_large_worth() -> None:
    """Qualities .72, .85, .91 and costs 1.6, 4.2, 8.8: λ of 0.5 to 5 would never leave stage 1."""
    qualities, costs = (0.72, 0.85, 0.91), (1.6, 4.2, 8.8)
    table = ScoreTable(
        tuple(np.array([q]) for q in (0.72, *qualities)),
        (np.array([]),) * 4,
        {(i, i + 1): np.ones((1, 1)) for i in range(3)},
        costs,
    )

    def stages(worth: float) -> int:
        rule = backward_induction(table, worth)
        return 1 + rule.goes_on(1, 0.72, 0) * (1 + rule.goes_on(2, 0.85, 0))

    assert [stages(worth) for worth in (5, 32, 33, 146, 147)] == [1, 1, 2, 2, 3]


# ------------------------------------------------------------------------- fitting


def test_fit_counts_transitions() -> None:
    first = np.array([0.1, 0.1, 0.9, 0.9])
    second = np.array([0.2, 0.4, 0.4, 0.4])
    scores = np.stack([np.full(4, 0.5), first, second], axis=1)
    table = ScoreTable.fit(scores, (1.0, 2.0), bins=2, prior=0.0)
    assert [v.tolist() for v in table.values] == [
        [0.5],
        [0.1, 0.9],
        [0.2, pytest.approx(0.4)],
    ]
    assert table.given[1, 2].tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert table.given[0, 1].tolist() == [[0.5, 0.5]]
    assert table.given[2, 1].tolist() == [[1.0, 0.0], [pytest.approx(1 / 3), pytest.approx(2 / 3)]]
    assert (table.bin(1, 0.0), table.bin(1, 0.95), table.value(2, 0.9)) == (
        0,
        1,
        pytest.approx(0.4),
    )
    shrunk = ScoreTable.fit(scores, (1.0, 2.0), bins=2, prior=2.0)
    assert shrunk.given[1, 2][1].tolist() == [pytest.approx(0.125), pytest.approx(0.875)]


@given(
    st.lists(st.tuples(*[probabilities] * 3), min_size=1, max_size=60),
    st.integers(1, 8),
    st.floats(0, 10),
)
def test_a_fitted_table_is_a_markov_chain(
    scores: list[tuple[float, ...]], bins: int, prior: float
) -> None:
    table = ScoreTable.fit(scores, (1.0, 2.0), bins=bins, prior=prior)
    for (i, j), matrix in table.given.items():
        assert matrix.shape == (len(table.values[i]), len(table.values[j]))
        assert matrix.sum(axis=1) == pytest.approx(1.0)
    for stage, values in enumerate(table.values):
        assert 1 <= len(values) <= bins
        assert (np.diff(values) >= 0).all()
        assert {table.bin(stage, row[stage]) for row in scores} == set(range(len(values)))


@pytest.mark.parametrize(
    ("scores", "costs"),
    [
        ([[0.5, 0.5]], (1.0, 2.0)),
        (np.zeros((0, 2)), (1.0,)),
        ([[0.5, math.nan]], (1.0,)),
        ([[0.5, 0.5]], (-1.0,)),
    ],
)
def test_fit_refuses(scores: object, costs: tuple[float, ...]) -> None:
    with pytest.raises(UsageError):
        ScoreTable.fit(scores, costs)  # type: ignore[arg-type]


def test_fit_and_rule_refuse_numbers_out_of_range() -> None:
    with pytest.raises(UsageError, match="at least 1 bin"):
        ScoreTable.fit([[0.5, 0.5]], (1.0,), bins=0)
    table = ScoreTable.fit([[0.5, 0.5]], (1.0,))
    for worth in (-1.0, math.nan):
        with pytest.raises(UsageError, match="λ"):
            backward_induction(table, worth)


# ------------------------------------------------------------------------- independent stages

Boxes = dict[int, tuple[np.ndarray, np.ndarray]]


@st.composite
def boxes(draw: st.DrawFn) -> Boxes:
    level = st.integers(0, 8).map(lambda n: n / 8)
    made = {}
    for box in range(1, draw(st.integers(2, 4))):
        size = draw(st.integers(1, 3))
        values = draw(st.lists(level, min_size=size, max_size=size, unique=True))
        made[box] = (np.array(values), np.array(simplex(draw, size)))
    return made


prices = st.lists(st.integers(0, 10).map(lambda n: n / 20), min_size=4, max_size=4)


def best_search(best: float, closed: Boxes, price: dict[int, float]) -> float:
    """The value of the best adaptive search, by trying every order."""
    found = best
    for box, (values, mass) in closed.items():
        rest = {b: v for b, v in closed.items() if b != box}
        after = [best_search(max(best, v), rest, price) for v in values]
        found = max(found, -price[box] + float(np.dot(mass, after)))
    return found


def pandora(best: float, closed: Boxes, price: dict[int, float]) -> float:
    sigmas = {b: reservation_value(*closed[b], price[b]) for b in closed}
    box = next_box(best, sigmas)
    if box is None:
        return best
    rest = {b: v for b, v in closed.items() if b != box}
    values, mass = closed[box]
    after = [pandora(max(best, v), rest, price) for v in values]
    return -price[box] + float(np.dot(mass, after))


@settings(deadline=None)
@given(boxes(), prices)
def test_pandora_is_the_best_search(closed: Boxes, price: list[float]) -> None:
    costs = dict(enumerate(price))
    assert pandora(0.0, closed, costs) == pytest.approx(best_search(0.0, closed, costs))


@given(boxes(), st.floats(0, 2))
def test_a_reservation_value_just_pays(closed: Boxes, price: float) -> None:
    for values, mass in closed.values():
        sigma = reservation_value(values, mass, price)
        assert np.dot(mass, np.maximum(values - sigma, 0)) == pytest.approx(price, abs=1e-9)


def test_reservation_values_at_the_ends() -> None:
    values, mass = np.array([0.2, 0.8]), np.array([0.5, 0.5])
    assert reservation_value(values, mass, 0.0) == 0.8
    assert reservation_value(values, mass, math.inf) == -math.inf
    assert next_box(0.9, {1: 0.8, 2: 0.85}) is None
    assert next_box(0.8, {1: 0.8, 2: 0.85}) == 2
    assert next_box(0.0, {}) is None
    with pytest.raises(UsageError, match="sum to 1"):
        reservation_value(values, np.zeros(2), 1.0)


@given(boxes(), prices, st.floats(0, 1), st.sampled_from([0.0, 1.0, 3.0, 50.0, math.inf]))
def test_the_best_set_is_the_best_of_all(
    closed: Boxes, price: list[float], best: float, worth: float
) -> None:
    costs = dict(enumerate(price))
    found = best_set(best, closed, costs, worth)
    scale, paid = (1.0, 0.0) if math.isinf(worth) else (worth, 1.0)

    def value(chosen: tuple[int, ...]) -> float:
        outcomes = product(*(range(len(closed[b][0])) for b in chosen))
        expected = 0.0
        for outcome in outcomes:
            p = math.prod(float(closed[b][1][z]) for b, z in zip(chosen, outcome, strict=True))
            expected += p * max(
                best, *(float(closed[b][0][z]) for b, z in zip(chosen, outcome, strict=True)), best
            )
        return scale * expected - paid * sum(costs[b] for b in chosen)

    every = [s for n in range(len(closed) + 1) for s in combinations(sorted(closed), n)]
    assert found.value == pytest.approx(max(map(value, every)))
    assert value(found.stages) == pytest.approx(found.value)


def test_expected_best_of_nothing_is_the_best_so_far() -> None:
    assert expected_best(0.3, []) == 0.3
