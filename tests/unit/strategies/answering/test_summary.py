from __future__ import annotations

import pytest

from outrider.strategies.answering.checks import check
from outrider.strategies.answering.record import Answered
from outrider.strategies.answering.run import Warmed
from outrider.strategies.answering.summary import sharing, summarise

USAGE = {
    "prompt_tokens": 100,
    "cached_tokens": 80,
    "first_token_ms": 30.0,
    "queue_ms": 10.0,
    "max_tokens": 50,
    "draft_tokens": 10,
    "accepted_tokens": 4,
}


def answered(subject: str, **values: object) -> Answered:
    given: dict[str, object] = {
        "id": "1",
        "question": "Hm?",
        "answer": "x",
        "text": "x",
        "seconds": 2.0,
        "tokens": 10,
        "finish_reason": "stop",
        "profile": "p",
        "usage": USAGE,
    }
    return Answered(subject=subject, **{**given, **values})  # type: ignore[arg-type]


def test_subjects_are_summed_in_the_profiles_order_and_all_comes_last() -> None:
    answers = [
        answered("tea", finish_reason="length", seconds=4.0),
        answered("coffee", usage={**USAGE, "max_tokens": 20, "draft_tokens": 0}),
        answered("tea", answer=None),
        answered("none", error="bad", answer=None, finish_reason="error", usage={}, tokens=0),
    ]
    coffee, tea, none, every = summarise(answers, {"coffee": 50, "milk": 50, "tea": 50})

    assert [s.name for s in (coffee, tea, none, every)] == ["coffee", "tea", "none", "all"]
    assert (tea.questions, tea.found, tea.cut, tea.seconds, tea.tokens) == (2, 1, 1, 3.0, 20)
    assert (tea.cached_share, tea.prefill_ms, tea.acceptance_rate) == (0.8, 20.0, 0.4)
    assert (coffee.shortened, coffee.acceptance_rate, tea.shortened) == (1, None, 0)
    assert (none.failed, none.cached_share, none.prefill_ms) == (1, 0.0, 0.0)
    assert (every.questions, every.failed, every.prompt_tokens) == (4, 1, 300)


def test_sharing_counts_the_prefix_once() -> None:
    answers = [answered("tea"), answered("tea"), answered("coffee")]
    found = sharing(answers, [Warmed("tea", 90, 0, 45.0)])

    assert found is not None
    assert (found.prompt_tokens, found.computed_tokens) == (200, 90 + 2 * 20)
    assert (found.warm_ms, found.alone_ms) == (45.0, pytest.approx(100.0))
    assert sharing(answers, []) is None


def outcome(**values: object) -> dict[str, bool]:
    given = {
        "questions": 500,
        "answered": 500,
        "total_seconds": 7200.0,
        "accuracy": 0.1,
        "floor": 0.1,
        "attempts": [],
    }
    return {one.name: one.passed for one in check(**{**given, **values})}  # type: ignore[arg-type]


def test_every_condition_can_fail() -> None:
    assert all(outcome().values())
    for failing, values in {
        "offline": {"attempts": ["socket.connect x"]},
        "complete": {"answered": 499},
        "accuracy": {"accuracy": 0.099},
    }.items():
        assert [name for name, passed in outcome(**values).items() if not passed] == [failing]
    assert outcome(accuracy=None)["accuracy"] is False
    slow = outcome(total_seconds=7201.0)
    assert (slow["mean"], slow["total"]) == (False, False)
    assert outcome(questions=10, answered=10, total_seconds=145.0)["mean"] is False
    assert outcome(questions=1000, answered=1000, total_seconds=7201.0)["total"] is False
