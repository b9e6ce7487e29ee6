from __future__ import annotations

import heapq
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.strategies.answering.deadline import Deadline, cap_for
from outrider.types import Usage

LIMITS = {"long": 800, "short": 300}


@given(st.lists(st.integers(1, 900), min_size=1, max_size=40), st.floats(0.5, 1000))
def test_the_cap_brings_the_mean_to_the_target(lengths: list[int], target: float) -> None:
    cap = cap_for(lengths, target)

    capped = float(np.minimum(lengths, cap).mean())
    if np.mean(lengths) <= target:
        assert cap == float("inf")
    else:
        assert capped == pytest.approx(target)


def simulate(
    seconds: float, *, streams: int = 4, token_ms: float = 10.0, prompt_ms: float = 20.0
) -> tuple[float, list[tuple[str, int | None]]]:
    """A run in made-up time: answers of random length on so many streams.

    Returns:
        When the last answer ends, and each question's budget.
    """
    random = Random(5)
    deadline = Deadline(seconds, streams, LIMITS)
    deadline.seed(token_ms / streams, prompt_ms)
    queue = ["long"] * 60 + ["short"] * 60
    left = {"long": 60, "short": 60}
    free, budgets, end = [0.0] * streams, [], 0.0
    running: list[tuple[float, str, int]] = []
    for number, subject in enumerate(queue):
        now = heapq.heappop(free)
        while running and running[0][0] <= now:
            _, name, tokens = heapq.heappop(running)
            deadline.observe(
                name,
                Usage(
                    completion_tokens=tokens,
                    decode_ms=(tokens - 1) * token_ms,
                    first_token_ms=prompt_ms,
                ),
            )
        budget = deadline.budget(str(number), subject, left, now)
        left[subject] -= 1
        budgets.append((subject, budget))
        if budget is None:
            heapq.heappush(free, now)
            continue
        wanted = min(int(random.expovariate(1 / 200)) + 1, LIMITS[subject])
        tokens = min(wanted, budget)
        end = now + (prompt_ms + tokens * token_ms) / 1000
        heapq.heappush(free, end)
        heapq.heappush(running, (end, str(number), tokens))
    return max(free), budgets


def test_enough_time_changes_no_budget() -> None:
    end, budgets = simulate(1000)

    assert end < 1000
    assert all(budget == LIMITS[subject] for subject, budget in budgets)


@pytest.mark.parametrize("seconds", [40.0, 25.0, 12.0])
def test_less_time_is_kept_and_every_question_is_asked(seconds: float) -> None:
    end, budgets = simulate(seconds)

    assert end <= seconds
    assert end >= 0.75 * seconds  # what there is is used
    given_ = [budget for _, budget in budgets if budget is not None]
    assert len(given_) == len(budgets)
    assert any(budget < LIMITS[subject] for subject, budget in budgets if budget)


def test_no_time_is_no_budget() -> None:
    end, budgets = simulate(0.5)

    assert end <= 0.5
    assert budgets[-1][1] is None


def test_earlier_parts_of_a_run_count() -> None:
    budgets = []
    for now in (0.0, 9.0, 9.8):
        deadline = Deadline(10, 1, LIMITS)
        deadline.seed(10.0, 0.0)
        budgets.append(deadline.budget("1", "short", {"short": 1}, now))
    assert budgets == [300, 69, None]
