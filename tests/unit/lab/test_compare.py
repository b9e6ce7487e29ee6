"""Two runs beside each other: no difference where there is none, and one where there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.toy_runs import timed, toy_run

from outrider.errors import UsageError
from outrider.lab.compare import MARGIN, beyond, compare
from outrider.lab.run_folder import RunFolder

LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)


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


def told(many: tuple[RunFolder, RunFolder], *, moment: float, margin: float = MARGIN) -> int:
    """How many of 40 pairs of runs of one configuration are told to differ.

    Args:
        moment: the standard deviation of the logarithm of what drafts gain in a run, by how fast
            the memory happens to be in its minute.
    """
    count = 0
    for seed in range(40):
        chance = np.random.default_rng(seed)
        for number, folder in enumerate(many):
            gained = float(np.exp(chance.normal(0.0, moment)))
            factors = {f"K={k}": gained for k in LENGTHS}
            timed(folder, 2 * seed + number, factors, machine=1.0 + 0.3 * number)
        count += any(c.differs for c in compare(*many, margin=margin).arms)
    return count


def test_runs_of_one_configuration_do_not_differ(many: tuple[RunFolder, RunFolder]) -> None:
    # One in ten is what is promised, whether all prompts are independent or a run has its moment.
    assert told(many, moment=0.0) <= 1
    assert told(many, moment=0.04) <= 4
    # The margin is what makes it so.
    assert told(many, moment=0.04, margin=0.0) > 4


def test_an_arm_that_became_slower_is_told_and_no_other(many: tuple[RunFolder, RunFolder]) -> None:
    timed(many[0], 1)
    timed(many[1], 2, {"K=4": 1.4})

    found = compare(*many)

    assert [c.arm for c in found.arms if c.differs] == ["K=4"]
    assert found.verdict.startswith("1 of 8 comparisons differ: k-sweep K=4 (0.7")


def test_a_small_difference_is_told_where_it_is_asked_for(
    many: tuple[RunFolder, RunFolder],
) -> None:
    timed(many[0], 1, noise=0.01)
    timed(many[1], 2, {"K=4": 1.05}, noise=0.01)

    assert [c.arm for c in compare(*many, margin=0.0).arms if c.differs] == ["K=4"]
    assert compare(*many).verdict == "No difference beyond 10% in 8 comparisons."
    with pytest.raises(UsageError, match="--margin has to be at least 0"):
        compare(*many, margin=-0.1)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=10), st.floats(0, 1))
def test_what_is_left_beyond_a_margin(values: list[float], margin: float) -> None:
    logs = np.array(values)
    left = beyond(logs, margin)

    most = np.log1p(margin)
    assert abs(left.mean()) == pytest.approx(max(abs(logs.mean()) - most, 0.0), abs=1e-9)
    assert left.mean() * logs.mean() >= -1e-12


def test_a_slower_machine_is_told_as_such(pair: tuple[RunFolder, RunFolder]) -> None:
    timed(pair[0], 1)
    timed(pair[1], 2, machine=2.0)

    found = compare(*pair)

    assert found.pace == pytest.approx(0.5, rel=0.1)
    assert found.verdict == "No difference beyond 10% in 8 comparisons."
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
