"""Typical verification: what passes, what it costs, and what is concluded from it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.toy_runs import timed, toy_run, toy_setup

from outrider.lab import runs
from outrider.lab.experiments.acceptance_rules import (
    AcceptanceRules,
    Rule,
    divergence,
    rules_of,
)
from outrider.lab.results import Results
from outrider.lab.run_folder import RunFolder
from outrider.lab.watching import Reached

RULE = Rule(0.09, 0.3)


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=8), st.integers(0, 1))
def test_divergence_is_that_of_what_is_said(weights: list[float], drafted: int) -> None:
    p = np.array(weights) / sum(weights)
    entropy = -float((p * np.log(p)).sum())
    passes = p[drafted] > min(RULE.epsilon, RULE.delta * math.exp(-entropy))
    said = np.zeros(len(p))
    said[drafted] = 1.0
    if not passes:
        said = p
    expected = float((said[said > 0] * np.log(said[said > 0] / p[said > 0])).sum())

    found = divergence(Reached(1, p, None, (drafted,), 0), RULE)

    assert found == pytest.approx(expected, abs=1e-12)


def test_a_rule_that_lets_more_pass_diverges_more() -> None:
    p = np.array([0.6, 0.25, 0.1, 0.05])
    found = [
        sum(divergence(Reached(1, p, None, (t,), t), rule) for t in range(4))
        for rule in (Rule(0.01, 0.1), RULE, Rule(0.3, 1.0), Rule(1.0, 1e9))
    ]

    assert found == sorted(found, reverse=True)
    assert found[-1] == 0.0


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = tmp_path_factory.mktemp("rules") / "run"
    return toy_run(path, "acceptance-rules", prompts=6, drafters=("recycle",))


def results(run: RunFolder) -> Results:
    return runs.results_of(run)["acceptance-rules"]


def graded(run: RunFolder, wrong: str | None) -> None:
    """Make all sums right but those of one arm."""
    path = run.path / "measurements.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for number, line in enumerate(lines):
        if "correct" in line["values"]:
            line["values"]["correct"] = line["arm"] != wrong or number % 5 == 0
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_problems_are_graded_and_prompts_are_timed(run: RunFolder) -> None:
    found = results(run)

    for measurement in found.measurements:
        assert ("correct" in measurement.values) != ("kl" in measurement.values)
    arms = {"plain", "coupled", *(rule.name for rule in rules_of(found.setup))}
    assert set(found.arms) == arms
    assert all(len(found.of(arm)) == 6 + 26 for arm in arms)
    assert all(m.values.get("kl", 0.0) == 0.0 for m in found.of("coupled"))
    loose = rules_of(found.setup)[0].name
    assert sum(m.values.get("kl", 0.0) for m in found.of(loose)) > 0.0


def test_fewer_right_answers_are_told_where_they_are_shown(run: RunFolder) -> None:
    experiment, loose = AcceptanceRules(), rules_of(toy_setup())[0].name
    timed(run, 1, noise=1.0)
    graded(run, None)
    assert experiment.advice(results(run)) == []
    assert "that any setting has fewer is not shown" in experiment.section(results(run)).findings[2]

    graded(run, loose)
    (sentence,) = experiment.advice(results(run))
    assert sentence.startswith(f"Do not verify with typical {loose}: it gives fewer right")
    assert f"fewer have {loose}" in experiment.section(results(run)).findings[2]


def test_what_is_slower_than_coupled_is_told(run: RunFolder) -> None:
    strict = rules_of(toy_setup())[-1].name
    graded(run, None)
    timed(run, 1, {strict: 2.0}, noise=0.02)

    (sentence,) = AcceptanceRules().advice(results(run))

    assert sentence.startswith(f"Do not verify with typical {strict}: it is lossy, and slower")


def test_every_pair_is_tried_without_haste() -> None:
    assert len(rules_of(toy_setup(quick=False))) == 9
    assert Rule(0.09, 0.3) in rules_of(toy_setup())
