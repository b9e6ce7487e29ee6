from __future__ import annotations

import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from outrider.errors import UsageError
from outrider.strategies.answering.questions import BUILT_IN, read_questions, sample_evenly
from outrider.tasks.generated import generate
from outrider.tasks.graders import normalise

ALGEBRA_SEED = 6


@pytest.fixture(scope="module")
def built_in():
    return read_questions(BUILT_IN)


def test_there_are_125_of_each_subject(built_in) -> None:
    assert Counter(question.fields["subject"] for question in built_in) == dict.fromkeys(
        ("algebra", "chinese", "geography", "history"), 125
    )


def test_every_question_has_a_short_answer_and_is_asked_once(built_in) -> None:
    assert all(question.error is None for question in built_in)
    assert all(question.gold and len(question.gold) <= 60 for question in built_in)
    assert len({question.text.casefold() for question in built_in}) == 500
    assert len({question.id for question in built_in}) == 500
    for question in built_in:
        assert set(question.fields) <= {"id", "subject", "level", "question", "answer", "aliases"}
        assert len({question.gold, *question.aliases}) == 1 + len(question.aliases)
        assert all(question.aliases)


def test_no_answer_stands_in_its_question(built_in) -> None:
    """But where asking needs it, as in completing an idiom's story."""
    telling = [
        question.id
        for question in built_in
        if question.fields["subject"] in ("geography", "history")
        and normalise(question.gold) in normalise(question.text)
    ]
    assert telling == []


def test_algebra_is_what_the_seed_gives(built_in) -> None:
    made = generate("algebra", count=125, levels="1-8", seed=ALGEBRA_SEED)
    packaged = [q for q in built_in if q.fields["subject"] == "algebra"]

    assert [(q.text, q.gold, q.fields["level"]) for q in packaged] == [
        (p.question, p.answer, p.level) for p in made
    ]


def residual(equation: str, x: Fraction, y: Fraction) -> Fraction:
    """What the left side of an equation has above the right one."""
    # 2x and 3(x + 1) are products, in Python too once they have a sign.
    written = re.sub(r"(?<=[\d)])(?=[xy(])", "*", equation.replace("^", "**"))
    left, right = (eval(side, {"x": x, "y": y}) for side in written.split("="))
    return left - right


def test_the_known_answers_of_algebra_solve_their_equations(built_in) -> None:
    nothing = Fraction(0)
    for question in built_in:
        if question.fields["subject"] != "algebra":
            continue
        equations = re.findall(r"[-+^()\dxy ]+ = [-+^()\dxy ]+", question.text)
        values = [Fraction(value) for value in question.gold.strip("()").split(", ")]
        if len(equations) == 2:
            assert [residual(equation, *values) for equation in equations] == [0, 0], question.id
            continue
        (equation,) = equations
        assert {residual(equation, value, nothing) for value in values} == {0}, question.id
        assert len(set(values)) == len(values)
        if "^2" in equation and len(values) == 1:  # a double root: its parabola's lowest point
            sides = [residual(equation, values[0] + step, nothing) for step in (-1, 1)]
            assert sides[0] == sides[1], question.id


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.json", '[{"question": "One?", "answer": 1}, "x", {"question": " "}]'),
        ("q.json", '{"questions": [{"question": "One?", "answer": 1}, null, {"answer": 1}]}'),
        ("q.jsonl", '{"question": "One?", "answer": 1}\n\n{"question": \n[]\n'),
        ("q.csv", 'question,answer\n"One?",1\nTwo?\n,2\n'),
        (
            "q.jsonl",
            '{"question": "One?", "answer": 1}\n{"question": "\\ud800"}\n'
            '{"question": "Two?", "aliases": 2}',
        ),
    ],
)
def test_a_question_that_cannot_be_read_is_kept_with_its_reason(
    tmp_path: Path, name: str, content: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    good, *bad = read_questions(path)

    assert (good.text, good.gold, good.id, good.error) == ("One?", "1", "1", None)
    assert len(bad) == 2
    for place, question in enumerate(bad, 2):
        assert question.text == ""
        assert f"Question {place}" in str(question.error)


def test_the_second_of_two_with_the_same_id_cannot_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    rows = [{"id": 2, "question": "a"}, {"question": "b"}, {"id": 2, "question": "c"}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    first, by_place, second = read_questions(path)

    assert (first.id, first.error) == ("2", None)
    # The second row has no id and stands at the place that the first one is called by.
    assert by_place.error == "Question 2 has the id '2' of question 1; give each its own."
    assert str(second.error).startswith("Question 3 has the id '2' of question 1")
    assert len({first.id, by_place.id, second.id}) == 3


@pytest.mark.parametrize(
    ("row", "gold"),
    [
        ({"question": " ", "answer": 7.0}, "7"),
        ({"question": "a", "answer": "Rome", "choices": ["x", "y"]}, "Rome"),
        ({"question": "a", "answer": "Rome\ud800"}, "Rome?"),
        ({"id": 1, "question": "a", "answer": "Rome"}, "Rome"),
        ({"id": 2}, None),
        ([], None),
    ],
)
def test_a_question_that_cannot_be_asked_keeps_its_known_answer(
    tmp_path: Path, row: object, gold: str | None
) -> None:
    path = tmp_path / "q.json"
    path.write_text(json.dumps([{"id": 1, "question": "b"}, row]))

    _, refused = read_questions(path)

    assert refused.error
    assert refused.gold == gold


def test_choices_are_part_of_what_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    path.write_text('[{"question": "Which?", "choices": ["x", "y"], "answer": "y"}]')
    (question,) = read_questions(path)

    assert question.text == "Which?\nA. x\nB. y"
    assert (question.gold, question.choices) == ("B", ("x", "y"))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("q.txt", "One?", "has to be one of"),
        ("q.json", "{", "is not valid"),
        ("q.jsonl", "\n", "holds no question"),
    ],
)
def test_a_file_that_is_none_is_an_error(
    tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=sentence):
        read_questions(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_questions(tmp_path / "absent.json")


def test_a_sample_is_even_over_subjects_and_spread_over_each(built_in) -> None:
    sample = sample_evenly(built_in, 10, "subject")

    counts = Counter(question.fields["subject"] for question in sample)
    assert sorted(counts.values()) == [2, 2, 3, 3]
    assert [q.index for q in sample] == sorted(q.index for q in sample)
    history = [q.index for q in sample if q.fields["subject"] == "history"]
    assert history[1] - history[0] > 30
    assert len(sample_evenly(built_in, 9999, "subject")) == 500
    with pytest.raises(UsageError, match="at least 1"):
        sample_evenly(built_in, 0, "subject")
