from __future__ import annotations

import io
import json
import re
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.cli import output
from outrider.cli.output import (
    AnswerWriter,
    duration,
    print_json,
    show_bar,
    show_progress,
    size,
    summary,
)
from outrider.models import Progress
from outrider.types import Usage


def written(capsys: pytest.CaptureFixture[str], pieces: list[str], width: int | None) -> str:
    capsys.readouterr()
    writer = AnswerWriter(width)
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    return capsys.readouterr().out


def test_words_are_not_broken_at_the_end_of_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert written(capsys, ["One two th", "ree fo", "ur"], 9) == "One two \nthree \nfour\n"
    assert written(capsys, ["123456789 next"], 9) == "123456789\nnext\n"
    assert written(capsys, ["a\n    return x"], 20) == "a\n    return x\n"
    assert written(capsys, ["漢字 漢字"], 6) == "漢字 \n漢字\n"


def test_a_word_longer_than_the_line_is_left_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert written(capsys, ["x" * 30, " ok"], 9) == "x" * 30 + " ok\n"


def test_long_words_are_not_kept_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    writer = AnswerWriter(80)
    writer.write("漢" * 25)

    assert capsys.readouterr().out == "漢" * 25


def test_without_a_terminal_the_text_goes_out_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert not sys.stdout.isatty()
    assert written(capsys, ["a" * 50 + " ", "b " * 60], None) == "a" * 50 + " " + "b " * 60 + "\n"


@given(text=st.text("ab\n 漢", max_size=60), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_wrapping_changes_nothing_but_blanks_and_line_ends(text: str, cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        out: list[str] = []
        patch.setattr(sys.stdout, "write", lambda piece: out.append(piece) or len(piece))
        places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
        writer = AnswerWriter(7)
        for start, end in pairwise(places):
            writer.write(text[start:end])
        writer.finish()

    assert "".join(out).split() == text.split()
    assert "".join(out).count("\n\n") <= text.count("\n")


def test_json_keeps_lists_of_numbers_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"tokens": [1, -2, 3.5e-07], "names": ["a", "[\n1\n]"], "none": [], "text": "zwölf"}

    print_json(values)

    out = capsys.readouterr().out
    assert json.loads(out) == values
    assert '"tokens": [ 1, -2, 3.5e-07 ]' in out
    assert "zwölf" in out


def test_sizes_are_for_people() -> None:
    assert [size(n) for n in (7, 1500, 98_362_432, 2.5e9)] == ["7 B", "1.5 kB", "98.4 MB", "2.5 GB"]


def test_summary_says_what_drafts_were_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    usage = Usage(prompt_tokens=40, completion_tokens=11, decode_ms=100.0, first_token_ms=12.3)
    assert summary(usage) == "11 tokens, 100.0/s · first after 12 ms · prompt 40"

    usage.cached_tokens, usage.draft_tokens, usage.accepted_tokens = 32, 8, 6
    assert summary(usage, "stopped") == (
        "11 tokens, 100.0/s · first after 12 ms · prompt 40 (32 cached)\n"
        "drafts 75% accepted · stopped"
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is: the list's last number."""
    times = [100.0]
    monkeypatch.setattr(output, "monotonic", lambda: times[-1])
    return times


def loaded(done: int) -> Progress:
    return Progress("tiny", "tiny.gguf", done, 4_000_000, "load")


def test_loading_that_takes_long_has_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes it a terminal
    monkeypatch.setenv("COLUMNS", "100")
    with show_progress() as listener:
        for seconds in (0.0, 0.4):
            clock.append(100.0 + seconds)
            listener(loaded(1_000_000))
        assert capsys.readouterr().err == ""
        clock.append(100.6)
        listener(loaded(3_000_000))
    shown = capsys.readouterr().err
    assert "loading tiny" in shown
    assert "3.0/4.0 MB" in shown


def test_loading_shows_nothing_without_a_terminal(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with show_progress() as listener:
        for seconds in range(5):
            clock.append(100.0 + seconds)
            listener(loaded(1_000_000 * seconds))
    assert capsys.readouterr().err == ""


def test_a_download_is_announced_and_loading_takes_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with show_progress() as listener:
        listener(Progress("tiny", "a mirror", 1_000_000, 2_000_000))
        listener(loaded(0))
        clock.append(101.0)
        listener(loaded(3_000_000))
    shown = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "tiny from a mirror, resumed at 1.0 MB\n" in shown
    *_, bar = (line for line in re.split(r"[\r\n]+", shown) if line)
    assert bar.startswith("loading tiny ")
    assert "3.0/4.0 MB" in bar


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown)


def test_a_bar_is_drawn_when_it_is_told_something(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with show_bar("warming up") as bar:
        assert "warming up" in plain(capsys.readouterr().err)
        bar(0, 40, "answers")
        first = plain(capsys.readouterr().err)
        assert "answers" in first
        assert "0/40" in first
        assert "left" not in first
        clock.append(100.2)
        bar(1, 40, "answers")
        assert capsys.readouterr().err == ""  # too soon
        clock.append(104.0)
        bar(10, 40, "answers")
        assert re.search(r"10/40 0:12 left", plain(capsys.readouterr().err))
        clock.append(105.0)
        bar(11, 40, "answers", 61_000)
        assert re.search(r"11/40 1:01 left", plain(capsys.readouterr().err))


def test_without_a_terminal_a_bar_is_a_line_a_minute(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with show_bar("certifying") as bar:
        bar(1, 40)
        clock.append(clock[-1] + 59)
        bar(2, 40)
        assert capsys.readouterr().err == ""
        clock.append(clock[-1] + 2)
        bar(20, 40)
        assert capsys.readouterr().err == "certifying 20/40, 1:04 left\n"
        clock.append(clock[-1] + 30)
        bar(40, 40)
    assert capsys.readouterr().err == ""


def test_a_line_tells_bytes_as_people_do(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with show_bar("copy", in_bytes=True) as bar:
        clock.append(clock[-1] + 61)
        bar(2_000_000, 8_000_000)
    assert capsys.readouterr().err == "copy 2.0 MB of 8.0 MB\n"


def test_another_count_has_a_time_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with show_bar("copy", in_bytes=True) as bar:
        bar(0, 4_000_000)
        clock.append(150.0)
        bar(2_000_000, 8_000_000)
        clock.append(151.0)
        bar(4_000_000, 8_000_000)
    shown = plain(capsys.readouterr().err)
    assert re.search(r"copy .*4\.0/8\.0 MB 0:02 left", shown)


def test_durations_for_people() -> None:
    assert duration(400) == "0:00"
    assert duration(95_000) == "1:35"
    assert duration(3_661_000) == "1:01:01"


def test_colours_change_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    writer = AnswerWriter(9)
    for piece, colour in (("One t", None), ("wo th", "cyan"), ("ree fo", "green"), ("ur", None)):
        writer.write(piece, colour)
    writer.finish()
    out = capsys.readouterr().out
    assert re.sub(r"\x1b\[\d*m", "", out) == "One two \nthree \nfour\n"
    assert "t\x1b[36mwo\x1b[0m" in out


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_aside_begins_its_own_where_both_are_on_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = AnswerWriter(20)
    writer.write("some te")
    writer.aside("draft")
    writer.write("xt")
    writer.finish()
    assert capsys.readouterr() == ("some text\n", "draft\n")

    both = _Terminal()
    monkeypatch.setattr(sys, "stdout", both)
    monkeypatch.setattr(sys, "stderr", both)
    writer = AnswerWriter(20)
    writer.aside("first")
    writer.write("some te")
    writer.aside("draft")
    writer.write("xt")
    writer.finish()
    text = re.sub(r"\x1b\[\d*m", "", both.getvalue())
    assert text == "first\nsome te\ndraft\nxt\n"


@pytest.mark.parametrize(
    ("variables", "terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
    ],
)
def test_colours_are_for_terminals_whose_users_want_them(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], terminal: bool, expected: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color"} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", _Terminal() if terminal else io.StringIO())
    assert output.has_colours() == expected
