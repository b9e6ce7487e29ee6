from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.tasks import dates
from outrider.tasks.dates import Date

WRITTEN = ("%B %d, %Y", "%d %b %Y", "%Y-%m-%d", "%Y年%m月%d日")


@pytest.mark.parametrize(
    "text",
    [
        "July 20, 1969",
        "july 20 1969",
        "Jul. 20th, 1969",
        "20 July 1969",
        "the 20th of July, 1969",
        "1969-07-20",
        "1969年7月20日",
        "1969 年 07 月 20 日",
    ],
)
def test_forms_of_a_date(text: str) -> None:
    assert [dates.read(place) for place in dates.places(text)] == [Date(1969, 7, 20)]


def test_a_chinese_month_is_a_date_without_a_day() -> None:
    (place,) = dates.places("在1969年7月。")

    assert dates.read(place) == Date(1969, 7, None)


@pytest.mark.parametrize(
    "text",
    [
        "July 1969",
        "July 20",
        "July 32, 1969",
        "Julius 20, 1969",
        "May 5, 120.5",
        "May 5, 100,000",
        "1969-13-20",
        "1969-7-20",
        "1.1969-07-20",
        "20, 1969",
        "1969年",
    ],
)
def test_no_dates(text: str) -> None:
    assert not dates.places(text)


@given(st.dates(min_value=datetime.date(1000, 1, 1)), st.sampled_from(WRITTEN))
def test_every_day_is_read_as_it_is_written(day: datetime.date, form: str) -> None:
    (place,) = dates.places(f"It was {day:{form}}.")

    assert dates.read(place) == Date(day.year, day.month, day.day)
