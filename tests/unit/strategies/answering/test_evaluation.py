from __future__ import annotations

from pathlib import Path

import pytest
from strategies.answering.runs import Scripted, answered, city, fair, write

from outrider.errors import UsageError
from outrider.strategies.answering.evaluation import Failure, evaluate, read_run
from outrider.strategies.answering.judge import ModelJudge
from outrider.strategies.answering.page import refusals, render
from outrider.strategies.answering.record import Answered

TOWNS = [city(n, f"Town{n}", f"well, Town{n}, or so they say") for n in range(10, 20)]


def test_figures_by_subject(tmp_path: Path) -> None:
    answers = [
        answered(1),
        answered(2, answer="17", seconds=4.0),
        city(3, "Lima", "Lima", usage={}),
        city(4, "Oslo", None, text="", finish_reason="length"),
        city(5, None, "Bonn"),
    ]

    (found,) = evaluate([read_run(write(tmp_path / "a.jsonl", answers, total_seconds=3.0))])

    algebra, geography, overall = found.subjects
    assert (algebra.correct, algebra.questions, algebra.accuracy) == (1, 2, 0.5)
    assert (geography.correct, geography.questions) == (1, 2)
    assert (overall.correct, overall.questions) == (2, 4)
    assert (algebra.seconds, overall.seconds) == (3.0, 2.4)
    assert algebra.acceptance_rate == 0.75
    assert (overall.draft_tokens, overall.accepted_tokens) == (32, 24)
    assert found.run.total_seconds == 3.0
    assert {kind: len(group) for kind, group in found.failures.items()} == {
        Failure.WRONG_VALUE: 1,
        Failure.CUT_OFF: 1,
    }
    assert found.score.value == pytest.approx(1.0)


def test_runs_beside_one_another(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", [answered(n) for n in range(4)], total_seconds=8.0)
    fast = write(
        tmp_path / "fast.jsonl",
        [answered(n, answer=str(n + n % 2)) for n in range(4)],
        total_seconds=2.0,
    )

    first, second = evaluate([read_run(good), read_run(fast)])

    assert (first.overall.accuracy, second.overall.accuracy) == (1.0, 0.5)
    assert first.score.value == pytest.approx(0.6 + 0.4 * 0.25)
    assert second.score.value == pytest.approx(0.6 * 0.5 + 0.4)


def test_a_run_without_facts_is_compared_by_its_questions_times(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [answered(1, seconds=3.0)], total_seconds=0.5)
    two = write(tmp_path / "two.jsonl", [answered(1, seconds=6.0)])

    first, second = evaluate([read_run(one), read_run(two)])

    assert (first.score.latency, second.score.latency) == (1.0, 0.5)
    assert second.run.total_seconds is None


def test_questions_that_a_run_left_out_count_as_wrong(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.jsonl", [answered(n) for n in range(4)], total_seconds=8.0)
    part = write(
        tmp_path / "part.jsonl",
        [answered(n) for n in range(2)],
        total_seconds=4.0,
        more={"unanswered": ["q3"]},
    )

    _, second = evaluate([read_run(whole), read_run(part)])
    (alone,) = evaluate([read_run(part)])

    assert second.run.unanswered == ("q3", "q2")
    assert second.overall.accuracy == 0.5
    assert second.score.latency == 1.0
    assert (alone.overall.correct, alone.overall.questions) == (2, 3)


def refused(number: int, gold: str | None) -> Answered:
    return answered(
        number,
        question="",
        subject="none",
        gold=gold,
        answer=None,
        text="",
        finish_reason="error",
        error=f"Question {number} has no question.",
        usage={},
    )


def test_a_question_that_could_not_be_asked_counts_where_its_answer_is_known(
    tmp_path: Path,
) -> None:
    answers = [answered(1), refused(2, "Rome"), refused(3, "4"), refused(4, None)]
    run = read_run(write(tmp_path / "a.jsonl", answers))

    (found,) = evaluate([run], judge(fair))

    assert (found.overall.correct, found.overall.questions) == (1, 3)
    assert [one.answered.id for one in found.failures[Failure.ERROR]] == ["q2", "q3"]
    assert [answer.id for answer in found.left_out] == ["q4"]
    assert not found.agreement  # there is no question that the judge could be shown
    sentences = refusals(found)
    assert sentences == (
        "2 questions ended in an error: counted as not right. "
        "1 question ended in an error with no known answer: not in the accuracy."
    )
    assert sentences in render([found])


def test_only_runs_of_the_same_questions_are_compared(tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.jsonl", [answered(1)])
    other = write(tmp_path / "other.jsonl", [answered(2)])
    changed = write(tmp_path / "changed.jsonl", [answered(1, question="What is love?")])

    with pytest.raises(UsageError, match="answers other questions than the runs beside it; comp"):
        evaluate([read_run(mine), read_run(other)])
    with pytest.raises(UsageError, match="other questions than the runs beside it, q1 for one"):
        evaluate([read_run(mine), read_run(changed)])


def test_files_that_are_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no answers; `outrider answer"):
        read_run(write(tmp_path / "empty.jsonl", []))
    with pytest.raises(UsageError, match="answers a question twice"):
        read_run(write(tmp_path / "twice.jsonl", [answered(1), answered(1)]))
    with pytest.raises(UsageError, match=r"absent\.jsonl cannot be read"):
        read_run(tmp_path / "absent.jsonl")


def judge(says: object) -> ModelJudge:
    return ModelJudge(Scripted(says), chat=True, rubrics={"default": "Be fair."})


def test_a_trusted_judge_decides_and_another_is_withheld(tmp_path: Path) -> None:
    run = read_run(write(tmp_path / "a.jsonl", TOWNS))
    kind = judge(lambda asked: "Verdict: right")

    (trusted,) = evaluate([run], judge(fair))
    (withheld,) = evaluate([run], kind)

    assert (trusted.overall.correct, trusted.overall.judged) == (10, 10)
    assert trusted.withheld == ()
    assert (withheld.overall.correct, withheld.overall.judged) == (0, 0)
    assert withheld.withheld == ("geography",)
    assert len(kind._generator.requests) == 20  # the probes alone


def test_the_page_shows_failures_and_interprets_nothing(tmp_path: Path) -> None:
    answers = [
        answered(1, answer="17", text="<script>alert('no')</script> {{ 7 * 7 }}"),
        city(2, "Lima & Callao", "<b>Quito</b>"),
        *TOWNS,
    ]
    run = read_run(
        write(tmp_path / "a.jsonl", answers, total_seconds=3.0, more={"unanswered": ["q99"]})
    )
    other = read_run(write(tmp_path / "b.jsonl", answers))

    page = render(evaluate([run, other], judge(lambda asked: "Verdict: right")))

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert "Lima &amp; Callao" in page
    assert "wrong value" in page
    assert "geography (0.00)." in page
    assert "q99" in page
    assert "Beside other runs" in page
    assert "prefers-color-scheme: dark" in page
    assert "http" not in page.partition("<body>")[0]


def test_the_page_of_a_run_without_failures(tmp_path: Path) -> None:
    page = render(evaluate([read_run(write(tmp_path / "a.jsonl", [answered(1)]))]))

    assert "<p>None.</p>" in page
    assert "no other run" in page
