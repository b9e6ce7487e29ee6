from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tasks.answer_shapes import RIGHT, WRONG

from outrider.tasks import Problem, extract_answer
from outrider.tasks.graders import grade_mathematics


def problem(answer: str) -> Problem:
    return Problem(id="1", question="?", answer=answer)


def test_there_are_a_hundred_shapes() -> None:
    assert len(set(RIGHT)) >= 100


@pytest.mark.parametrize(("text", "gold"), RIGHT)
def test_right_answers_are_found_right(text: str, gold: str) -> None:
    grade = grade_mathematics(problem(gold), text)

    assert grade.correct, grade


@pytest.mark.parametrize(("text", "gold"), WRONG)
def test_wrong_answers_are_found_wrong(text: str, gold: str) -> None:
    assert not grade_mathematics(problem(gold), text).correct


RUNGS = (
    "Janet has 7 eggs. ",
    "Now 3 + 3 = 6 ",
    "Therefore, it is 5. ",
    "Answer: 4. ",
    "Final Answer: 3. ",
    r"\boxed{2} ",
)


@pytest.mark.parametrize("rung", range(len(RUNGS)))
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_highest_rung_of_a_text_counts_wherever_it_stands(rung: int, mirrored: bool) -> None:
    lines = RUNGS[: rung + 1]

    text = (" " if rung == 2 else "\n\n").join(reversed(lines) if mirrored else lines)

    assert extract_answer(text) == str(7 - rung)


def test_a_conclusion_with_equations_below_is_a_step_on_the_way() -> None:
    assert extract_answer("Therefore, she has 5 left.\n5 * 3 = 15") == "15"
    assert extract_answer("Therefore, she has 5 left.\nCheck: 5 + 3 = 8") == "5"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The capital of France is Paris.", None),
        (
            "**Answer:** The Treaty of Westphalia, signed in 1648.",
            "The Treaty of Westphalia, signed in 1648",
        ),
        ("Answer: St. Petersburg", "St. Petersburg"),
        ("Therefore, the river is the Nile.", "the Nile"),
        ("答案：李白。", "李白"),
    ],
)
def test_prose_is_not_mined_for_numbers(text: str, answer: str | None) -> None:
    assert extract_answer(text, numbers=False) == answer


@given(st.text(st.sampled_from("x=3 \\boxed{}$*.:\nAnswer")))
@example("\\boxed{")
@example("Answer:" * 3)
@example("=" * 30)
def test_any_text_has_an_answer_or_none(text: str) -> None:
    answer = extract_answer(text)

    assert answer is None or answer.strip()
