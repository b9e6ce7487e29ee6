"""Plans by their parts, and what a request asks for to get one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outrider.errors import UsageError
from outrider.plan import Plan

DEFAULT = Plan()


def test_by_default_it_speculates_as_far_as_that_pays() -> None:
    assert (DEFAULT.drafter, DEFAULT.controller) == ("mixed", "cost")
    assert (DEFAULT.num_draft_tokens, DEFAULT.verification) == (None, "coupled")
    assert not DEFAULT.plain


@pytest.mark.parametrize(
    ("text", "drafter", "controller"),
    [
        ("ngram", "ngram", None),
        ("none", "none", None),
        ("ngram/threshold", "ngram", "threshold"),
        ("recycle:k=4/cost:margin=0.1", "recycle:k=4", "cost:margin=0.1"),
        ("model:draft_model=a/b.gguf", "model:draft_model=a/b.gguf", None),
        ("model:draft_model=a/b.gguf/cost", "model:draft_model=a/b.gguf", "cost"),
    ],
)
def test_a_plan_is_named_by_its_parts(text: str, drafter: str, controller: str | None) -> None:
    plan = Plan.parse(text)

    assert plan.name == text
    assert plan.drafter == drafter
    assert plan.controller == (controller or DEFAULT.controller)
    assert plan.verification == DEFAULT.verification


def test_or_by_its_file(tmp_path: Path) -> None:
    plan = Plan(name="mine", drafter="suffix", controller="cost")
    plan.save(tmp_path / "mine.json")
    assert Plan.parse(str(tmp_path / "mine.json")) == plan
    assert json.loads((tmp_path / "mine.json").read_text())["drafter"] == "suffix"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ngarm", "Unknown drafter 'ngarm'; did you mean 'ngram'"),
        ("ngram/cots", "Unknown controller 'cots'; did you mean 'cost'"),
        ("ngram:mim_match=2", "did you mean 'min_match'"),
        ("ngram/", "Unknown controller ''"),
        ("/cost", "Unknown drafter ''"),
        ("nowhere.json", "The plan nowhere.json cannot be read"),
    ],
)
def test_what_is_neither_is_an_error(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Plan.parse(text)
