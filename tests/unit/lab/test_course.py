"""What reports conclude: where speculation helps, where it hurts, and where nothing is decided."""

from __future__ import annotations

import pytest
from lab.toy_runs import timed, toy_run

from outrider import registry
from outrider.lab import report
from outrider.lab.course import QUESTIONS, answered
from outrider.lab.run_folder import RunFolder

DRAFTERS = ("ngram", "recycle")
ARMS = (*DRAFTERS, *(f"{drafter}, fixed 4" for drafter in DRAFTERS))
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = tmp_path_factory.mktemp("course") / "run"
    return toy_run(path, "speculation", "k-sweep", prompts=13, drafters=DRAFTERS)


def concluded(run: RunFolder, factor: float, noise: float) -> tuple[str, dict[str, str | None]]:
    """The advice and the answers of a report over made-up times."""
    arms = [*ARMS, *(f"K={length}" for length in LENGTHS)]
    timed(run, 1, dict.fromkeys(arms, factor), noise=noise)
    _, chapters = report.write(run)
    told = {k: text for chapter in chapters for k, text in chapter.answers.items()}
    advice = " ".join(sentence for chapter in chapters for sentence in chapter.advice)
    return advice, {answer.question.key: answer.text for answer in answered(told)}


def test_where_it_helps(run: RunFolder) -> None:
    advice, answers = concluded(run, 0.5, 0.02)

    assert advice.startswith("Speculate with ")
    assert "With drafts of one length take K = " in advice
    assert "is not told apart" in advice
    assert " is 2.0" in (answers["speedup"] or "")
    assert "times as fast as plain decoding" in (answers["length"] or "")


def test_where_it_hurts(run: RunFolder) -> None:
    advice, answers = concluded(run, 2.0, 0.02)

    assert advice.startswith("Do not speculate here: even the best, ")
    assert "K = " not in advice
    assert "is slower than plain decoding: 0.5" in (answers["speedup"] or "")


def test_where_nothing_is_decided(run: RunFolder) -> None:
    advice, answers = concluded(run, 1.0, 1.0)

    assert advice.startswith("These measurements do not decide whether speculation helps")
    assert "is undecided" in (answers["speedup"] or "")


def test_questions_that_nothing_answers_name_their_experiment(run: RunFolder) -> None:
    concluded(run, 0.5, 0.02)
    markdown = (run.path / "report.md").read_text(encoding="utf-8")
    html = (run.path / "report.html").read_text(encoding="utf-8")

    assert markdown.count("\n12. **How much more memory") == 1
    assert "Not measured; `outrider lab run batch` would tell." in markdown
    assert "<code>outrider lab run temperature</code> would tell" in html
    assert "outrider lab run k-sweep` would" not in markdown
    assert html.count("<li><strong>") == len(QUESTIONS) == 12


def test_every_question_has_its_experiment() -> None:
    assert {question.experiment for question in QUESTIONS} <= set(registry.names("experiments"))
    assert len({question.key for question in QUESTIONS}) == 12


def test_the_course_has_its_seven_parts_empty() -> None:
    text = report.course(None)

    assert [f"## Part {n}: " in text for n in range(1, 8)] == [True] * 7
    assert "| 8 | _______ | _______ | _______ |" in text
    assert "**Question 6: Why does doubling K not double the speed?** _______" in text
    # Every question is asked once, in some part.
    assert text.count("**Question ") == 12


def test_the_course_is_filled_from_a_run(run: RunFolder) -> None:
    concluded(run, 0.5, 0.02)

    text = report.course(run)

    (row,) = [line for line in text.splitlines() if line.startswith("| 8 |")]
    assert "_" not in row
    assert row.split("|")[4].strip().startswith(("1.9", "2.0"))
    assert "| 0.7 | _______ | _______ | _______ |" in text
    assert "Part 4: Temperature" in text
