from __future__ import annotations

import heapq
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.strategies.answering.deadline import Deadline, Lengths
from outrider.types import Usage

LIMITS = {"long": 800, "short": 300}
MEANS = {"long": 200.0, "short": 200.0}


def lengths_of(whole: list[int], cut: list[int] | None = None, limit: int = 900) -> Lengths:
    lengths = Lengths(limit)
    for length in whole:
        lengths.add(length, cut=False)
    for length in cut or []:
        lengths.add(length, cut=True)
    return lengths


@given(st.lists(st.integers(1, 900), min_size=1, max_size=40), st.floats(0.5, 1000))
def test_the_cap_brings_the_mean_to_the_target(whole: list[int], target: float) -> None:
    lengths = lengths_of(whole)
    cap = lengths.cap_for(target)

    assert lengths.mean == pytest.approx(np.mean(whole))
    if np.mean(whole) > target:
        assert np.minimum(whole, cap).mean() >= target - 1e-9
        assert np.minimum(whole, cap - 1).mean() < target + 1e-9


@given(st.lists(st.integers(1, 900), min_size=1, max_size=40), st.integers(0, 900))
def test_what_remains_is_the_mean_of_those_that_said_as_much(whole: list[int], said: int) -> None:
    longer = [length for length in whole if length > said]
    expected = np.mean(longer) - said if longer else 900 - said

    assert lengths_of(whole).remaining(said, 900) == pytest.approx(expected)


def test_a_cut_answer_would_have_been_longer() -> None:
    assert lengths_of([], [15] * 9).mean == 900
    # Of the two that outlast 100, one ends at 300; so does a half of those that were cut before.
    assert lengths_of([100, 300], [100, 500]).mean == pytest.approx(
        (100 * 1 + 300 * 1.5 + 900 * 1.5) / 4
    )
    assert lengths_of([900], []).mean == lengths_of([], [900]).mean == 900


def simulate(
    seconds: float,
    *,
    streams: int = 4,
    token_ms: float = 10.0,
    prompt_ms: float = 20.0,
    mean: dict[str, float] = MEANS,
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
        wanted = min(int(random.expovariate(1 / mean[subject])) + 1, LIMITS[subject])
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


def test_budgets_stay_even_where_every_answer_is_cut() -> None:
    """Answers that only a limit ends must not make one another's budgets smaller and smaller."""
    end, budgets = simulate(60, mean={"long": 100.0, "short": 1e9})

    assert end <= 60
    short = [budget for subject, budget in budgets if subject == "short" and budget]
    assert min(short) > 75
    assert np.mean(short) > 100


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
