from __future__ import annotations

from pathlib import Path

import pytest
from strategies.answering.scripted import Scripted

from outrider.errors import EndpointError, UsageError
from outrider.strategies.answering.assign import (
    Assigner,
    ModelClassifier,
    NgramClassifier,
    training_texts,
)
from outrider.strategies.answering.profile import Profile
from outrider.strategies.answering.profile_file import load_profile
from outrider.strategies.answering.questions import BUILT_IN, Question, read_questions

TWO = """
{assign}
[subjects.tea]
rules = ['\\btea\\b']
[[subjects.tea.examples]]
question = "How long does green tea steep?"
answer = "2"
[subjects.coffee]
rules = ['\\bcoffee\\b']
[[subjects.coffee.examples]]
question = "How fine is espresso ground?"
answer = "very"
"""


def made(tmp_path: Path, assign: str = "[assign]") -> Profile:
    path = tmp_path / "two.toml"
    path.write_text(TWO.format(assign=assign), encoding="utf-8")
    return load_profile(str(path))


def question(text: str, **fields: str) -> Question:
    return Question(index=0, id="1", text=text, fields=fields)


def assigned(profile: Profile, asked: Question, script=lambda _: "A") -> str:
    return Assigner(profile, Scripted(script), chat=True).subject(asked).name


def test_what_the_question_says_comes_first(tmp_path: Path) -> None:
    profile = made(tmp_path, '[assign]\naliases = { Chai = "tea" }')

    assert assigned(profile, question("Is coffee hot?", subject="Tea ")) == "tea"
    assert assigned(profile, question("Is coffee hot?", subject="chai")) == "tea"
    assert assigned(profile, question("Is coffee hot?", subject="milk")) == "coffee"
    assert assigned(profile, question("Is COFFEE hot?")) == "coffee"


def test_another_field_may_name_it(tmp_path: Path) -> None:
    profile = made(tmp_path, '[assign]\nkey = "kind"')

    assert assigned(profile, question("Hot?", kind="tea", subject="coffee")) == "tea"


def test_the_classifier_learns_from_examples(tmp_path: Path) -> None:
    profile = made(tmp_path, '[assign]\nby = ["classifier"]')

    assert assigned(profile, question("Is an espresso finely ground?")) == "coffee"
    assert assigned(profile, question("May green leaves steep long?")) == "tea"


def test_the_model_may_be_asked_for_one_token(tmp_path: Path) -> None:
    profile = made(tmp_path, '[assign]\nby = ["classifier"]\nclassifier = "model"')
    generator = Scripted(lambda _: " B")

    assert Assigner(profile, generator, chat=True).subject(question("Hm?")).name == "coffee"
    (request,) = generator.requests
    assert request.max_tokens == 1
    assert "A. tea\nB. coffee" in generator.asked(request)
    assert assigned(profile, question("Hm?"), lambda _: "a") == "tea"


def test_a_model_that_fails_or_says_no_letter_says_nothing() -> None:
    for script in (lambda _: "?", lambda _: "", lambda _: EndpointError("gone")):
        assert ModelClassifier(Scripted(script), ["x", "y"], chat=False).classify("Hm?") is None


def test_what_nothing_fits_goes_to_the_default_or_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No subject .* fits question 1, which says 'milk'"):
        assigned(made(tmp_path, '[assign]\nby = ["field"]'), question("Hm?", subject="milk"))
    profile = made(tmp_path, '[assign]\nby = ["field"]\ndefault = "tea"')
    assert assigned(profile, question("Hm?")) == "tea"


def test_a_subject_without_a_text_cannot_be_learnt() -> None:
    with pytest.raises(UsageError, match="from which to learn what 'tea' is"):
        NgramClassifier({"tea": []})


def test_a_text_of_other_letters_is_of_no_subject() -> None:
    classifier = NgramClassifier({"x": ["aaa"], "y": ["bbb"]})

    assert classifier.classify("aab") == "x"
    assert classifier.classify("ζ") is None or classifier.classify("ζ") in "xy"


def test_the_classifier_tells_the_packages_subjects_apart() -> None:
    """Trained on four fifths of the questions, tested on the others: 95% at least."""
    questions = read_questions(BUILT_IN)
    right = 0
    for fold in range(5):
        texts: dict[str, list[str]] = {}
        for q in questions:
            if q.index % 5 != fold:
                texts.setdefault(q.fields["subject"], []).append(q.text)
        classifier = NgramClassifier(texts)
        right += sum(
            classifier.classify(q.text) == q.fields["subject"]
            for q in questions
            if q.index % 5 == fold
        )
    assert right / len(questions) >= 0.95


def test_the_rules_of_the_packaged_profile_seldom_err() -> None:
    profile = load_profile("step-by-step")
    for q in read_questions(BUILT_IN):
        found = next(
            (s.name for s in profile.subjects.values() if any(r.search(q.text) for r in s.rules)),
            None,
        )
        if q.fields["subject"] in ("algebra", "chinese"):
            assert found == q.fields["subject"], q.text


def test_examples_and_the_packages_questions_are_what_is_learnt_from(tmp_path: Path) -> None:
    texts = training_texts(load_profile("step-by-step").subjects.values())

    assert {name: len(given) for name, given in texts.items()} == {
        "algebra": 131,
        "chinese": 129,
        "geography": 129,
        "history": 129,
    }
