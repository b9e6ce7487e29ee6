from __future__ import annotations

import pytest

from outrider.strategies.answering.asking import make_request
from outrider.strategies.answering.profile import Example, Subject
from outrider.strategies.answering.profile_file import load_profile
from outrider.types import Message, Sampling

SUBJECT = Subject(
    name="tea",
    knowledge="Tea is a drink.",
    system="Answer.",
    prompt="Q: {question}",
    examples=(Example("Hot?", "Yes."),),
    sampling=Sampling(temperature=0.3),
    stop=("\nEND",),
)


def test_what_is_shared_stands_before_the_question() -> None:
    request = make_request(SUBJECT, "Green?", chat=True, seed=7, max_tokens=9)

    assert request.messages == (
        Message("system", "Tea is a drink.\n\nAnswer."),
        Message("user", "Q: Hot?"),
        Message("assistant", "Yes."),
        Message("user", "Q: Green?"),
    )
    assert (request.sampling.temperature, request.sampling.seed) == (0.3, 7)
    assert (request.max_tokens, request.stop) == (9, ("\nEND",))


def test_a_model_without_messages_continues_the_same_text() -> None:
    request = make_request(SUBJECT, "Green?", chat=False, seed=7, max_tokens=9)

    assert request.prompt == "Tea is a drink.\n\nAnswer.\n\nQ: Hot?\nYes.\n\nQ: Green?\n"
    assert request.stop == ("\nEND", "\n\nQ:")


def test_a_subject_without_more_asks_the_question_alone() -> None:
    bare = Subject(name="bare")

    assert make_request(bare, "Hm?", chat=True, seed=None, max_tokens=1).messages == (
        Message("user", "Hm?"),
    )
    assert make_request(bare, "Hm?", chat=False, seed=None, max_tokens=1).prompt == "Hm?\n"


def test_braces_in_a_question_are_text() -> None:
    request = make_request(SUBJECT, "Is {question} {x}?", chat=True, seed=None, max_tokens=1)

    assert request.messages is not None
    assert request.messages[-1].content == "Q: Is {question} {x}?"


@pytest.mark.parametrize("name", ["algebra", "chinese", "geography", "history"])
def test_knowledge_comes_first_in_the_packaged_profile(name: str) -> None:
    subject = load_profile("step-by-step").subjects[name]
    one, other = (
        make_request(subject, text, chat=True, seed=1, max_tokens=1).messages for text in "ab"
    )

    assert one is not None
    assert other is not None
    assert one[0].content.startswith(subject.knowledge)
    assert one[:-1] == other[:-1]
