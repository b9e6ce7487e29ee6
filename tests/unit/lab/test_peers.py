"""The experiment over other engines, with made-up ones over the toy engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lab.toy_model import toy_llm
from lab.toy_runs import made, planned, toy_setup

from outrider.errors import OutriderError, UsageError
from outrider.lab import report, runs
from outrider.lab.experiment import Section
from outrider.lab.experiments import peers
from outrider.lab.experiments.peers import OURS, Peers
from outrider.lab.peers.contestants import Contestant
from outrider.lab.peers.copies import TWIN
from outrider.lab.run_folder import RunFolder

SLOW = Contestant(peer="llama.cpp", mode="plain")
FAST = Contestant(peer="llama.cpp", mode="draft model")
COPY = Contestant(peer="llama.cpp", mode="plain", file=TWIN)
ABSENT = Contestant(peer="vLLM", mode="plain")
MS = {SLOW.name: 4e6, FAST.name: 2e6, COPY.name: 1e6}
"""A token, so long that no clock's noise matters beside it."""


class Made:
    """A pool without processes: says what plain decoding says, and then something else."""

    def __init__(self, llm: Any) -> None:
        self.llm, self.asked, self.closed = llm, list[str](), False

    def report(self, contestant: Contestant) -> dict[str, Any]:
        return {"versions": {"engine": "7.1"}, "settings": {}}

    def generate(
        self, contestant: Contestant, tokens: Sequence[int], max_tokens: int, stop: Sequence[int]
    ) -> dict[str, Any]:
        self.asked.append(contestant.name)
        if contestant is ABSENT:
            raise OutriderError("vLLM could not be made here: no wheel")
        from outrider.types import Request

        request = Request(tokens=tuple(tokens))
        said = list(self.llm.generate(request, max_tokens=max_tokens, speculation=False).tokens)
        if contestant is FAST:
            said[len(said) // 2 :] = [46] * (len(said) - len(said) // 2)
        if contestant is COPY:
            said.append(stop[0])
        decode = MS[contestant.name] * (len(said) - 1) / 1000
        return {"tokens": said, "first": 1, "prefill": 0.5, "decode": decode}

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Made]:
    """The pools that were opened."""
    opened: list[Made] = []

    def open_pool(bench: Any) -> Made:
        opened.append(Made(bench.llm))
        return opened[-1]

    monkeypatch.setattr(peers, "open_pool", open_pool)
    monkeypatch.setattr(peers, "contestants", lambda quick: [SLOW, FAST, COPY, ABSENT])
    return opened


def run(path: Path, **changes: Any) -> RunFolder:
    with toy_llm() as llm:
        folder = runs.begin(path, llm, ["peers"], toy_setup(**changes), {})
        runs.go_on(llm, folder, lambda progress: None)
    return folder


def section(folder: RunFolder) -> Section:
    experiment = Peers()
    results = runs.compared(experiment, runs.results_of(folder)["peers"])
    assert results is not None
    return experiment.section(results)


def test_every_engine_is_compared_at_its_best(tmp_path: Path, engines: list[Made]) -> None:
    folder = run(tmp_path / "run", prompts=6)
    found = section(folder)
    best, every, missing, versions = found.tables

    assert made(folder) == planned(folder)
    assert engines[0].closed
    rows = {row[0]: row for row in best.rows}
    assert list(rows) == ["llama.cpp, same file", "llama.cpp, Q4_0 copy"]
    assert rows["llama.cpp, same file"][1:3] == ("draft model", "0.0")
    assert rows["llama.cpp, Q4_0 copy"][-1] == "100%"
    assert "llama.cpp, draft model" in found.findings[0]
    assert [row[0] for row in every.rows] == [
        "Outrider, plain",
        "Outrider",
        SLOW.name,
        FAST.name,
        COPY.name,
    ]
    assert missing.rows == [
        (ABSENT.name, "6 of 6", "vLLM could not be made here: no wheel"),
    ]
    assert versions.rows == [("llama.cpp", "engine 7.1")]
    assert "Not measured: vLLM, plain" in found.findings[-1]


def test_answers_are_compared_until_they_differ(tmp_path: Path) -> None:
    results = runs.results_of(run(tmp_path / "run"))["peers"]
    assert peers.equal_share(results, OURS.name) == 1.0
    assert peers.equal_share(results, SLOW.name) == 1.0
    # The end of a text is none of its tokens.
    assert peers.equal_share(results, COPY.name) == 1.0
    assert 0.3 < peers.equal_share(results, FAST.name) < 0.7
    assert {s.reason for s in results.samples(COPY.name)} == {"stop"}


def test_ratios_are_of_ours_over_theirs(tmp_path: Path) -> None:
    results = runs.results_of(run(tmp_path / "run"))["peers"]
    slow, fast = results.total(OURS.name, SLOW.name), results.total(OURS.name, FAST.name)
    assert slow is not None
    assert fast is not None
    assert slow.value == pytest.approx(2 * fast.value)


def test_a_run_goes_on_where_it_was_interrupted(tmp_path: Path, engines: list[Made]) -> None:
    path = tmp_path / "run"
    with toy_llm() as llm:
        folder = runs.begin(path, llm, ["peers"], toy_setup(), {})

        def interrupt(progress: runs.Progress) -> None:
            if progress.done == 7:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            runs.go_on(llm, folder, interrupt)
        assert engines[0].closed
        runs.go_on(llm, folder, lambda progress: None)
    assert sorted(made(folder)) == sorted(planned(folder))


def test_the_report_shows_what_could_not_be_done(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    report.write(folder)
    text = (folder.path / "report.md").read_text(encoding="utf-8")
    assert "| vLLM, plain | 3 of 3 | vLLM could not be made here: no wheel |" in text
    assert (folder.path / "plots" / "peers.svg").is_file()


@pytest.mark.parametrize("settings", [{"temperature": 0.8}, {"top_k": 4}])
def test_only_greedy_answers_can_be_compared(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"leave out {next(iter(settings))}="):
        Peers().arms(toy_setup(settings=settings))


def test_a_draft_model_takes_part_on_our_side_too() -> None:
    drafters = ("model:draft_model=other", "ngram")
    arms = Peers().arms(toy_setup(drafters=drafters))
    assert arms[2].settings == {"drafter": "model:draft_model=other"}
    assert len(arms) == len(Peers().arms(toy_setup())) + 1


def test_it_runs_only_where_it_is_named() -> None:
    assert "peers" not in runs.all_experiments()
    assert "baseline" in runs.all_experiments()


def test_engines_can_be_left_out_and_the_report_says_so(tmp_path: Path) -> None:
    with toy_llm() as llm:
        folder = runs.begin(tmp_path / "run", llm, ["peers:without=vllm"], toy_setup(), {})
        runs.go_on(llm, folder, lambda progress: None)
    _, (chapter,) = report.write(folder)
    assert ABSENT.name not in {m.arm for m in folder.measurements()}
    assert "Left out, as asked: vLLM." in chapter.section.findings
    with pytest.raises(UsageError, match="engine 'vlm'"):
        Peers(without="vlm")
