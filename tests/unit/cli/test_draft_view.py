from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.cli.draft_view import DraftView, Origins
from outrider.cli.output import AnswerWriter
from outrider.cli.palette import COLOURS, OTHERS, Palette
from outrider.text import TextStream
from outrider.types import Choice, Completion, Event, Usage

WORDS = [b"a", b" b", b"cd", b"\n", b" \xe6", b"\xbc", b"\xa2", b"!", b"<stop>", b"\xff"]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class _Words:
    """A tokenizer of ten tokens, some of which are parts of a character."""

    space_prefix = False

    def token_bytes(self, token: int) -> bytes:
        return WORDS[token]


TOKENIZER: Any = _Words()

steps = st.lists(
    st.lists(
        st.tuples(st.integers(0, len(WORDS) - 1), st.sampled_from([None, "ngram", "suffix"])),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=8,
)


def events(steps: list[list[tuple[int, str | None]]], *stop: str) -> list[Event]:
    """The events of an answer of these tokens, as the loop emits them."""
    sink, found = TextStream(TOKENIZER, stop), []
    for i, step in enumerate(steps):
        piece = sink.push([token for token, _ in step])
        tokens, origins = zip(*step[: piece.kept_tokens], strict=True)
        last = piece.stopped or i == len(steps) - 1
        text = piece.text + (sink.finish() if last and not piece.stopped else "")
        drafted = sum(origin is not None for origin in origins)
        found.append(Event(0, text, tokens, origins, drafted, None, None, "stop" if last else None))
        if last:
            break
    return found


@given(steps, st.sampled_from([(), ("<stop>",), ("!a",), ("漢",)]))
def test_parts_are_the_text_and_each_token_s_own(steps, stop) -> None:
    origins = Origins(TOKENIZER)
    for event in events(steps, *stop):
        parts = origins.take(event)
        assert "".join(text for text, _ in parts) == event.text


def test_a_character_belongs_to_the_token_that_completes_it() -> None:
    step = [(0, None), (4, "ngram"), (5, "ngram"), (6, "suffix"), (7, "ngram"), (2, None)]
    (event,) = events([step])
    parts = [part for part in Origins(TOKENIZER).take(event) if part[0]]
    assert parts == [
        ("a", None), (" ", "ngram"), ("漢", "suffix"), ("!", "ngram"), ("cd", None),
    ]  # fmt: skip


def test_every_drafter_has_a_mark_and_a_colour_of_its_own() -> None:
    names = [*COLOURS, "mine", "modal", "m", "mn", "a", "b"]
    coloured, marked = Palette(True), Palette(False)
    assert [marked.colour(name) for name in names] == [None] * len(names)
    assert marked.marked("ngram", " ab") == "[n| ab]"
    marks = [marked.letter(name) for name in names]
    assert len(set(marks)) == len(names)
    assert [marked.letter(name) for name in names] == marks
    colours = [coloured.colour(name) for name in names[: len(COLOURS) + len(OTHERS)]]
    assert len(set(colours)) == len(colours)
    assert [coloured.colour(name) for name in names][: len(colours)] == colours


def view_of(monkeypatch: pytest.MonkeyPatch, *, colours: bool, **options: bool) -> DraftView:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORCE_COLOR" if colours else "NO_COLOR", "1")
    return DraftView(TOKENIZER, **{"debug": False, "show": True} | options)


def completion(**counters: Any) -> Completion:
    choice = Choice("", (), "stop", Usage(**counters))
    return Completion((choice,), (1,), 0, record={"why_plain": None})


STEPS = [[(0, None)], [(1, "ngram"), (2, "ngram"), (0, None)], [(1, "suffix"), (7, None)]]


@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        (True, "a\x1b[36m bcd\x1b[0ma\x1b[32m b\x1b[0m!\n"),
        (False, "a[n| bcd]a[s| b]!\n"),
    ],
)
def test_an_answer_shows_its_drafts_as_it_comes_or_when_it_is_there(
    monkeypatch, capsys, colours: bool, expected: str
) -> None:
    view = view_of(monkeypatch, colours=colours)
    writer = AnswerWriter()
    for event in events(STEPS):
        view.take(event, writer)
    writer.finish()
    assert capsys.readouterr().out == expected
    for event in events(STEPS):
        view.take(event)
    view.write_kept(0)
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("colours", [True, False])
def test_the_picture_ends_the_view(monkeypatch, capsys, colours: bool) -> None:
    view = view_of(monkeypatch, colours=colours)
    for _ in range(2):
        for event in events(STEPS):
            view.take(event)
        view.write_kept(0)
    capsys.readouterr()
    counters = {"steps": 2, "draft_steps": 2, "draft_tokens": 6, "accepted_tokens": 3}
    view.finish([completion(accepted_per_position=[2, 1], **counters)] * 2)
    out = capsys.readouterr().out
    assert ("\x1b[36m  ngram " in out) == colours
    assert ("  [n|ngram] " in out) == (not colours)
    assert ANSI.sub("", out).splitlines()[1] == "tokens by source"
    # Twice two tokens of ngram, one of suffix and three of the model.
    found = re.findall(r"(ngram|suffix|the model)\]? +(\d+) ", ANSI.sub("", out))
    assert found == [("ngram", "4"), ("suffix", "2"), ("the model", "6")]


def test_nothing_drafted_is_said_in_a_line(monkeypatch, capsys) -> None:
    view = view_of(monkeypatch, colours=False)
    view.finish([completion()])
    assert capsys.readouterr().out == "\nnothing was drafted: no draft was worth its rows\n"


def test_without_being_asked_for_it_shows_the_text_alone(monkeypatch, capsys) -> None:
    view = view_of(monkeypatch, colours=True, show=False)
    for event in events(STEPS):
        view.take(event)
    view.write_kept(0)
    view.finish([completion()])
    assert capsys.readouterr() == ("a bcda b!\n", "")


def test_both_can_be_asked_for(monkeypatch, capsys) -> None:
    view = view_of(monkeypatch, colours=False, debug=True)
    for event in events(STEPS):
        view.take(event)
    assert capsys.readouterr().err.splitlines() == [
        "draft: accepted 2/2 tokens (100.0%)",
        "draft: accepted 1/1 tokens (100.0%)",
    ]
