"""Two runs beside each other: no difference where there is none, and one where there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab.toy_runs import timed, toy_run

from outrider.errors import UsageError
from outrider.lab.compare import compare
from outrider.lab.run_folder import RunFolder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    return toy_run(tmp_path / "a", "k-sweep", prompts=6), toy_run(
        tmp_path / "b", "k-sweep", prompts=6
    )


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunFolder]:
    """Two runs of 13 prompts, enough to tell a difference."""
    path = tmp_path_factory.mktemp("compare")
    return toy_run(path / "a", "k-sweep", prompts=13), toy_run(path / "b", "k-sweep", prompts=13)


def test_runs_of_one_configuration_do_not_differ(many: tuple[RunFolder, RunFolder]) -> None:
    told = 0
    for seed in range(40):
        for number, folder in enumerate(many):
            timed(folder, 2 * seed + number, machine=1.0 + 0.3 * number)
        told += any(c.differs for c in compare(*many).arms)

    # One in twenty is allowed for; one in ten is what is promised.
    assert told <= 4


def test_an_arm_that_became_slower_is_told_and_no_other(many: tuple[RunFolder, RunFolder]) -> None:
    timed(many[0], 1)
    timed(many[1], 2, {"K=4": 1.2})

    found = compare(*many)

    assert [c.arm for c in found.arms if c.differs] == ["K=4"]
    assert found.verdict.startswith("1 of 8 comparisons differ: k-sweep K=4 (0.8")


def test_a_slower_machine_is_told_as_such(pair: tuple[RunFolder, RunFolder]) -> None:
    timed(pair[0], 1)
    timed(pair[1], 2, machine=2.0)

    found = compare(*pair)

    assert found.pace == pytest.approx(0.5, rel=0.1)
    assert found.verdict == "No difference in 8 comparisons."
    assert all(c.same_tokens == 1.0 for c in found.arms)
    assert list(found.settings) == []


def test_few_prompts_are_not_enough_to_tell(pair: tuple[RunFolder, RunFolder]) -> None:
    # Six prompts can have p = 2/64 at best, and that is not little among eight comparisons; one of
    # these is answered with a single token, which has no speed.
    timed(pair[0], 1)
    timed(pair[1], 2, {"K=4": 3.0})

    found = compare(*pair)
    (changed,) = [c for c in found.arms if c.arm == "K=4"]

    assert changed.p == 2 / 2**changed.prompts
    assert changed.prompts == 5
    assert changed.ratio == pytest.approx(1 / 3, rel=0.1)
    assert not changed.differs


def test_what_was_asked_differently_is_named(tmp_path: Path) -> None:
    one = toy_run(tmp_path / "a", "baseline", max_tokens=8)
    other = toy_run(tmp_path / "b", "baseline", max_tokens=12)

    assert list(compare(one, other).settings) == ["max_tokens: 8 → 12"]


def test_runs_with_nothing_in_common(tmp_path: Path) -> None:
    one, other = toy_run(tmp_path / "a", "baseline"), toy_run(tmp_path / "b", "trees")
    with pytest.raises(UsageError, match="have no experiment, arm and prompt in common"):
        compare(one, other)
