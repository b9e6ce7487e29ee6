from __future__ import annotations

import pytest

from outrider.drafters.calibration import MEMORY, Calibration, Count


def test_a_score_stands_for_itself_before_anything_was_observed() -> None:
    for score in (0.0, 0.3, 0.999, 1.0):
        assert Calibration().probability(1, 0.0, score) == pytest.approx(score)


def test_what_is_observed_takes_over() -> None:
    calibration = Calibration()
    for i in range(400):
        calibration.add(1, 0.0, 0.9, i % 4 == 0)
    assert calibration.probability(1, 0.0, 0.9) == pytest.approx(0.25, abs=0.02)
    assert calibration.probability(2, 0.0, 0.9) == pytest.approx(0.25, abs=0.02)


def test_bins_temperatures_and_ranks_are_told_apart() -> None:
    calibration = Calibration()
    for _ in range(100):
        calibration.add(1, 0.0, 0.9, False)
    assert calibration.probability(1, 0.0, 0.5) == pytest.approx(0.5)
    assert calibration.probability(1, 0.7, 0.9) == pytest.approx(0.9)
    assert calibration.probability(1, 0.0, 0.9, rank=1) == pytest.approx(0.9)


def test_a_request_goes_its_own_way_and_is_forgotten() -> None:
    calibration = Calibration()
    for _ in range(200):
        calibration.add(1, 0.0, 0.8, True)
        calibration.add(2, 0.0, 0.8, False)
    assert calibration.probability(1, 0.0, 0.8) > 0.9
    assert calibration.probability(2, 0.0, 0.8) < 0.1
    calibration.end(1)
    assert calibration.probability(1, 0.0, 0.8) == pytest.approx(0.5, abs=0.01)


def test_old_observations_fade() -> None:
    count = Count()
    for _ in range(int(MEMORY)):
        count.add(True)
    for _ in range(int(MEMORY)):
        count.add(False)
    assert count.judged <= MEMORY
    assert count.shrunk(0.0, 0.0) < 0.4
