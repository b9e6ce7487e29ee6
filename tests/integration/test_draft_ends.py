"""Answers end inside accepted drafts where plain decoding ends them: on real text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from outrider import LLM
from outrider.types import Message, Request

PROMPT = (
    "1. red apple\n2. green pear\n3. red apple\n4. green pear\n5. red apple\n6. green pear\n7. red"
)


@pytest.fixture(scope="module")
def llm(model_path: Path) -> Iterator[LLM]:
    # As many drafted tokens at every step: whether a draft goes on behind an end is no matter of
    # what passes cost here.
    parts = {"drafter": "mixed", "controller": "fixed", "num_draft_tokens": 12}
    with LLM(model_path, context=512, **parts) as llm:
        yield llm


def test_stop_strings_and_limits_inside_an_accepted_span(llm: LLM) -> None:
    plain = llm.generate(PROMPT, max_tokens=40, speculation=False)
    words = sorted({w for w in plain.text.split() if len(w) > 2}, key=plain.text.index)
    assert len(words) >= 2
    # Within a word, across words, over the end of a line, and one that is only ever begun.
    stops = [(words[0],), (words[1][1:],), (plain.text[9:15],), ("\n9",), (f"{words[1]}never",)]
    cut = 0
    for stop in stops:
        expected = llm.generate(PROMPT, max_tokens=40, stop=stop, speculation=False)
        drafted = llm.generate(PROMPT, max_tokens=40, stop=stop)
        assert (drafted.text, drafted.tokens) == (expected.text, expected.tokens)
        assert drafted.finish_reason == expected.finish_reason
        cut += drafted.finish_reason == "stop"
    assert cut >= 3
    for limit in range(1, 20):
        drafted = llm.generate(PROMPT, max_tokens=limit)
        assert drafted.tokens == plain.tokens[:limit]
        assert drafted.usage.completion_tokens == limit
    assert drafted.usage.accepted_tokens > 5


def test_an_end_of_text_inside_an_accepted_span(llm: LLM) -> None:
    """The same turn over and over: the draft repeats it, its end, and what came behind."""
    turn = (Message("user", "Say it."), Message("assistant", "All is said, and all is done."))
    request = Request(messages=(*turn * 4, turn[0]), max_tokens=24)
    expected = llm.generate(request, speculation=False)
    drafted = llm.generate(request)
    assert expected.text == turn[1].content
    assert expected.finish_reason == "stop"
    assert (drafted.tokens, drafted.text) == (expected.tokens, expected.text)
    assert drafted.finish_reason == "stop"
    usage = drafted.usage
    # All but the first token were accepted, and the draft went on behind the end.
    assert usage.draft_tokens > usage.accepted_tokens == len(drafted.tokens) - usage.steps
    assert usage.steps < 4
    # With ignore_eos the end is a token like others.
    request = replace(request, ignore_eos=True)
    expected = llm.generate(request, speculation=False)
    drafted = llm.generate(request)
    assert llm.tokenizer.stop_ids.intersection(drafted.tokens)
    assert drafted.tokens == expected.tokens
