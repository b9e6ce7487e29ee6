"""Runs over the toy engine: what is planned, kept and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab.toy_model import toy_llm
from lab.toy_runs import made, planned, toy_run, toy_setup

from outrider.errors import UsageError
from outrider.lab import runs
from outrider.lab.records import Measurement
from outrider.lab.run_folder import RunFolder


def measured(key: str, ms: float) -> Measurement:
    experiment, arm, group, repeat = key.split("/")
    return Measurement(
        key=key, experiment=experiment, arm=arm, group=int(group), repeat=int(repeat), ms=ms
    )


def test_every_cell_is_measured_once_in_the_planned_order(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "baseline", "k-sweep", repeats=2)

    assert made(folder) == planned(folder)
    assert len(set(made(folder))) == len(made(folder)) == 2 * 3 * (1 + 9)
    assert folder.description["cells"] == {"baseline": 6, "k-sweep": 54}


def test_arms_take_turns_and_each_is_first_as_often(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "k-sweep", prompts=3)

    asked = [(m.group, m.arm) for m in folder.measurements()]
    assert [group for group, _ in asked] == [0] * 9 + [1] * 9 + [2] * 9
    assert [asked[start][1] for start in (0, 9, 18)] == ["plain", "K=1", "K=2"]


def test_a_measurement_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "speculation")

    for measurement in folder.measurements():
        assert Measurement.parse(measurement.line()) == measurement
        (sample,) = measurement.samples
        assert sample.usage.completion_tokens == len(sample.tokens)
        assert sum(len(each) for each in sample.passes.values()) == sample.usage.steps
    drafted = [s for m in folder.measurements() for s in m.samples if s.usage.draft_tokens]
    assert drafted


def test_the_description_says_what_was_asked_and_what_it_came_to(tmp_path: Path) -> None:
    with toy_llm() as llm:
        runs.begin(tmp_path / "run", llm, ["baseline"], toy_setup(), {"quick": True})
    values = json.loads((tmp_path / "run" / "run.json").read_text())

    assert values["given"] == {"quick": True}
    assert values["setup"]["drafters"] == ["ngram", "recycle"]
    assert values["model_name"] == "toy"
    assert {"machine", "versions", "fingerprint", "begun"} <= values.keys()
    assert runs.setup_of(RunFolder(tmp_path / "run")) == toy_setup()


@pytest.mark.parametrize("kept", [0, 1, 13, 26])
@pytest.mark.parametrize("torn", ["", '{"key": "k-sw', "{}"])
def test_a_retry_measures_what_is_left(tmp_path: Path, kept: int, torn: str) -> None:
    folder = toy_run(tmp_path / "run", "k-sweep")
    path = tmp_path / "run" / "measurements.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:kept]) + torn)
    before = made(folder)

    with toy_llm() as llm:
        told: list[runs.Progress] = []
        runs.go_on(llm, folder, told.append)

    assert before == planned(folder)[:kept]
    assert made(folder) == planned(folder)
    assert path.read_text().splitlines(keepends=True)[:kept] == lines[:kept]
    assert [progress.done for progress in told] == list(range(kept + 1, len(lines) + 1))


def test_a_whole_run_is_left_as_it_is(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "baseline")
    before = (tmp_path / "run" / "measurements.jsonl").read_bytes()

    with toy_llm() as llm:
        runs.go_on(llm, folder, lambda progress: None)

    assert (tmp_path / "run" / "measurements.jsonl").read_bytes() == before


@pytest.mark.parametrize("line", ["not JSON", "[]", '{"key": "a"}', '{"samples": []}'])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, line: str) -> None:
    folder = toy_run(tmp_path / "run", "baseline")
    path = tmp_path / "run" / "measurements.jsonl"
    path.write_text(f"{line}\n{path.read_text()}")

    with pytest.raises(UsageError, match=r"Line 1 of .* is damaged .*retry"):
        folder.measurements()


def test_a_folder_is_used_once(tmp_path: Path) -> None:
    toy_run(tmp_path / "run", "baseline")
    with pytest.raises(UsageError, match="holds a run already; `outrider lab retry"):
        toy_run(tmp_path / "run", "baseline")
    with pytest.raises(UsageError, match="There is no run in"):
        RunFolder(tmp_path / "other")


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "baseline")
    folder.description["format"] = 99
    with pytest.raises(UsageError, match="format 99"):
        runs.setup_of(folder)


def test_one_process_measures_at_a_time(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "baseline")
    with (
        folder.alone(),
        toy_llm() as llm,
        pytest.raises(UsageError, match="Another process is measuring"),
    ):
        runs.go_on(llm, RunFolder(folder.path), lambda progress: None)


def test_another_model_is_refused(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "baseline")
    folder.description["fingerprint"] = "other"
    with toy_llm() as llm, pytest.raises(UsageError, match="another model file"):
        runs.go_on(llm, folder, lambda progress: None)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "Name an experiment; known: "),
        (["k-swep"], "Unknown experiment 'k-swep'; did you mean 'k-sweep'"),
        (["baseline", "baseline"], "named twice"),
        (["k-sweep", "k-sweep:drafter=ngram"], "'k-sweep' is named twice"),
        (["temperature:heat=1"], "Unknown option of the experiment 'temperature'"),
    ],
)
def test_what_is_no_experiment(tmp_path: Path, names: list[str], message: str) -> None:
    with toy_llm() as llm, pytest.raises(UsageError, match=message):
        runs.begin(tmp_path / "run", llm, names, toy_setup(), {})
    assert not (tmp_path / "run").exists()


def test_nothing_is_measured_with_speculation_switched_off(tmp_path: Path) -> None:
    with (
        toy_llm(speculation=False) as llm,
        pytest.raises(UsageError, match="Speculation is switched off"),
    ):
        runs.begin(tmp_path / "run", llm, ["baseline"], toy_setup(), {})


def test_an_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    def interrupt(progress: runs.Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with toy_llm() as llm:
        folder = runs.begin(tmp_path / "run", llm, ["baseline"], toy_setup(), {})
        with pytest.raises(KeyboardInterrupt):
            runs.go_on(llm, folder, interrupt)
        assert made(folder) == planned(folder)[:2]
        runs.go_on(llm, folder, lambda progress: None)
    assert made(folder) == planned(folder)


def test_what_is_left_takes_as_long_as_what_was_alike() -> None:
    cells = [
        runs.Cell(experiment="e", arm=arm, group=group, repeat=0)
        for arm in ("fast", "slow")
        for group in range(3)
    ]
    estimate = runs.Estimate(cells, [measured("e/fast/0/0", 10.0)])

    # Nothing is known of the slow arm yet: it is taken to be like the rest.
    assert estimate.after(measured("e/fast/1/0", 20.0)).left_ms == pytest.approx(4 * 15.0)
    after = estimate.after(measured("e/slow/0/0", 100.0))
    assert after.left_ms == pytest.approx(15.0 + 2 * 100.0)
    assert (after.done, after.total, after.what) == (3, 6, "e slow")


def test_the_harness_is_timed_empty(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "baseline")
    measurements = folder.measurements()

    assert runs.harness_share(measurements) > 0.0
    assert made(folder) == [m.key for m in measurements]
