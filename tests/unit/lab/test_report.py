"""Reports over the toy engine: whole, of half a run, and what they may not need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lab.toy_model import toy_llm
from lab.toy_runs import toy_run, toy_setup

from outrider import registry
from outrider.errors import UsageError
from outrider.lab import report, runs
from outrider.lab.chapters import TOO_EARLY
from outrider.lab.plots import inline
from outrider.lab.run_folder import RunFolder

# How much memory the toy takes says nothing, and it has no file with weights.
WITHOUT = ("memory", "quantization")
EXPERIMENTS = [name for name in runs.all_experiments() if name not in WITHOUT]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of all experiments, with its report."""
    folder = toy_run(tmp_path_factory.mktemp("lab") / "run", *EXPERIMENTS, prompts=6)
    report.write(folder)
    return folder


def test_every_experiment_has_its_chapter_and_its_plots(whole: RunFolder) -> None:
    html = (whole.path / "report.html").read_text(encoding="utf-8")
    markdown = (whole.path / "report.md").read_text(encoding="utf-8")

    for name in EXPERIMENTS:
        experiment = registry.load("experiments", name)
        assert f'<h2 id="{name}">{experiment.title}</h2>' in html
        assert f"## {experiment.title}" in markdown
    pictures = re.findall(r"!\[.+\]\((plots/.+\.svg)\)", markdown)
    assert len(pictures) >= len(EXPERIMENTS)
    assert html.count("<svg") == len(pictures)
    for picture in pictures:
        assert (whole.path / picture).read_text().startswith("<?xml")
        assert (whole.path / picture).with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_page_needs_nothing_beside_it(whole: RunFolder) -> None:
    html = (whole.path / "report.html").read_text(encoding="utf-8")

    assert not re.search(r"<(script|link|img|iframe)\b|@import|url\((?!#)", html)
    assert not re.search(r"""(href|src)=["'](?!#)""", html)
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html


def test_pictures_have_the_page_s_colours() -> None:
    svg = (
        '<?xml?>\n<svg width="4pt" height="3pt" viewBox="0 0 4 3"><path d="#1c1d21 #fefefe"/></svg>'
    )

    found = inline(svg, 'Speed & "more" <here>')

    assert found.startswith('<svg viewBox="0 0 4 3" role="img"')
    assert 'aria-label="Speed &amp; &quot;more&quot; &lt;here>"' in found
    assert "var(--ink) var(--paper)" in found


def test_half_a_run_says_what_is_missing(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "baseline", "k-sweep", prompts=6)
    path = tmp_path / "run" / "measurements.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:40]))

    _, chapters = report.write(folder)

    assert [chapter.missing for chapter in chapters] == [0, 20]
    assert chapters[1].section.plots
    assert "20 planned measurements are missing" in (tmp_path / "run" / "report.md").read_text()


def test_an_experiment_that_has_hardly_begun_says_so(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "k-sweep")
    path = tmp_path / "run" / "measurements.jsonl"
    lines = path.read_text().splitlines(keepends=True)

    # First some arms are missing; then all of one prompt are there, whose answer is a single token.
    for kept in (3, 9):
        path.write_text("".join(lines[:kept]))
        _, (chapter,) = report.write(folder)
        assert chapter.section.findings == (TOO_EARLY,)
        assert [*chapter.shown, *chapter.elsewhere] == []


def test_a_run_of_nothing_has_no_report(tmp_path: Path) -> None:
    with toy_llm() as llm:
        folder = runs.begin(tmp_path / "run", llm, ["baseline"], toy_setup(), {})
    with pytest.raises(UsageError, match="Nothing is measured"):
        report.write(folder)


def test_the_same_measurements_give_the_same_pictures(whole: RunFolder) -> None:
    before = {p.name: p.read_bytes() for p in (whole.path / "plots").glob("*.svg")}

    report.write(whole)

    assert {p.name: p.read_bytes() for p in (whole.path / "plots").glob("*.svg")} == before
