from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.lab.frontier import Hull, draws, gain_over_mixing, gap_recovered, mean_interval

points = st.lists(
    st.tuples(st.integers(0, 50).map(float), st.integers(0, 50).map(lambda n: n / 50)),
    min_size=1,
    max_size=12,
)


def test_a_hull_mixes_its_corners() -> None:
    hull = Hull.of([1.0, 3.0, 2.0, 4.0], [0.2, 0.6, 0.3, 0.5])
    assert hull.cost.tolist() == [1.0, 3.0]
    assert hull.at([0.0, 2.0, 9.0]).tolist() == [0.2, pytest.approx(0.4), 0.6]
    assert Hull.of([1.0, 1.0], [0.2, 0.7]).quality.tolist() == [0.7]


@given(points, st.floats(0, 50))
def test_a_hull_is_the_best_mixture(known: list[tuple[float, float]], budget: float) -> None:
    cost, quality = zip(*known, strict=True)
    hull = Hull.of(cost, quality)
    assert (np.diff(hull.quality) > 0).all()
    if budget < min(cost):
        return
    best = max(q for c, q in known if c <= budget)
    for (c0, q0), (c1, q1) in ((a, b) for a in known for b in known):
        if c0 <= budget < c1:
            best = max(best, q0 + (q1 - q0) * (budget - c0) / (c1 - c0))
    assert hull.at(budget) == pytest.approx(best)


def test_the_area_is_the_mean_quality() -> None:
    hull = Hull.of([0.0, 10.0], [0.0, 1.0])
    assert hull.area(0.0, 10.0) == pytest.approx(0.5)
    # Beyond the dearest point more cost buys nothing.
    assert hull.area(0.0, 20.0) == pytest.approx(0.75)
    assert hull.area(5.0, 5.0) == pytest.approx(0.5)


def test_random_mixing_recovers_half_of_the_gap() -> None:
    weak, strong = (10.0, 0.4), (110.0, 0.8)
    mixing = Hull.of([10.0, 110.0], [0.4, 0.8])
    assert gap_recovered(mixing, weak, strong) == pytest.approx(0.5)
    at_once = Hull.of([10.0], [0.8])
    assert gap_recovered(at_once, weak, strong) == pytest.approx(1.0)


def test_what_is_asked_twice_is_drawn_together() -> None:
    weights = draws([0, 1, 0, 2], rounds=50)
    assert weights.shape == (50, 4)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert (weights[:, 0] == weights[:, 2]).all()


def test_intervals_narrow_with_more_questions() -> None:
    random = np.random.default_rng(0)
    widths = []
    for count in (50, 5000):
        found = mean_interval(random.random(count) < 0.3, draws(np.arange(count), 400))
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
        assert found.units == count
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 5


def test_gain_over_mixing() -> None:
    """A policy that knows which half of the questions the dear stage is needed for."""
    random = np.random.default_rng(1)
    hard = random.random(400) < 0.5
    costs = np.tile([1.0, 9.0], (400, 1))
    right = np.stack([~hard, np.ones(400, bool)], axis=1).astype(float)
    cost = np.where(hard, 9.0, 1.0)
    weights = draws(np.arange(400), 300)
    found = gain_over_mixing(cost, np.ones(400), costs, right, weights)
    assert found.value == pytest.approx(0.25, abs=0.05)
    assert found.low is not None
    assert found.low > 0.15
    mixed = np.where(random.random(400) < 0.5, 0, 1)
    rows = np.arange(400)
    found = gain_over_mixing(costs[rows, mixed], right[rows, mixed], costs, right, weights)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
