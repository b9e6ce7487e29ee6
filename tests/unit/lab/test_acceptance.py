"""Overlaps of draft and target: grouped, and only told apart where prompts enough show it."""

from __future__ import annotations

import pytest
from lab.toy_runs import toy_run

from outrider.lab import runs
from outrider.lab.experiments.acceptance import Acceptance
from outrider.lab.experiments.overlaps import (
    BEGINS,
    CONTROL,
    GOES_ON,
    NUMBER,
    SIGN,
    SPACE,
    Overlap,
    Overlaps,
    apart,
    overlaps_of,
    token_class,
)
from outrider.lab.experiments.words import drawing
from outrider.lab.results import Results
from outrider.lab.run_folder import RunFolder
from outrider.lab.statistics import Interval


class Pieces:
    """A tokenizer whose tokens are these texts."""

    texts = (" the", "ing", " 12", "7th", "),", " +", "\n\n", "  ", "", "é", "\n}")
    stop_ids = frozenset({8})

    def token_bytes(self, token: int) -> bytes:
        return self.texts[token].encode()


def test_kinds_of_tokens() -> None:
    kinds = [token_class(Pieces(), token) for token in range(len(Pieces.texts))]

    assert kinds == [
        *(BEGINS, GOES_ON, NUMBER, NUMBER, SIGN, SIGN, SPACE, SPACE, CONTROL, GOES_ON, SIGN)
    ]


def test_half_a_character_belongs_to_a_word() -> None:
    pieces = Pieces()
    pieces.token_bytes = lambda token: b" \xe4\xb8"  # type: ignore[method-assign]

    assert token_class(pieces, 0) == BEGINS


def made_up(*values: tuple[int, int, str, float]) -> Overlaps:
    positions = [Overlap(p, depth, kind, value, value > 0.5) for p, depth, kind, value in values]
    return Overlaps("a", positions, {0: "one", 1: "two"})


def test_groups_and_their_means() -> None:
    found = made_up((0, 1, BEGINS, 0.2), (0, 2, GOES_ON, 0.8), (1, 1, BEGINS, 0.6))

    assert found.all.value == pytest.approx(1.6 / 3)
    assert found.all.accepted == pytest.approx(2 / 3)
    assert {depth: group.value for depth, group in found.depths.items()} == {1: 0.4, 2: 0.8}
    assert found.classes[GOES_ON].mean == Interval(0.8)
    assert found.categories["two"].value == 0.6
    assert found.depths[1].mean.units == 2


def test_intervals_that_touch_are_not_apart() -> None:
    low, high = Interval(0.2, 0.1, 0.3, 9), Interval(0.5, 0.4, 0.6, 9)

    assert apart(low, high)
    assert apart(high, low)
    assert not apart(low, Interval(0.35, 0.3, 0.4, 9))
    assert not apart(low, Interval(0.5, 0.4, 0.6, 3))
    assert not apart(low, Interval(0.5))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = tmp_path_factory.mktemp("acceptance") / "run"
    return toy_run(path, "acceptance", prompts=6, max_tokens=24, drafters=("recycle", "early_exit"))


def results(run: RunFolder) -> Results:
    return runs.results_of(run)["acceptance"]


def test_what_is_counted_is_what_the_distributions_say(run: RunFolder) -> None:
    found = overlaps_of(results(run), "noise 0.8")

    variance = sum(value * (1 - value) for value in found.all.overlaps)
    difference = sum(p.accepted - p.overlap for p in found.positions)
    assert len(found.positions) > 40
    assert abs(difference) < 5 * variance**0.5


def test_the_average_is_answered_by_real_drafts(run: RunFolder) -> None:
    answer = Acceptance().answers(results(run))["acceptance"]

    assert "recycle" in answer
    assert "early_exit" in answer
    assert "noise" not in answer


def test_few_prompts_compare_no_kinds_of_task(run: RunFolder) -> None:
    section = Acceptance().section(results(run))

    assert "There are too few prompts to compare kinds of task." in section.findings
    assert {plot.name for plot in section.plots} == {"acceptance", "acceptance-means"}


def test_temperature_is_the_run_s_where_it_has_one(run: RunFolder) -> None:
    setup = results(run).setup
    arms = Acceptance().arms(setup)
    warm = Acceptance(temperature=0.6).arms(setup)

    assert {arm.settings["temperature"] for arm in arms} == {1.0}
    assert {arm.settings["temperature"] for arm in warm} == {0.6}
    assert arms[1].settings["drafter"] == "early_exit:draws=true"
    assert arms[0].settings["drafter"] == "recycle"


@pytest.mark.parametrize(
    ("spec", "drawn"),
    [
        ("ngram", "ngram"),
        ("early_exit:layers=2", "early_exit:layers=2,draws=true"),
        ("model:draft_model=a.gguf", "model:draft_model=a.gguf,draws=true"),
        (
            "model:draft_model=a.gguf,through_text=true",
            "model:draft_model=a.gguf,through_text=true",
        ),
    ],
)
def test_drafts_are_drawn_where_they_can_be(spec: str, drawn: str) -> None:
    assert drawing(spec) == drawn
