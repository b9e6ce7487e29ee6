from __future__ import annotations

import numpy as np
import pytest
from control.synthetic_steps import ListedCost, entries

from outrider.control.base import PassReport
from outrider.control.passes import LARGEST, PassTimes, only_decoding
from outrider.drafters.base import Observation
from outrider.tree import Tree
from outrider.types import Verdict

MEASURED = ListedCost([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])


def shape(times: PassTimes) -> np.ndarray:
    """1 to 8 rows, in passes over one."""
    ms = times.ms([(1, 1)], 7)
    return ms / ms[0]


def test_before_any_pass_the_curve_is_what_was_measured() -> None:
    times = PassTimes(MEASURED)
    assert times.ms([(1, 1)], 7) == pytest.approx(MEASURED.times)
    assert times.ms([(1, 3), (1, 2)], 3) == pytest.approx(MEASURED.times[4:])


def test_context_is_part_of_the_pass_and_of_a_further_row() -> None:
    cost = ListedCost([1.0, 1.1], row_ms=0.5)
    times = PassTimes(cost)
    assert times.row_ms(2000) == pytest.approx(1.0)
    assert times.ms([(2000, 2)])[0] == pytest.approx(cost.ms([(2000, 2)]))


def test_the_curve_reaches_as_far_as_it_is_asked() -> None:
    times = PassTimes(MEASURED)
    assert len(times.ms([(1, 1)], 1000)) == 1001
    times.observe([(1, LARGEST + 1)], 1e9)
    assert shape(times) == pytest.approx(MEASURED.times)


def test_the_correction_converges_whatever_sizes_are_seen() -> None:
    true = np.array([2.0, 2.1, 3.0, 3.1, 3.1, 3.1, 4.0, 4.1])
    times, random = PassTimes(MEASURED), np.random.default_rng(1)
    for _ in range(4000):
        rows = int(random.integers(1, 9))
        times.observe([(1, rows)], true[rows - 1] * random.uniform(0.97, 1.03))
    assert times.ms([(1, 1)], 7) == pytest.approx(true, rel=0.02)


def test_one_size_alone_says_nothing_of_the_proportions() -> None:
    times = PassTimes(MEASURED)
    for _ in range(1000):
        times.observe([(1, 1)], 1.5)
    assert times.ms([(1, 1)])[0] == pytest.approx(1.5, rel=1e-3)
    assert shape(times) == pytest.approx(MEASURED.times, rel=1e-9)


def test_sizes_that_were_not_seen_follow_those_that_were() -> None:
    """Rows cost a third of what was measured; the steps of the curve stay where they are."""
    measured = ListedCost([1.0, 1.6, 1.6, 1.6, 1.6, 2.2, 2.2, 2.2])
    times = PassTimes(measured)
    for _ in range(400):
        times.observe([(1, 1)], 1.0)
        times.observe([(1, 3)], 1.2)
    assert shape(times) == pytest.approx([1.0, 1.2, 1.2, 1.2, 1.2, 1.4, 1.4, 1.4], rel=0.05)


def test_a_machine_that_slows_down_slows_sizes_that_are_not_seen() -> None:
    times = PassTimes(MEASURED)
    for rows in (1, 8) * 200:
        times.observe([(1, rows)], MEASURED.times[rows - 1])
    for _ in range(300):
        times.observe([(1, 8)], 1.3 * MEASURED.times[7])
    assert shape(times)[7] == pytest.approx(MEASURED.times[7], rel=0.1)


def test_outliers_change_little() -> None:
    times, random = PassTimes(MEASURED), np.random.default_rng(2)
    for _ in range(2000):
        rows = int(random.integers(1, 9))
        hesitates = 20.0 if random.random() < 0.05 else 1.0
        times.observe([(1, rows)], MEASURED.times[rows - 1] * hesitates)
    assert shape(times) == pytest.approx(MEASURED.times, rel=0.03)


def test_one_outlier_at_the_start_is_no_verdict() -> None:
    times = PassTimes(MEASURED)
    times.observe([(1, 1)], 1000.0)
    times.observe([(1, 5)], MEASURED.times[4])
    assert shape(times) == pytest.approx(MEASURED.times, rel=0.03)


def test_passes_with_prompts_are_told_apart() -> None:
    first, second = entries(2)
    batch = [
        Observation(first, Tree.chain([1, 2], [0.5, 0.5]), Verdict((0,), 3)),
        Observation(second, Tree.chain([], []), Verdict((), 3)),
    ]

    def seen(*rows: int) -> bool:
        return only_decoding(batch, PassReport(tuple((9, m) for m in rows), 0.0, 1.0, 0.0))

    assert seen(3, 1)
    assert seen(3, 1, 1)  # a third sequence decodes plainly
    assert not seen(3, 1, 200)
    assert not seen(3, 200)


def test_proportions_are_found_within_a_hundred_passes_of_many_sizes() -> None:
    """A curve that was measured while the machine was busy says too little of further rows."""
    true = np.array([1.0 + 0.1 * max(m - 2, 0) for m in range(1, 25)])
    times, random = (
        PassTimes(ListedCost((1.0 + (true - 1.0) / 4).tolist())),
        np.random.default_rng(5),
    )
    for _ in range(100):
        rows = int(random.integers(8, 25))
        times.observe([(1, rows)], 3.0 * true[rows - 1] * random.uniform(0.95, 1.05))
    ms = times.ms([(1, 8)], 16)
    assert ms / ms[0] == pytest.approx(true[7:] / true[7], rel=0.06)
