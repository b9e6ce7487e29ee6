from __future__ import annotations

import pytest

from outrider.errors import UsageError
from outrider.tasks import Problem
from outrider.tasks.graders import (
    GRADERS,
    grade_choice,
    grade_number,
    grade_text,
    grader_of,
    is_mathematics,
    names_one,
)

RIVERS = Problem(
    id="1",
    question="Which river is the longest?",
    answer="C",
    choices=("The Rhine", "The Danube", "The Nile", "The Thames"),
)


@pytest.mark.parametrize(
    "text",
    [
        "C",
        "C.",
        "(C)",
        "C) The Nile",
        "**C**",
        "Final Answer: C",
        "The answer is (C).",
        "Answer: **C. The Nile**",
        r"So $\boxed{C}$",
        r"\boxed{\text{C}}",
        "Final Answer: The Nile",
        "The Danube is long, but the Nile is longer.\n\nFinal Answer: Option C",
        "答案：C",
        "A is wrong, B is wrong. I would choose **C** here.",
    ],
)
def test_the_right_choice(text: str) -> None:
    assert grade_choice(RIVERS, text).correct


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Final Answer: B", "B"),
        ("A", "A"),
        ("Final Answer: The Danube", "B"),
        ("A good question! I cannot tell.", None),
        ("Certainly a river.", None),
        ("Final Answer: E", None),
        ("", None),
    ],
)
def test_a_wrong_choice_or_none(text: str, letter: str | None) -> None:
    grade = grade_choice(RIVERS, text)

    assert not grade.correct
    assert grade.answer == letter


def test_numbers_need_no_library() -> None:
    eggs = Problem(id="eggs", question="How many?", answer="1,200")

    assert grade_number(eggs, "She has 1200 eggs.").correct
    assert not grade_number(eggs, "Final Answer: 12 dozen").correct
    assert grade_number(eggs, "I cannot say.").answer is None


def test_a_known_answer_that_is_no_number_cannot_be_graded_as_one() -> None:
    with pytest.raises(UsageError, match=r"problem 7 is no number: 'blue'"):
        grade_number(Problem(id="7", question="?", answer="blue"), "Answer: 3")


def test_text_is_compared_without_its_dress() -> None:
    city = Problem(
        id="1", question="?", answer="Saint Petersburg", data={"aliases": ["St. Petersburg"]}
    )
    for text in (
        "saint petersburg",
        "Answer: *St. Petersburg*",
        "After long thought.\n\nFinal Answer: St Petersburg.",
    ):
        assert grade_text(city, text).correct, text
    assert grade_text(Problem(id="2", question="?", answer="José"), "Jose").correct
    assert not grade_text(city, "Answer: Moscow").correct
    assert grade_text(city, "It is\nhard to tell.").answer is None


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("the Nile River", True),
        ("It is the Nile.", True),
        ("It is not the Nile.", False),
        ("It isn't the Nile, I think", False),
        ("The Nile or the Amazon", False),
        ("The Nilea", False),
        ("", False),
        ("尼罗河是最长的河", True),
        ("不是尼罗河", False),
        ("The Nile " + "flows " * 20, False),
    ],
)
def test_a_short_sentence_gives_a_name(answer: str, right: bool) -> None:
    assert names_one(answer, ["Nile", "尼罗河"]) is right


@pytest.mark.parametrize(
    ("answer", "right"), [("3个", True), ("由3个木字组成", True), ("13个", False)]
)
def test_figures_stand_beside_chinese_without_spaces(answer: str, right: bool) -> None:
    assert names_one(answer, ["三", "3"]) is right


@pytest.mark.parametrize(
    ("answer", "mathematical"),
    [
        ("42", True),
        (r"\frac{1}{2}", True),
        ("x", True),
        ("a + b", True),
        (r"\sqrt{2}, -\sqrt{2}", True),
        ("Paris", False),
        ("1789 revolution", False),
        ("李白", False),
    ],
)
def test_which_answers_are_mathematics(answer: str, mathematical: bool) -> None:
    assert is_mathematics(answer) is mathematical


def test_a_problem_finds_its_grader() -> None:
    program = {"test": "def check(f): pass", "entry_point": "f"}

    assert grader_of(RIVERS) is GRADERS["choice"]
    assert grader_of(Problem(id="1", question="?", answer="3")) is GRADERS["mathematics"]
    assert grader_of(Problem(id="1", question="?", answer="Rome")) is GRADERS["text"]
    assert grader_of(Problem(id="1", question="?", answer=None, data=program)) is GRADERS["program"]


def test_what_nobody_knows_cannot_be_graded() -> None:
    with pytest.raises(UsageError, match="Problem 3 has no known answer"):
        grade_text(Problem(id="3", question="?", answer=None), "Answer: yes")
