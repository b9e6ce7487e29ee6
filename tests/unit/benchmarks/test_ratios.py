"""Medians and ratios of a comparison."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratios import rates, ratio, versus
from sides import Measurement

SPEEDS = st.lists(st.floats(1.0, 1e4), min_size=1, max_size=20)


def answer(side: str, seconds: float, prompt: int = 0, repeat: int = 0) -> Measurement:
    """Ten tokens after a prompt of ten."""
    return Measurement(side, prompt, None, repeat, 10, tuple(range(10)), seconds, seconds)


def test_rates_are_medians_over_the_repeats_of_each_prompt() -> None:
    found = [answer("a", s, prompt, r) for prompt in (1, 0) for r, s in enumerate([1, 5, 2])]
    found += [answer("b", 9.0, prompt) for prompt in (0, 1)]
    assert rates(found, "a", "prefill").tolist() == [5.0, 5.0]
    assert rates(found, "a", "decode").tolist() == [4.5, 4.5]


def test_a_lone_prompt_gives_every_repeat() -> None:
    found = [answer("a", s, repeat=r) for r, s in enumerate([1.0, 2.0, 4.0])]
    assert rates(found, "a", "prefill").tolist() == [10.0, 5.0, 2.5]


@given(speeds=SPEEDS, times=st.floats(0.1, 10.0))
def test_a_constant_ratio_has_no_spread(speeds: list[float], times: float) -> None:
    theirs = np.array(speeds)
    found = ratio(theirs * times, theirs)
    assert list(found.values()) == pytest.approx([times] * 3)


@given(pairs=st.lists(st.tuples(st.floats(1.0, 100.0), st.floats(1.0, 100.0)), min_size=1))
def test_an_interval_lies_within_what_resampling_can_give(
    pairs: list[tuple[float, float]],
) -> None:
    ours, theirs = (np.array(column) for column in zip(*pairs, strict=True))
    found = ratio(ours, theirs)
    assert found["low"] <= found["high"]
    assert ours.min() / theirs.max() * 0.999 <= found["low"]
    assert found["high"] <= ours.max() / theirs.min() * 1.001
    assert found == ratio(ours, theirs)


def test_the_fastest_setting_on_each_file_is_what_counts() -> None:
    speeds = {"ours": 1.0, "slow": 4.0, "fast": 2.0, "twin": 1.25}
    found = [answer(side, seconds) for side, seconds in speeds.items()]
    result = versus(found, "ours", {"same": ["slow", "fast"], "twin": ["twin"]}, "prefill")
    assert {file: (v["peer"], v["ratio"]) for file, v in result.items()} == {
        "same": ("fast", 2.0),
        "twin": ("twin", 1.25),
    }
