from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from strategies.answering.scripted import Scripted, final

from outrider.errors import CapacityError, EndpointError, OutriderError, UsageError
from outrider.sampling import derive_seed
from outrider.strategies.answering.pipeline import Outcome, answer_file, known_facts
from outrider.strategies.answering.profile import Profile, Subject
from outrider.strategies.answering.profile_file import load_profile
from outrider.strategies.answering.questions import Question
from outrider.strategies.answering.record import read_answers
from outrider.strategies.answering.recording import extract
from outrider.strategies.answering.run import (
    Answered,
    Run,
    Settings,
    Unanswered,
    Warmed,
)
from outrider.types import Completion, Request

PROFILE = """
[assign]
by = ["field"]
[subjects.one]
knowledge = "k.md"
max_tokens = 40
sampling = { temperature = 0.3 }
[subjects.two]
prompt = "Two: {question}"
max_tokens = 20
"""


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    (tmp_path / "k.md").write_text("Known.", encoding="utf-8")
    (tmp_path / "p.toml").write_text(PROFILE, encoding="utf-8")
    return load_profile(str(tmp_path / "p.toml"))


def questions(*subjects: str) -> list[Question]:
    return [
        Question(index=i, id=f"q{i}", text=f"What is {i}?", gold=str(i), fields={"subject": s})
        for i, s in enumerate(subjects)
    ]


def number(asked: str) -> str:
    return final(asked.removeprefix("Two: ").removeprefix("What is ").removesuffix("?"))


def run(
    generator: Scripted, profile: Profile, asked: list[Question], output: Path, **settings: object
) -> Outcome:
    return answer_file(
        generator,
        profile,
        asked,
        output,
        Settings(**{"streams": 3, **settings}),  # type: ignore[arg-type]
        known_facts(profile, "m", speculation=True, machine={}, versions={}),
        fingerprint="f",
    )


def test_every_question_is_answered_once_and_written(profile: Profile, tmp_path: Path) -> None:
    asked = questions(*["one", "two"] * 10)
    generator = Scripted(number)
    outcome = run(generator, profile, asked, tmp_path / "a.jsonl")

    written = read_answers(tmp_path / "a.jsonl")
    assert sorted(a.id for a in written) == sorted(q.id for q in asked)
    assert [a.id for a in outcome.answers] == [q.id for q in asked]
    assert all(a.answer == a.gold and a.error is None for a in outcome.answers)
    assert {a.profile for a in written} == {"p"}
    assert outcome.unanswered == ()
    assert outcome.facts.total_seconds == pytest.approx(outcome.seconds)


def test_a_subjects_prefix_is_computed_before_its_questions_are_asked(
    profile: Profile, tmp_path: Path
) -> None:
    generator = Scripted(number)
    outcome = run(generator, profile, questions(*["two", "one"] * 5), tmp_path / "a.jsonl")

    warm = [i for i, r in enumerate(generator.requests) if r.max_tokens == 1]
    two = ["Two:" in generator.asked(r) for r in generator.requests]
    assert [two[i] for i in warm] == [False, True]
    assert warm[0] == 0
    assert not any(two[: warm[1]])
    assert [w.subject for w in outcome.warmed] == ["one", "two"]
    assert outcome.facts.more["sharing"]["prompt_tokens"] == 1000
    assert outcome.facts.more["sharing"]["computed_tokens"] == 2 * 10 + 10 * 10


def test_each_question_has_the_seed_of_its_place_and_its_subjects_sampling(
    profile: Profile, tmp_path: Path
) -> None:
    generator = Scripted(number)
    run(generator, profile, questions("two", "one"), tmp_path / "a.jsonl", seed=9)

    found = {
        generator.asked(r): (r.sampling.seed, r.sampling.temperature, r.max_tokens)
        for r in generator.requests
        if r.max_tokens != 1
    }
    assert found == {
        "Two: What is 0?": (derive_seed(9, 0), 0.0, 20),
        "What is 1?": (derive_seed(9, 1), 0.3, 40),
    }


def test_one_bad_question_never_ends_the_rest(profile: Profile, tmp_path: Path) -> None:
    asked = [
        *questions("one", "milk", "two", "one", "one"),
        Question(index=5, id="q5", text="", error="Question 6 is none."),
    ]

    def script(text: str) -> str | Exception:
        if "2" in text:
            return UsageError("The prompt has too many tokens.")
        return CapacityError("It never fits.", never=True) if "3" in text else number(text)

    outcome = run(Scripted(script), profile, asked, tmp_path / "a.jsonl")

    errors = {a.id: a.error for a in outcome.answers if a.error}
    assert set(errors) == {"q1", "q2", "q3", "q5"}
    assert errors["q2"] == "The prompt has too many tokens."
    assert "No subject of the profile p fits question q1" in str(errors["q1"])
    assert errors["q5"] == "Question 6 is none."
    assert all(a.finish_reason == "error" for a in outcome.answers if a.error)
    assert [a.answer for a in outcome.answers if not a.error] == ["0", "4"]
    assert outcome.summaries[-1].failed == 4

    again = run(Scripted(script), profile, asked, tmp_path / "a.jsonl")
    assert again.continued == 6


def test_what_fails_for_now_is_asked_again_by_the_next_part(
    profile: Profile, tmp_path: Path
) -> None:
    asked = questions(*["one"] * 4)

    def script(text: str) -> str | Exception:
        return EndpointError("The server is gone.") if "2" in text else number(text)

    first = run(Scripted(script), profile, asked, tmp_path / "a.jsonl")
    assert [(u.question.id, u.reason) for u in first.unanswered] == [("q2", "The server is gone.")]
    assert first.facts.more["unanswered"] == ["q2"]

    generator = Scripted(number)
    second = run(generator, profile, asked, tmp_path / "a.jsonl")
    assert [a.id for a in second.answers] == ["q0", "q1", "q2", "q3"]
    assert (second.continued, second.unanswered) == (3, ())
    assert {generator.asked(r) for r in generator.requests} == {"What is 2?"}


def test_a_generator_that_only_fails_ends_the_run(profile: Profile, tmp_path: Path) -> None:
    generator = Scripted(lambda _: EndpointError("The server is gone."))
    with pytest.raises(OutriderError, match="The server is gone"):
        run(generator, profile, questions(*["one"] * 50), tmp_path / "a.jsonl")

    assert len(generator.requests) < 50
    assert read_answers(tmp_path / "a.jsonl") == []
    assert run(Scripted(number), profile, questions("one"), tmp_path / "b.jsonl").answers


def test_a_fault_of_the_program_is_not_hidden(profile: Profile) -> None:
    generator = Scripted(lambda _: ZeroDivisionError("a fault"))
    with pytest.raises(ZeroDivisionError):
        list(Run(generator, profile, questions("one"), Settings(streams=1)).news())


def test_an_error_of_the_engine_is_not_the_questions(profile: Profile, tmp_path: Path) -> None:
    """An engine that fails ends what runs with an error, and refuses what comes after."""

    class Failing(Scripted):
        def generate(self, request: Request) -> Completion:
            completion = super().generate(request)
            if request.max_tokens == 1:
                return completion
            (choice,) = completion.choices
            broken = replace(choice, finish_reason="error", error="broken")
            self._script = lambda _: OutriderError("The engine has failed.")
            return replace(completion, choices=(broken,))

    outcome = run(Failing(number), profile, questions("one"), tmp_path / "a.jsonl")
    assert outcome.answers == ()
    assert outcome.unanswered[0].reason == "The engine has failed."


def test_an_answer_whose_tokens_are_none_is_a_failure(profile: Profile, tmp_path: Path) -> None:
    class Broken(Scripted):
        def generate(self, request: Request) -> Completion:
            completion = super().generate(request)
            (choice,) = completion.choices
            broken = replace(choice, finish_reason="error", error="not a number")
            return replace(completion, choices=(broken,))

    outcome = run(Broken(number), profile, questions("one"), tmp_path / "a.jsonl", deadline=60.0)
    assert [a.error for a in outcome.answers] == ["not a number"]


def test_an_answer_that_was_cancelled_is_none(profile: Profile, tmp_path: Path) -> None:
    generator = Scripted(number, finish_reason="cancelled")
    outcome = run(generator, profile, questions("one"), tmp_path / "a.jsonl")

    assert outcome.answers == ()
    assert "ended while it was being answered" in outcome.unanswered[0].reason


def test_other_questions_or_another_profile_do_not_continue_a_run(
    profile: Profile, tmp_path: Path
) -> None:
    output = tmp_path / "a.jsonl"
    run(Scripted(number), profile, questions("one"), output)

    with pytest.raises(UsageError, match="another questions"):
        run(Scripted(number), profile, questions("one", "one"), output)
    with pytest.raises(UsageError, match="another profile"):
        run(Scripted(number), load_profile("plain"), questions("one"), output)


def test_no_time_leaves_questions_for_later(profile: Profile, tmp_path: Path) -> None:
    asked = questions(*["one"] * 5)
    outcome = run(Scripted(number), profile, asked, tmp_path / "a.jsonl", deadline=1e-9)

    assert outcome.answers == ()
    assert {u.reason for u in outcome.unanswered} == {"no time was left before the deadline"}
    later = run(Scripted(number), profile, asked, tmp_path / "a.jsonl")
    assert len(later.answers) == 5


def test_a_short_deadline_gives_smaller_budgets_and_says_so(
    profile: Profile, tmp_path: Path
) -> None:
    # A token takes 1 ms by the counters; 40 questions of 20 tokens on 3 streams take 267 ms.
    generator = Scripted(number)
    asked = questions(*["one"] * 200)
    outcome = run(generator, profile, asked, tmp_path / "a.jsonl", deadline=2.0)

    budgets = [a.usage["max_tokens"] for a in outcome.answers]
    assert outcome.summaries[-1].shortened == sum(b < 40 for b in budgets) > 0
    assert outcome.facts.more["deadline"] == 2.0


def test_the_news_come_in_order(profile: Profile) -> None:
    run_ = Run(Scripted(number), profile, questions("one", "two"), Settings(streams=1))
    news = list(run_.news())

    assert [type(one) for one in news] == [Warmed, Answered, Warmed, Answered]
    assert not any(isinstance(one, Unanswered) for one in news)


def test_a_subjects_own_pattern_finds_the_answer() -> None:
    import re

    grouped = Subject(name="x", answer_pattern=re.compile(r"=> (\w+)"))
    whole = Subject(name="x", answer_pattern=re.compile(r"\d+"))
    assert extract(grouped, "=> a\n=> b") == "b"
    assert extract(whole, "1, then 22") == "22"
    assert extract(whole, "none") is None
    assert extract(Subject(name="x"), "It is 7.") is None
    assert extract(Subject(name="x", numbers=True), "It is 7.") == "7"
