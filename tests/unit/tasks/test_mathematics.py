from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import UsageError
from outrider.tasks import judging, mathematics
from outrider.tasks.judging import Judge
from outrider.tasks.latex import latex


@given(st.integers(-(10**12), 10**12), st.integers(0, 6))
def test_numbers_are_read_as_they_are_written(whole: int, places: int) -> None:
    value = Fraction(whole, 10**places)

    for text in (
        f"{whole}/{10**places}",
        f"{whole / 10**places:.{places}f}",
        f"${whole}e-{places}$",
    ):
        if "/" in text or abs(whole) < 2**53:
            assert mathematics.number(text) == value
    assert mathematics.number(f"{whole:,}") == whole


@given(st.text())
def test_anything_can_be_written_as_latex(text: str) -> None:
    assert isinstance(latex(text), str)
    mathematics.number_in(text)


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("x > 2", r"(2, \infty)"),
        ("2 ≥ x", r"(-\infty, 2]"),
        ("5 > x >= -1", "[-1, 5)"),
        ("x < 1 or x > 3", r"(-\infty, 1) \cup (3, \infty)"),
        ("x > 1 and x ≤ 3", r"(1, \infty) \cap (-\infty, 3]"),
        ("x + y > 2", "x + y > 2"),
    ],
)
def test_inequalities_are_intervals(text: str, interval: str) -> None:
    assert latex(text) == interval


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5 apples", 5),
        ("x = 12 cm", 12),
        ("about 1,500 people", 1500),
        ("5 apples and 3 pears", None),
        ("476, and the empire ended in 476", 476),
        ("2x", None),
        ("three", None),
        ("July 20, 1969", 1969),
        ("It was on 20 July 1969.", 1969),
        ("from July 20, 1969 to July 24, 1969", None),
        ("Apollo 11, July 20, 1969", None),
    ],
)
def test_a_number_among_words(text: str, value: int | None) -> None:
    assert mathematics.number_in(text) == value


DATES = ("July 20, 1969", "the 20th of July 1969", "1969-07-20", "1969年7月20日")


@pytest.mark.parametrize("answer", [*DATES, r"\text{July 20, 1969}", "on July 20, 1969"])
def test_a_date_gives_its_year_and_neither_day_nor_month(answer: str) -> None:
    assert mathematics.equal("1969", answer)
    for wrong in ("20", "7", "1942", "20, 1969", "1970"):
        assert not mathematics.equal(wrong, answer), wrong


@pytest.mark.parametrize("answer", DATES)
def test_a_date_is_the_same_day_however_it_is_written(answer: str) -> None:
    assert mathematics.equal("1969-07-20", answer)
    for wrong in ("1969-07-21", "1969年8月20日", "1968-07-20"):
        assert not mathematics.equal(wrong, answer), wrong


def test_comparing_works_on_every_thread() -> None:
    pairs = [("x^2 - 1", "(x-1)(x+1)"), (r"\sqrt{8}", r"2\sqrt{2}"), ("x + 1", "x - 1")] * 4

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: mathematics.equal(*pair), pairs))

    assert found == [True, True, False] * 4


def test_a_comparison_without_end_is_no_match_and_the_next_one_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = Judge()
    assert judge.equal("x + x", "2x")

    with monkeypatch.context() as patch:
        patch.setattr(judging, "SECONDS", 0.3)
        assert not judge.equal("x", "9^{9^{9^9}}")  # no machine ends this

    assert judge.equal("x + x", "2x")


def test_a_process_that_was_ended_is_started_again() -> None:
    judge = Judge()
    assert judge.equal("x + x", "2x")
    assert judge._process is not None

    judge._process.kill()
    judge._process.wait()

    assert judge.equal("x + x", "2x")


def test_without_the_library_numbers_are_compared_and_the_rest_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judging, "find_spec", lambda name: None)
    monkeypatch.setattr(mathematics, "judge", Judge())

    assert mathematics.equal("0.5", "1/2")
    with pytest.raises(UsageError, match=r"pip install 'outrider\[grade\]'"):
        mathematics.equal("x + 1", "1 + x + x - x")
