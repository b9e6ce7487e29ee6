from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from outrider.remote.sse import events

LINE_ENDS = ("\n", "\r\n", "\r")
TEXT = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"))


@given(
    data=st.lists(st.lists(TEXT, min_size=1, max_size=3), max_size=4),
    line_end=st.sampled_from(LINE_ENDS),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_how_bytes_arrive_changes_nothing(
    data: list[list[str]], line_end: str, cuts: list[int]
) -> None:
    wire = "".join(
        "".join(f"data: {line}{line_end}" for line in lines) + line_end for lines in data
    ).encode()
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]

    found = events(wire[start:stop] for start, stop in pairwise(places))

    assert list(found) == ["\n".join(lines) for lines in data]


def test_comments_other_fields_and_an_unfinished_event_are_no_data() -> None:
    wire = b": ping\n\nevent: x\nid: 1\ndata:a\n\ndata: cut"

    assert list(events([wire])) == ["a"]


def test_unicode_line_separators_end_no_line() -> None:
    separators = "a\u2028b\x85c\x0bd"

    assert list(events([f"data: {separators}\n\n".encode()])) == [separators]


def test_a_byte_that_is_no_character_is_replaced() -> None:
    assert list(events([b"data: a\xffb\n\n"])) == ["a\ufffdb"]
