"""What is said of temperatures: what was measured at them."""

from __future__ import annotations

import pytest
from lab.toy_runs import timed, toy_run

from outrider.lab import runs
from outrider.lab.experiments.temperature import FEWER, Temperature
from outrider.lab.results import Results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = toy_run(tmp_path_factory.mktemp("temperature") / "run", "temperature", prompts=6)
    # Coupled drafting takes half of plain decoding's time where it is cold, and twice where hot.
    factors = {f"coupled at {at:g}": 0.5 if at < 1.0 else 2.0 for at in FEWER}
    timed(folder, 1, factors, noise=0.02)
    return runs.results_of(folder)["temperature"]


def test_answers_are_findings(results: Results) -> None:
    stops, accepted, *_ = Temperature().section(results).findings

    assert Temperature().answers(results) == {"stops": stops, "temperature": accepted}
    assert stops.startswith("Drafting pays up to temperature 0.5 ")
    assert "at 1 it is not shown to pay any more" in stops
    assert accepted.count("% ") == 2


def test_where_it_is_slower_is_advised_against(results: Results) -> None:
    (advice,) = Temperature().advice(results)

    assert advice.startswith("Do not draft 4 tokens whatever comes at temperature 1: ")
