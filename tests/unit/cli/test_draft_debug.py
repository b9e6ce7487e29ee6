from __future__ import annotations

import pytest

from outrider.cli.draft_debug import DraftDebug, draft_line
from outrider.types import Choice, Completion, Event, Usage


def event(drafted: int, *origins: str | None) -> Event:
    return Event(tokens=(1,) * len(origins), origins=origins, draft_tokens=drafted)


def completion(why_plain: str | None = None, **counters: object) -> Completion:
    choice = Choice("", (), "stop", Usage(**counters))  # type: ignore[arg-type]
    return Completion((choice,), (1,), 0, record={"why_plain": why_plain})


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (event(4, "ngram", "ngram", "ngram", None), "draft: accepted 3/4 tokens (75.0%)"),
        (event(4, *["ngram"] * 4, None), "draft: accepted 4/4 tokens (100.0%)"),
        (event(4, "a", "b", None), "draft: accepted 2/4 tokens (50.0%)"),
        (event(3, "a", None), "draft: accepted 1/3 tokens (33.3%)"),
        (event(7, None), "draft: accepted 0/7 tokens (0.0%)"),
        (event(2, "a", "a"), "draft: accepted 2/2 tokens (100.0%)"),
        (event(2), "draft: accepted 0/2 tokens (0.0%)"),
        (event(0, None), None),
    ],
)
def test_a_line_says_how_much_of_a_draft_was_accepted(event: Event, line: str | None) -> None:
    assert draft_line(event) == line


def test_lines_go_to_standard_error_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for on, expected in ((True, "draft: accepted 1/2 tokens (50.0%)\n"), (False, "")):
        debug = DraftDebug(on)
        debug.take(event(0, None))
        debug.take(event(2, "ngram", None))
        debug.finish([completion(draft_tokens=2)])
        assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize(
    ("completions", "why"),
    [
        ([completion("the drafter is 'none'")], "the drafter is 'none'"),
        ([completion(note="decoded plainly: X failed (Y)")], "decoded plainly: X failed (Y)"),
        ([completion(), completion()], "no draft was worth its rows"),
    ],
)
def test_where_nothing_was_drafted_it_says_why(
    completions: list[Completion], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    DraftDebug(True).finish(completions)
    assert capsys.readouterr().err == f"draft: nothing was drafted: {why}\n"
    DraftDebug(False).finish(completions)
    DraftDebug(True).finish([*completions, completion(draft_tokens=1)])
    DraftDebug(True).finish([])
    assert capsys.readouterr().err == ""
