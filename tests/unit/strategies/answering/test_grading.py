from __future__ import annotations

from typing import Any

import pytest
from strategies.answering.runs import Scripted, answered, city, fair

from outrider.strategies.answering.grading import Failure, compare, grade
from outrider.strategies.answering.judge import RUBRICS, ModelJudge, read_rubrics


@pytest.mark.parametrize(
    ("given", "by"),
    [
        ({"gold": "1/2", "answer": "x = 0.5"}, "mathematics"),
        ({"gold": "-2, 3", "answer": "x = 3 or x = -2"}, "mathematics"),
        ({"gold": "7", "aliases": ("VII", "8"), "answer": "8"}, "mathematics"),
        ({"gold": "Rome", "answer": "rome"}, "text"),
        ({"gold": "Rome", "aliases": ("Roma",), "answer": "It is Roma."}, "text"),
        ({"gold": "李白", "answer": None, "text": "作者是李白。"}, "text"),
        ({"gold": "B", "choices": ("red", "blue"), "answer": "blue"}, "choice"),
        ({"gold": "blue", "choices": ("red", "blue"), "answer": "(B)"}, "choice"),
    ],
)
def test_right_answers(given: dict[str, Any], by: str) -> None:
    graded = compare(answered(**given))

    assert (graded.correct, graded.by, graded.failure) == (True, by, None)


@pytest.mark.parametrize(
    ("given", "failure"),
    [
        ({"gold": "4", "answer": "5"}, Failure.WRONG_VALUE),
        ({"gold": "4", "answer": None, "text": "I wonder."}, Failure.NOT_FOUND),
        ({"gold": "4", "answer": None, "finish_reason": "length"}, Failure.CUT_OFF),
        ({"gold": "4", "answer": "2", "finish_reason": "length"}, Failure.CUT_OFF),
        ({"gold": "Rome", "answer": "Paris"}, Failure.WRONG_ANSWER),
        ({"gold": "Rome", "answer": "not Rome"}, Failure.WRONG_ANSWER),
        ({"gold": "A", "choices": ("red", "blue"), "answer": "B"}, Failure.WRONG_CHOICE),
        ({"finish_reason": "error", "error": "It did not fit."}, Failure.ERROR),
    ],
)
def test_failures_have_kinds(given: dict[str, Any], failure: Failure) -> None:
    graded = compare(answered(**given))

    assert graded.correct is False
    assert graded.failure is failure
    assert graded.reason


def test_a_right_answer_that_was_cut_off_is_right() -> None:
    assert compare(answered(3, finish_reason="length")).correct


def test_without_a_known_answer_nobody_can_tell() -> None:
    graded = compare(answered(gold=None))

    assert (graded.correct, graded.by, graded.failure) == (None, "none", None)


def test_the_judge_is_asked_only_about_words_that_differ() -> None:
    model = Scripted(fair)
    judge = ModelJudge(model, chat=True, rubrics=read_rubrics(RUBRICS))
    answers = [
        answered(1, answer="17"),
        city(2, "Lima", "Lima"),
        city(3, "Quito", "Neither Lima nor Cusco, but Quito, says the atlas"),
        city(4, "Oslo", "Bergen"),
        city(5, "Bonn", None, finish_reason="error", error="It did not fit.", text=""),
        city(6, "Riga", None, text=""),
    ]

    graded = grade(answers, judge)

    assert [one.correct for one in graded] == [False, True, True, False, False, False]
    assert [one.by for one in graded[2:4]] == ["judge", "judge"]
    assert graded[2].reason == "It was compared with Quito."
    assert graded[3].failure is Failure.REJECTED
    assert len(model.requests) == 2


def test_a_judge_without_a_verdict_leaves_the_comparison() -> None:
    judge = ModelJudge(Scripted(lambda _: "Well."), chat=True, rubrics={"default": "Be fair."})

    (graded,) = grade([city(1, "Oslo", "Bergen")], judge)

    assert (graded.correct, graded.by, graded.failure) == (False, "text", Failure.WRONG_ANSWER)
    assert "no verdict" in graded.reason
