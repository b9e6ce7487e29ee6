from __future__ import annotations

from pathlib import Path

import pytest
from strategies.answering.runs import Scripted, answered, city, fair

from outrider.errors import UsageError
from outrider.strategies.answering.judge import (
    RUBRICS,
    ModelJudge,
    agreement,
    probe,
    read_opinion,
    read_rubrics,
)

CITIES = [city(n, f"Town{n:02}", "somewhere") for n in range(30)]


@pytest.mark.parametrize(
    ("text", "right", "reason"),
    [
        ("It names the same river.\nVerdict: right", True, "It names the same river."),
        ("**Verdict:** Wrong", False, "the judge says wrong"),
        (
            "Verdict: right, at first.\nNo.\nVerdict: incorrect",
            False,
            "Verdict: right, at first. No.",
        ),
        ("The answer is right.", None, "The answer is right."),
        ("", None, ""),
    ],
)
def test_verdicts_are_read(text: str, right: bool | None, reason: str) -> None:
    opinion = read_opinion(text)

    assert (opinion.right, opinion.reason) == (right, reason)


@pytest.mark.parametrize("chat", [True, False])
def test_the_judge_sees_rubric_question_reference_and_answer(chat: bool) -> None:
    model = Scripted(fair)
    rubrics = {"default": "Be fair.", "geography": "Spelling is free."}

    ModelJudge(model, chat=chat, rubrics=rubrics).opinions(
        [city(1, "Lima", "Limah"), city(2, "Oslo", None, text="long " * 400 + "Oslo it is")]
    )

    for request, gold in zip(sorted(model.requests, key=str), ("Lima", "Oslo"), strict=True):
        messages = request.messages or ()
        everything = request.prompt or "\n".join(m.content for m in messages)
        assert "Spelling is free." in everything
        assert f"Reference: {gold}\nAnswer: " in everything
        assert request.sampling.temperature == 0
        assert len(everything) < 3000


def test_a_fair_judge_agrees_with_known_answers_and_a_kind_one_does_not() -> None:
    rubrics = read_rubrics(RUBRICS)
    found = agreement(ModelJudge(Scripted(fair), chat=True, rubrics=rubrics), CITIES)
    kind = agreement(
        ModelJudge(Scripted(lambda _: "Verdict: right"), chat=True, rubrics=rubrics), CITIES
    )
    mute = agreement(ModelJudge(Scripted(lambda _: ""), chat=True, rubrics=rubrics), CITIES)

    assert found["geography"].kappa == 1
    assert found["geography"].trusted
    assert found["geography"].agreed == len(found["geography"].known) == 24
    assert kind["geography"].kappa == 0
    assert not kind["geography"].trusted
    assert mute["geography"].undecided == 24
    assert not mute["geography"].trusted


def test_probes_are_right_and_wrong_in_equal_number() -> None:
    probes = probe(CITIES, seed=3)

    assert sum(right for _, right in probes) * 2 == len(probes) == 24
    for answer, right in probes:
        assert (answer.gold in answer.answer.removesuffix(".").split()) is right
    assert probe(CITIES, seed=3) == probes
    assert probe(CITIES, seed=4) != probes


def test_mathematics_needs_no_judge() -> None:
    judge = ModelJudge(Scripted(fair), chat=True, rubrics={"default": "Be fair."})

    assert agreement(judge, [answered(n) for n in range(5)]) == {}


def test_a_judge_tried_on_one_question_is_not_trusted() -> None:
    judge = ModelJudge(Scripted(fair), chat=True, rubrics={"default": "Be fair."})

    assert not agreement(judge, CITIES[:1])["geography"].trusted


def test_rubrics_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('geography = "Only capitals."')

    rubrics = read_rubrics(path)

    assert rubrics["geography"] == "Only capitals."
    assert rubrics["default"] == read_rubrics(RUBRICS)["default"]
    for text, message in (
        ("x =", "not valid TOML"),
        ("x = 3", "rubric of 'x' .* has to be a text"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            read_rubrics(path)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_rubrics(tmp_path / "absent.toml")
