"""The course in seven parts: its questions, its commands and its tables, empty and filled."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from lab.toy_runs import timed, toy_run

from outrider import registry
from outrider.cli.app import app
from outrider.lab import report
from outrider.lab.course import QUESTIONS
from outrider.lab.evidence import gather
from outrider.lab.run_folder import RunFolder
from outrider.lab.walk import PARTS

ROOT = Path(__file__).parents[3]


DRAWN = ("baseline", "speculation", "acceptance", "alignment", "k-sweep", "temperature", "batch")
"""Experiments that the toy engine has everything for."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = tmp_path_factory.mktemp("course") / "run"
    folder = toy_run(
        path, "baseline", "speculation", "k-sweep", "adaptive", "batch", prompts=13, max_tokens=8
    )
    timed(folder, 1, {f"K={k}": 0.5 for k in (1, 2, 3, 4, 6, 8, 12, 16)}, noise=0.02)
    return folder


def test_every_question_has_an_experiment_to_run() -> None:
    assert {question.run for question in QUESTIONS} <= set(registry.names("experiments"))
    assert len({question.key for question in QUESTIONS}) == 12


def test_every_answer_rests_on_a_picture_of_its_experiment(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", *DRAWN, prompts=2, max_tokens=8, layers=4)

    page = report.story([folder], folder.path).page.with_suffix(".md").read_text(encoding="utf-8")

    drawn = {
        each.experiment.name: {plot.name for plot in each.experiment.section(each.paired).plots}
        for each in gather([folder])
        if each.paired is not None
    }
    assert set(drawn) == set(DRAWN)
    for question in QUESTIONS:
        for name in set(question.experiments) & set(drawn):
            picture = question.experiments[name]
            assert picture in drawn[name]
            assert (folder.path / "plots" / f"{picture}.svg").is_file()
            assert f"(plots/{picture}.svg)" in page
    asked = page[page.index("Why does it matter how well") : page.index("Below which acceptance")]
    assert asked.index("(plots/alignment.svg)") < asked.index("(Drafters, figure ")


def test_every_question_is_asked_in_one_part() -> None:
    asked = [key for part in PARTS for key in part.questions]

    assert sorted(asked) == sorted(question.key for question in QUESTIONS)


@pytest.mark.parametrize("line", [new for part in PARTS for _, new in part.commands])
def test_every_command_exists_with_its_options(line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "python":
        assert (ROOT / words[1]).is_file()
        return
    command = typer.main.get_command(app)
    assert words.pop(0) == "outrider"
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known
    assert command.callback is not None


def test_empty_it_has_seven_parts_with_blank_tables() -> None:
    text = report.course([])

    assert [f"## Part {n}: " in text for n in range(1, 8)] == [True] * 7
    assert "| 8 | _______ | _______ | _______ |" in text
    assert "| 0.7 | _______ | _______ | Default |" in text
    assert "| 16 | _______ | _______ | _______ |" in text
    assert "**Question 6: Why does doubling K not double the speed?** _______" in text
    assert text.count("**Question ") == 12
    assert "`outrider lab run k-sweep -o DIR`" in text


def test_it_names_no_experiment_that_is_not_there() -> None:
    named = re.findall(r"outrider lab run (.+?) -o DIR", report.course([]))

    assert len(named) == 7
    assert {name for each in named for name in each.split()} <= set(registry.names("experiments"))


def test_it_is_filled_from_a_run(run: RunFolder) -> None:
    text = report.course([run])

    rows = [line for line in text.splitlines() if line.startswith("| 8 |")]
    assert "_" not in rows[0]
    assert rows[0].split("|")[4].strip().startswith(("1.9", "2.0"))
    # The draft that agrees best comes first.
    alignment = text[text.index("Part 5") : text.index("Part 6")]
    shares = [int(found) for found in re.findall(r"\| (\d+)% \|", alignment)]
    assert len(shares) == 2
    assert shares == sorted(shares, reverse=True)
    assert re.search(r"\| bandit \| [\d.]+ \| \d+% \|", text)
    assert re.search(r"\| 8 \| [\d.]+ \| [\d.]+ ", text[text.index("Part 7") :])
    assert "**Speculate: ngram, K=" in text
    # What the run did not measure stays open.
    assert "| 0.7 | _______ | _______ | Default |" in text


def test_tables_of_several_runs_stand_beside_each_other(run: RunFolder, tmp_path: Path) -> None:
    other = toy_run(tmp_path / "other", "k-sweep", prompts=6)

    text = report.course([run, other])

    lengths = text[text.index("Part 3") : text.index("Part 4")]
    assert lengths.index("From run:") < lengths.index("From other:")
    assert lengths.count("| 8 |") == 2
    assert "(Draft length, other)" in lengths
