"""The prompts that come with the package."""

from __future__ import annotations

from collections import Counter

import pytest

from outrider.lab.halves import halves
from outrider.prompts import BUILT_IN, Prompt, read_prompts, take_evenly

SPEC_BENCH = [
    "writing",
    "roleplay",
    "reasoning",
    "math",
    "coding",
    "extraction",
    "stem",
    "humanities",
    "translation",
    "summarization",
    "qa",
    "math_reasoning",
    "rag",
]


@pytest.fixture(scope="module")
def own() -> list[Prompt]:
    return read_prompts(BUILT_IN)


def test_there_are_eight_of_each_category_of_spec_bench(own: list[Prompt]) -> None:
    assert Counter(prompt.category for prompt in own) == dict.fromkeys(SPEC_BENCH, 8)


def test_each_is_there_once(own: list[Prompt]) -> None:
    assert len({prompt.turns[0].casefold() for prompt in own}) == len(own)
    assert len({prompt.id for prompt in own}) == len(own)
    assert all(prompt.turns[0] == prompt.turns[0].strip() for prompt in own)


def test_they_stand_in_rounds_of_one_a_category(own: list[Prompt]) -> None:
    assert [prompt.category for prompt in own] == SPEC_BENCH * 8
    for rounds in (1, 2, 8):
        assert take_evenly(own, 13 * rounds) == own[: 13 * rounds]


@pytest.mark.parametrize("count", [26, 52, 78, 104])
def test_halves_have_as_many_of_each_category(own: list[Prompt], count: int) -> None:
    one, other = (Counter(p.category for p in half) for half in halves(take_evenly(own, count)))

    assert one == other == dict.fromkeys(SPEC_BENCH, count // 26)


def test_summaries_and_retrieval_have_something_to_read(own: list[Prompt]) -> None:
    for prompt in own:
        text = prompt.turns[0]
        if prompt.category in ("summarization", "rag"):
            assert 1200 < len(text) < 2500
        if prompt.category == "rag":
            assert text.count("Passage ") >= 4
            assert text.rpartition("\n\n")[2].startswith("Question: ")
