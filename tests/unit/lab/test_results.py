"""What experiments see of what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lab.toy_runs import toy_run, toy_setup

from outrider.lab import runs
from outrider.lab.contest import Sample
from outrider.lab.records import Measurement
from outrider.lab.results import Results
from outrider.lab.statistics import Finding, Interval, finding, typical_speedup
from outrider.types import Usage


def answer(arm: str, prompt: int, ms: float, *, tokens: int = 11, repeat: int = 0) -> Measurement:
    sample = Sample(
        plan=arm,
        prompt=prompt,
        category=None,
        repeat=repeat,
        group=prompt,
        tokens=tuple(range(tokens)),
        reason="length",
        usage=Usage(completion_tokens=tokens, decode_ms=ms, total_ms=ms, steps=tokens - 1),
        passes={1: [ms / (tokens - 1)] * (tokens - 1)},
    )
    return Measurement(
        key=f"e/{arm}/{prompt}/{repeat}",
        experiment="e",
        arm=arm,
        group=prompt,
        repeat=repeat,
        ms=ms,
        samples=(sample,),
    )


def results(times: Mapping[str, list[float]]) -> Results:
    return Results(
        toy_setup(),
        [answer(arm, p, ms) for arm, each in times.items() for p, ms in enumerate(each)],
    )


def test_ratios_of_totals_and_of_prompts_are_told_apart() -> None:
    # One long answer decides the total, and is one prompt of three.
    found = results({"plain": [100.0, 10.0, 10.0], "fast": [50.0, 20.0, 20.0]})

    assert found.ratios("fast") == pytest.approx([2.0, 0.5, 0.5])
    total, typical = found.total("fast"), found.typical("fast")
    assert total is not None
    assert total.value == pytest.approx(120 / 90)
    assert typical is not None
    assert typical.value == pytest.approx(0.5)


def test_only_what_all_arms_were_measured_on_is_compared() -> None:
    found = results({"plain": [10.0, 10.0, 10.0], "ahead": [5.0, 5.0, 5.0], "behind": [5.0]})

    paired = found.paired(["plain", "ahead", "behind"])

    assert {arm: len(paired.of(arm)) for arm in paired.arms} == {
        "plain": 1, "ahead": 1, "behind": 1,
    }  # fmt: skip
    assert found.paired(["plain", "ahead"]).samples("ahead") == found.samples("ahead")
    assert found.paired(["plain", "never"]).measurements == []


def test_prompts_that_were_asked_together_are_kept_together() -> None:
    alone = [answer("plain", prompt, 10.0) for prompt in range(3)]
    both = answer("two", 0, 10.0)
    second = replace(both.samples[0], prompt=1)
    together = replace(both, samples=(both.samples[0], second))

    # Prompt 1 was not asked plainly, so its group is of no use, and prompt 0 of the plain arm too.
    found = Results(toy_setup(), [alone[0], alone[2], together]).paired(["plain", "two"])

    assert found.measurements == []


def test_outliers_are_named_and_kept() -> None:
    found = results({"plain": [10.0, 10.1, 9.9, 10.0, 10.2, 90.0]})

    assert [sample.prompt for sample in found.outliers()] == [5]
    assert len(found.samples("plain")) == 6
    assert results({"plain": [10.0, 90.0]}).outliers() == []


def test_passes_are_by_their_rows(tmp_path: Path) -> None:
    found = runs.results_of(toy_run(tmp_path / "run", "k-sweep"))["k-sweep"]

    assert 1 in found.pass_ms(["plain"])
    assert set(found.pass_ms(["plain"])) == {1}
    assert max(found.pass_ms()) > 1


def test_a_typical_ratio_is_the_median_of_all() -> None:
    assert typical_speedup(np.array([])) is None
    assert typical_speedup(np.array([2.0])) == Interval(2.0)
    found = typical_speedup(np.array([1.0, 2.0, 3.0, 100.0, 2.5]))
    assert found is not None
    assert (found.value, found.units) == (2.5, 5)
    assert found.low is not None
    assert found.high is not None
    assert 1.0 <= found.low <= 2.5 <= found.high <= 100.0
    # Every resample of equal ratios is the same.
    assert typical_speedup(np.full(7, 1.5)) == Interval(1.5, 1.5, 1.5, 7)


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (Interval(1.2, 1.1, 1.3, 13), Finding.FASTER),
        (Interval(0.8, 0.7, 0.9, 13), Finding.SLOWER),
        (Interval(1.2, 0.9, 1.5, 13), Finding.UNDECIDED),
        (Interval(1.2, 1.0, 1.5, 13), Finding.UNDECIDED),
        (Interval(1.2, 1.1, 1.3, 4), Finding.UNDECIDED),
        (Interval(1.2), Finding.UNDECIDED),
        (None, Finding.UNDECIDED),
    ],
)
def test_what_an_interval_shows(ratio: Interval | None, said: Finding) -> None:
    assert finding(ratio) is said
