from __future__ import annotations

from pathlib import Path

import pytest

from outrider.errors import UsageError
from outrider.strategies.answering.profile_file import PACKAGED, load_profile, packaged
from outrider.strategies.answering.questions import BUILT_IN, read_questions

SUBJECT = '[subjects.tea]\nsystem = "Answer."\n'


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_packaged_profiles_are_these() -> None:
    assert packaged() == ("plain", "step-by-step")


@pytest.mark.parametrize("name", packaged())
def test_a_packaged_profile_has_the_published_settings(name: str) -> None:
    profile = load_profile(name)

    found = {
        subject.name: (subject.sampling.temperature, subject.sampling.top_p, subject.max_tokens)
        for subject in profile.subjects.values()
    }
    assert found == {
        "algebra": (0.1, 0.9, 800),
        "chinese": (0.18, 1.0, 300),
        "geography": (0.2, 1.0, 448),
        "history": (0.2, 1.0, 448),
    }


def test_worked_examples_check_their_result_and_end_with_a_marked_answer() -> None:
    asked = {question.text for question in read_questions(BUILT_IN)}
    for subject in load_profile("step-by-step").subjects.values():
        assert subject.knowledge
        assert len(subject.examples) >= 4
        for example in subject.examples:
            *steps, last = example.answer.splitlines()
            assert last.startswith("Final Answer: ")
            assert steps[-1].startswith(("Check", "核对"))
            assert example.question not in asked


def test_what_changes_a_question_changes_the_fingerprint(tmp_path: Path) -> None:
    first = load_profile(written(tmp_path, SUBJECT)).fingerprint

    assert load_profile(written(tmp_path, f"# a comment\n{SUBJECT}")).fingerprint == first
    warmer = f"{SUBJECT}sampling = {{ temperature = 0.5 }}\n"
    assert load_profile(written(tmp_path, warmer)).fingerprint != first


def test_knowledge_is_read_from_beside_the_profile(tmp_path: Path) -> None:
    (tmp_path / "tea.md").write_text("Tea is a drink.\n", encoding="utf-8")
    profile = load_profile(written(tmp_path, f'{SUBJECT}knowledge = "tea.md"\n'))

    assert profile.subjects["tea"].knowledge == "Tea is a drink."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no subjects"),
        ("[subjects.tea", "is not TOML"),
        (f"{SUBJECT}tokens = 3\n", "Unknown key in .subjects.tea. .*'tokens'"),
        (f"{SUBJECT}sistem = 'x'\n", "did you mean 'system'"),
        (f"[asign]\n{SUBJECT}", "did you mean 'assign'"),
        (f"{SUBJECT}sampling = {{ temprature = 1 }}\n", "did you mean 'temperature'"),
        (f"{SUBJECT}sampling = {{ seed = 1 }}\n", "Unknown key"),
        (f"{SUBJECT}sampling = {{ temperature = -1 }}\n", "temperature has to lie in"),
        (f"{SUBJECT}max_tokens = 0\n", "has to be at least 1"),
        (f"{SUBJECT}max_tokens = true\n", "has to be a whole number"),
        (f"{SUBJECT}max_tokens = 'many'\n", "has to be a whole number"),
        (f"{SUBJECT}numbers = 1\n", "has to be true or false"),
        (f"{SUBJECT}prompt = 'Say it.'\n", "has no {question} in it"),
        (f"{SUBJECT}answer_pattern = '('\n", "is no pattern"),
        (f"{SUBJECT}rules = [1]\n", "has to be a list of texts"),
        (f"{SUBJECT}knowledge = 'none.md'\n", "cannot be read"),
        (f"{SUBJECT}[[subjects.tea.examples]]\nquestion = 'x'\n", "needs question and answer"),
        (f"{SUBJECT}examples = ['x']\n", "have? to be tables|has to be tables"),
        (f"[assign]\nby = ['luck']\n{SUBJECT}", "Unknown way"),
        (f"[assign]\nclassifier = 'oracle'\n{SUBJECT}", "Unknown classifier"),
        (f"[assign]\ndefault = 'coffee'\n{SUBJECT}", "Unknown subject"),
        (f"[assign]\naliases = {{ chai = 'coffee' }}\n{SUBJECT}", "Unknown subject"),
    ],
)
def test_what_a_profile_cannot_be_is_an_error_that_names_it(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        load_profile(written(tmp_path, text))
    assert "mine.toml" in str(caught.value)


def test_a_name_that_is_none_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'step-by-step'"):
        load_profile("step-by-stepp")


def test_profiles_of_the_package_read_no_foreign_file() -> None:
    for name in packaged():
        assert load_profile(name).path.parent == PACKAGED
