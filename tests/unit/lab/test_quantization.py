"""Formats of a small model's weights: measured once each, left nowhere, told as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab.toy_model import toy_llm
from lab.toy_runs import made, planned, timed, toy_setup

from outrider.errors import UsageError
from outrider.lab import report, runs
from outrider.lab.formats import Format, change_in_words, format_of
from outrider.lab.run_folder import RunFolder
from outrider.lab.statistics import Interval
from outrider.lab.variants import formats
from outrider.llm import LLM
from outrider.registry import load
from outrider.types import Request
from synthetic import Shape, Type, write

PROMPTS = 5


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.gguf"
    write(path, Shape(type=Type.Q8_0))
    return path


def begun(path: Path, folder: Path) -> tuple[LLM, RunFolder]:
    llm = LLM(path, cache_budget=4 << 20)
    setup = toy_setup(PROMPTS, model=str(path), context=llm.context, formats=formats(llm))
    return llm, runs.begin(folder, llm, ["quantization"], setup, {})


@pytest.fixture(scope="module")
def whole(path: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    llm, folder = begun(path, tmp_path_factory.mktemp("lab") / "run")
    with llm:
        runs.go_on(llm, folder, lambda progress: None)
    return folder


def format_called(folder: RunFolder, name: str) -> Format:
    return format_of(runs.results_of(folder)["quantization"], name)


def test_every_cell_is_measured_and_no_copy_stays(whole: RunFolder) -> None:
    assert made(whole) == planned(whole)
    assert len(made(whole)) == PROMPTS * (1 + 2 * 3)
    assert not list(whole.path.rglob("*.gguf"))
    assert sorted(p.name for p in whole.path.iterdir() if p.is_dir()) in ([], ["plots"])


def test_fewer_bits_diverge_more_and_wider_ones_are_called_so(whole: RunFolder) -> None:
    given, wide, narrow = (format_called(whole, name) for name in ("plain", "F16", "Q4_0"))

    assert given.kl.value < narrow.kl.value
    assert given.kl.value == pytest.approx(wide.kl.value, rel=1.0)
    assert given.as_given == 1.0
    assert narrow.as_given < 1.0
    assert narrow.facts["file_bytes"] < given.facts["file_bytes"] < wide.facts["file_bytes"]
    assert wide.row == "F16, widened"
    assert narrow.row == "Q4_0"


def test_drafts_of_copies_change_no_token(whole: RunFolder, path: Path) -> None:
    results = runs.results_of(whole)["quantization"]
    said = {s.prompt: s.tokens for s in results.samples("plain")}
    drafted = results.samples("Q4_0 as draft")

    assert {s.prompt: s.tokens for s in drafted} == said
    assert sum(s.usage.draft_tokens for s in drafted) > 0
    with LLM(path, cache_budget=4 << 20) as llm:
        prompt = results.setup.prompts[0].turns[0]
        again = llm.generate(Request(prompt=prompt), max_tokens=12, speculation=False)
    assert again.tokens == said[0]


def test_a_run_that_stopped_midway_goes_on(path: Path, whole: RunFolder, tmp_path: Path) -> None:
    def interrupt(progress: runs.Progress) -> None:
        if progress.done == 9:
            raise KeyboardInterrupt

    llm, folder = begun(path, tmp_path / "run")
    with llm:
        with pytest.raises(KeyboardInterrupt):
            runs.go_on(llm, folder, interrupt)
        runs.go_on(llm, folder, lambda progress: None)

    assert made(folder) == planned(folder)
    values = [
        [(m.key, m.values.get("exact")) for m in each.measurements()] for each in (folder, whole)
    ]
    assert values[0] == values[1]


def test_the_report_says_what_is_shown(whole: RunFolder) -> None:
    timed(whole, 0, {"Q4_0": 0.5, "Q4_0 as draft": 2.0, "F16 as draft": 1.5, "Q4_1 as draft": 1.4})
    _, (chapter,) = report.write(whole)

    assert "The fastest copy, Q4_0, is 2." in chapter.section.findings[0]
    assert any("A copy in Q4_0 is 2." in sentence for sentence in chapter.evidence.advice)
    assert not any("as a draft" in sentence for sentence in chapter.evidence.advice)
    assert "token for token" in chapter.section.findings[-1]
    assert chapter.evidence.answers["alignment"].startswith(
        "A copy in F16 agrees with the file as given"
    )
    assert any("Widened" in note and "F16" in note for note in chapter.section.notes)
    assert len([*chapter.shown, *chapter.elsewhere]) == 2


def test_without_copies_the_file_alone_is_measured(path: Path, tmp_path: Path) -> None:
    with LLM(path, cache_budget=4 << 20) as llm:
        setup = toy_setup(PROMPTS, model=str(path), context=llm.context)
        folder = runs.begin(tmp_path / "run", llm, ["quantization"], setup, {})
        runs.go_on(llm, folder, lambda progress: None)
    _, (chapter,) = report.write(folder)

    assert len(made(folder)) == PROMPTS
    assert "No copy was made" in chapter.section.findings[-1]
    assert list(chapter.evidence.advice) == []


def test_a_model_without_a_file_is_refused(tmp_path: Path) -> None:
    with toy_llm() as llm:
        folder = runs.begin(tmp_path / "run", llm, ["quantization"], toy_setup(), {})
        with pytest.raises(UsageError, match="needs a model loaded from a file"):
            runs.go_on(llm, folder, lambda progress: None)


def test_changes_in_words() -> None:
    assert change_in_words(Interval(1.2, 1.1, 1.3, 9)) == "+20.0% (+10.0% to +30.0%)"
    assert change_in_words(Interval(1.0, 0.9, 1.1, 9)).endswith("which may be none")
    assert change_in_words(Interval(0.98)) == "-2.0%"


def test_an_older_folder_has_no_formats(whole: RunFolder) -> None:
    description = json.loads((whole.path / "run.json").read_text(encoding="utf-8"))
    assert runs.setup_of(whole).formats == ("F16", "Q4_1", "Q4_0")
    del whole.description["setup"]["formats"]
    assert runs.setup_of(whole).formats == ()
    whole.description["setup"] = description["setup"]
    assert load("experiments", "quantization").name == "quantization"
