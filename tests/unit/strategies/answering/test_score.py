from __future__ import annotations

import pytest

from outrider.strategies.answering.score import scores


def test_the_score_is_relative_to_the_best_at_each() -> None:
    first, second = scores([0.6, 0.3], [10.0, 5.0])

    assert (first.accuracy, first.latency) == (1.0, 0.5)
    assert first.value == pytest.approx(0.6 + 0.4 * 0.5)
    assert second.value == pytest.approx(0.6 * 0.5 + 0.4)


def test_alone_and_without_a_right_answer() -> None:
    assert scores([0.4], [3.0])[0].value == pytest.approx(1.0)
    assert scores([0.0, 0.0], [3.0, 6.0])[1].value == pytest.approx(0.2)
