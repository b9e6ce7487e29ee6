"""What is compared, what is simulated, and what it takes to break even."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab.toy_runs import timed, toy_run, toy_setup

from outrider.lab import runs
from outrider.lab.experiments.alignment import Alignment
from outrider.lab.experiments.drafts import DECLARED, LENGTH, drafts_of, near, points_of
from outrider.lab.results import Results
from outrider.lab.run_folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = tmp_path_factory.mktemp("alignment") / "run"
    return toy_run(path, "alignment", prompts=6, layers=4)


def results(run: RunFolder) -> Results:
    return runs.results_of(run)["alignment"]


def test_what_is_compared() -> None:
    given = ("mixed", "ngram", "early_exit", "model:draft_model=a.gguf", "early_exit:layers=2")
    setup = toy_setup(drafters=given, layers=8, copy_drafts=True)

    named = {draft.name: draft.approach for draft in drafts_of(setup)}

    assert list(named) == [
        *("mixed", "model:draft_model=a.gguf", "early_exit:layers=2", "quantized"),
        *("early_exit:layers=4", "early_exit:layers=6", "random"),
        *("noise 0.5", "noise 0.8", "noise 2.5"),
    ]
    assert named["model:draft_model=a.gguf"] == "separate model"
    through_text = toy_setup(drafters=("model:draft_model=a.gguf,through_text=true",), quick=False)
    assert drafts_of(through_text)[0].approach == "another family"
    assert not any(d.approach in ("early exit", "4-bit copy") for d in drafts_of(through_text))


def test_simulated_drafts_have_the_declared_cost(run: RunFolder) -> None:
    found = results(run)
    point = next(p for p in points_of(found) if p.draft.name == "noise 0.5")
    pass_ms = found.pass_ms()[1]
    total_ms = sum(
        s.usage.decode_ms - s.usage.draft_ms + DECLARED * pass_ms * s.usage.draft_tokens
        for s in found.samples("noise 0.5")
    )

    plain_ms = sum(s.usage.decode_ms for s in found.samples("plain"))
    assert point.ratio is not None
    assert point.ratio.value == pytest.approx(plain_ms / total_ms)
    assert point.simulated


def test_a_cost_may_be_declared_with_the_drafter() -> None:
    setup = toy_setup(drafters=("perturbed:noise=1,cost=0.3", "perturbed:noise=1"), quick=False)
    own, default = drafts_of(setup)[:2]

    assert (own.declared, default.declared) == (0.3, DECLARED)
    assert own.simulated


def test_at_the_break_even_the_time_is_that_of_plain_decoding(run: RunFolder) -> None:
    checked = 0
    for point in points_of(results(run)):
        if point.costs is None or point.break_even is None:
            continue
        time = LENGTH * point.costs.c + point.costs.v(LENGTH + 1)
        assert 1.0 + LENGTH * point.break_even == pytest.approx(max(time, 1.0))
        checked += 1
    assert checked


def test_only_what_was_measured_answers(run: RunFolder) -> None:
    experiment = Alignment()
    answers = experiment.answers(results(run))

    assert set(answers) == {"alignment", "break-even"}
    assert "noise" not in " ".join(answers.values())


def test_advice_where_the_intervals_show_it(run: RunFolder) -> None:
    experiment = Alignment()
    exits = [name for name in results(run).arms if name.startswith("early_exit")]
    timed(run, 1, dict.fromkeys(exits, 3.0), noise=0.02)
    (sentence,) = experiment.advice(results(run))
    assert all(name in sentence for name in exits)
    assert "random" not in sentence

    timed(run, 1, noise=1.0)
    assert experiment.advice(results(run)) == ()


def test_near_an_acceptance_are_the_prompts_that_have_it(run: RunFolder) -> None:
    path = run.path / "measurements.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        for sample in line["samples"]:
            if line["arm"] == "ngram":
                rate = (0.2, 0.25, 0.9, 0.9, 0.5, 0.2)[sample["prompt"]]
                sample["usage"] |= {"draft_tokens": 20, "accepted_tokens": round(20 * rate)}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = results(run)
    points = [p for p in points_of(found) if p.draft.name == "ngram"]

    close = near(found, points, 0.2)

    assert close is not None
    assert close.prompts == 3
    assert close.rate == pytest.approx((0.2 + 0.25 + 0.2) / 3)
    assert near(found, points, 0.7) is None


def test_the_report_of_an_engine_that_cannot_stop_early(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "alignment", prompts=2)
    section = Alignment().section(results(folder))

    assert any("cannot stop after some layers" in note for note in section.notes)
