from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.cli.values import parse_cost, parse_count, parse_numbers, show_count
from outrider.errors import UsageError


def test_numbers_are_separated_by_commas() -> None:
    assert parse_numbers("--alpha", "0.6,.7, 1e-1") == [0.6, 0.7, 0.1]


@pytest.mark.parametrize("text", ["", "a", "0.5,", "0.5;0.6", "nan", "1,inf"])
def test_what_is_no_list_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--alpha takes numbers"):
        parse_numbers("--alpha", text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("70B", 70e9), ("1.4t", 1.4e12), ("5.88e23", 5.88e23), ("135000000", 135e6), (" 2 ", 2.0)],
)
def test_counts_have_units(text: str, value: float) -> None:
    assert parse_count("--params", text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "B", "70X", "-3", "1e-3", "70 B", "seven"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--params takes a count"):
        parse_count("--params", text)


@given(value=st.floats(1.0, 1e30))
def test_a_count_that_is_shown_can_be_given(value: float) -> None:
    assert parse_count("--params", show_count(value)) == pytest.approx(value, rel=0.005)


def test_counts_are_shown_to_three_figures() -> None:
    assert [show_count(n) for n in (7, 2048, 70e9, 1.4e12, 5.88e23)] == [
        "7", "2.05K", "70B", "1.4T", "5.88e+23",
    ]  # fmt: skip
    assert show_count(999_700.0) == "1M"


def test_costs_are_a_list_or_a_file(tmp_path: Path) -> None:
    assert parse_cost("5,6.5") == {1: 5.0, 2: 6.5}
    for values in ([5.0, 6.5], {"1": 5.0, "2": 6.5}, {"rows_ms": {"2": 6.5, "1": 5.0}, "x": 1}):
        path = tmp_path / "curve.json"
        path.write_text(json.dumps(values))
        assert parse_cost(str(path)) == {1: 5.0, 2: 6.5}


@pytest.mark.parametrize(
    "text", ["{", '{"rows": [1]}', '"1,2"', '{"a": 1}', "[[1]]", "[null]", "\xff"]
)
def test_a_file_without_costs_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "curve.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"holds no cost of passes; `outrider bench engine"):
        parse_cost(str(path))


def test_what_is_neither_list_nor_file_is_refused(tmp_path: Path) -> None:
    for text in (str(tmp_path / "missing.json"), str(tmp_path), "x" * 5000):
        with pytest.raises(UsageError, match="neither"):
            parse_cost(text)


def test_a_list_may_be_long() -> None:
    assert len(parse_cost(",".join(["1.25"] * 2000))) == 2000
