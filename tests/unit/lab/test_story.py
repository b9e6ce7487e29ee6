"""What reports conclude, of one run and of several: as much as was measured, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from shutil import copytree

import pytest
from lab.toy_runs import timed, toy_run

from outrider import registry
from outrider.errors import UsageError
from outrider.lab import report
from outrider.lab.conclusion import Conclusion, conclude
from outrider.lab.course import QUESTIONS, answered
from outrider.lab.evidence import gather, names
from outrider.lab.judgement import DECIDERS, judge
from outrider.lab.run_folder import RunFolder
from outrider.lab.statistics import Finding

DRAFTERS = ("ngram", "recycle")
ARMS = (
    *DRAFTERS,
    *(f"{drafter}, fixed 4" for drafter in DRAFTERS),
    *(f"K={length}" for length in (1, 2, 3, 4, 6, 8, 12, 16)),
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs that together measure all but memory."""
    path = tmp_path_factory.mktemp("story")
    values = {"prompts": 13, "drafters": DRAFTERS, "max_tokens": 8}
    toy_run(path / "drafts", "baseline", "speculation", "k-sweep", **values)
    toy_run(path / "conditions", "temperature", "batch", **values)
    return path / "drafts", path / "conditions"


@pytest.fixture
def pair(measured: tuple[Path, Path], tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    """Copies of them, to be changed."""
    first, second = (RunFolder(copytree(path, tmp_path / path.name)) for path in measured)
    return first, second


def conclusion(*folders: RunFolder) -> Conclusion:
    """What runs come to; nothing is drawn."""
    evidence = gather(folders)
    return conclude(evidence, answered(evidence), dict.fromkeys(names(folders), 0.0))


def concluded(folder: RunFolder, factor: float, noise: float = 0.02) -> Conclusion:
    """The conclusion of a run in which every draft takes so many times plain decoding's time."""
    timed(folder, 1, dict.fromkeys(ARMS, factor), noise=noise)
    return conclusion(folder)


def changed(folder: RunFolder, **values: object) -> RunFolder:
    """The run with another description."""
    path = folder.path / "run.json"
    path.write_text(json.dumps(folder.description | values))
    return RunFolder(folder.path)


# --------------------------------------------------------------------------- helps, hurts, neither


def test_where_it_helps(pair: tuple[RunFolder, RunFolder]) -> None:
    found = concluded(pair[0], 0.5)

    assert re.match(
        r"Speculate: .+ is (1\.9|2\.0).+ times as fast as plain decoding", found.when[0]
    )
    assert "is partly luck" in found.when[1]
    assert re.match(r"Take `--drafter \w+.*`; not told apart from it: ", found.settings[0])
    assert not any("--no-speculation" in sentence for sentence in found.settings)


def test_where_it_hurts(pair: tuple[RunFolder, RunFolder]) -> None:
    found = concluded(pair[0], 2.0)

    assert re.match(r"Do not speculate here: .+ is 0\.5.+ all others are slower too", found.when[0])
    assert found.settings == ["Decode plainly: `--no-speculation`."]


def test_where_nothing_is_decided(pair: tuple[RunFolder, RunFolder]) -> None:
    found = concluded(pair[0], 1.0, noise=0.5)

    assert found.when[0].startswith("These measurements do not decide whether speculation helps: ")
    assert "more prompts and repeats would tell" in found.when[0]
    assert found.settings == [
        "None is recommended, for none is shown to be faster than plain decoding."
    ]


def test_what_makes_no_difference_is_called_so(pair: tuple[RunFolder, RunFolder]) -> None:
    found = concluded(pair[0], 1.0, noise=0.01)

    assert "is no difference, or one of less than 5%" in found.when[0]


def test_some_that_are_slower_do_not_condemn_the_others(pair: tuple[RunFolder, RunFolder]) -> None:
    factors = dict.fromkeys(ARMS, 2.0) | {"ngram": 1.0}
    timed(pair[0], 1, factors, noise=0.02)

    found = conclusion(pair[0])

    assert found.when[0].startswith("These measurements do not decide")
    assert any(
        "K=" in sentence and "all others are slower too" in sentence for sentence in found.when
    )


def test_the_best_of_many_is_not_called_faster_by_luck(pair: tuple[RunFolder, RunFolder]) -> None:
    said = []
    for seed in range(12):
        timed(pair[0], seed, noise=0.1)
        said += [judgement.finding for judgement in judge(gather([pair[0]]))[:1]]

    # Twelve arms that are as fast as plain: were each tested alone, one run in five would advise
    # one of them.
    assert said.count(Finding.FASTER) <= 1
    assert said.count(Finding.SLOWER) == 0


# ---------------------------------------------------------------------------------- the whole page


def test_every_answer_has_its_number_and_its_picture(
    pair: tuple[RunFolder, RunFolder], tmp_path: Path
) -> None:
    timed(pair[0], 1, dict.fromkeys(ARMS, 0.5), noise=0.02)
    made = report.story(pair, tmp_path / "story")

    html = made.page.read_text(encoding="utf-8")
    markdown = made.page.with_suffix(".md").read_text(encoding="utf-8")
    answers = markdown[markdown.index("## Twelve questions") :]
    for number, question in enumerate(QUESTIONS[:-1], start=1):
        (said,) = re.findall(rf"^### {number}\. .+\n\n(.+)", answers, re.MULTILINE)
        assert re.search(r"\d", said), question
        (figure,) = re.findall(r", figure (\d+)\)$", said)
        (picture,) = re.findall(rf"!\[Figure {figure}\]\((.+)\)", markdown)
        assert (tmp_path / "story" / picture).is_file()
        assert html.count(f'<figure id="figure-{figure}">') == 1
        assert f"<h3>{number}. {question.text}</h3>" in html
    assert "12. **How much more memory does drafting need?** `outrider lab run memory`" in answers
    # Every picture once, numbered as they stand, and every link leads somewhere.
    assert re.findall(r'<figure id="figure-(\d+)">', html) == [
        str(n) for n in range(1, html.count("<figure") + 1)
    ]
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(re.findall(r' id="([^"]+)"', html))


def test_the_pieces_of_advice_are_those_of_all_runs(pair: tuple[RunFolder, RunFolder]) -> None:
    timed(pair[0], 1, dict.fromkeys(ARMS, 0.5), noise=0.02)
    timed(pair[1], 2, {f"coupled at {t:g}": 0.5 for t in (0.0, 0.5, 1.0, 1.5, 2.0)}, noise=0.02)

    found = conclusion(*pair)

    assert found.when[0].startswith("Speculate: ")
    assert "Drafting pays up to temperature 2, the highest that was measured." in found.when
    assert any("drafting 4 tokens for every answer" in sentence for sentence in found.when)
    assert found.watch[0].startswith("The acceptance at which drafting breaks even: ")
    assert any(sentence.startswith("drafts asked each prompt once") for sentence in found.watch)
    assert found.watch[-1].startswith("Nothing was measured of memory, so nothing is said of it")


def test_what_was_measured_twice_is_told_apart(
    pair: tuple[RunFolder, RunFolder], tmp_path: Path
) -> None:
    faster, slower = pair[0], RunFolder(copytree(pair[0].path, tmp_path / "hot"))
    timed(faster, 1, dict.fromkeys(ARMS, 0.5), noise=0.02)
    timed(slower, 1, dict.fromkeys(ARMS, 2.0), noise=0.02)

    made = report.story([faster, slower], tmp_path / "story")

    assert made.conclusion.when[0].startswith("Speculate: ")
    assert "The measurements disagree, so it depends on what they were asked with." in (
        made.conclusion.when
    )
    assert any(s.startswith("Drafters (hot): ") for s in made.conclusion.when)
    titles = [chapter.title for chapter in made.chapters]
    assert "Draft length (drafts)" in titles
    assert "Draft length (hot)" in titles
    markdown = made.page.with_suffix(".md").read_text(encoding="utf-8")
    throughput = markdown[markdown.index("### 1. ") : markdown.index("### 2. ")]
    assert throughput.count(" tokens a second. (Plain decoding (") == 2


# ----------------------------------------------------------------- what measurements do not support


def test_runs_of_folders_of_one_name_are_numbered(
    pair: tuple[RunFolder, RunFolder], tmp_path: Path
) -> None:
    other = RunFolder(copytree(pair[0].path, tmp_path / "elsewhere" / "drafts"))

    assert {each.run for each in gather([pair[0], other])} == {"drafts-1", "drafts-2"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"fingerprint": "ff", "model_name": "Other"},
            r"different models: toy \(0\) and Other \(ff\)",
        ),
        (
            {"machine": {"processor": "Z80", "logical_cores": 1, "system": "CP/M"}},
            "different machines: .+ and Z80, 1, CP/M",
        ),
        ({"threads": 3}, "different numbers of threads: unknown and 3"),
        ({"kernel": "avx2"}, "different kernels: unknown and avx2"),
    ],
)
def test_what_must_not_be_mixed_is_refused_by_name(
    pair: tuple[RunFolder, RunFolder], tmp_path: Path, values: Mapping[str, object], message: str
) -> None:
    other = changed(pair[1], **values)

    with pytest.raises(UsageError, match=message) as raised:
        report.story([pair[0], other], tmp_path / "story")

    assert str(pair[0].path) in str(raised.value)
    assert str(other.path) in str(raised.value)
    assert not (tmp_path / "story").exists()


def test_a_run_that_is_named_twice(pair: tuple[RunFolder, RunFolder]) -> None:
    with pytest.raises(UsageError, match="is named twice"):
        gather([pair[0], RunFolder(pair[0].path)])


def test_few_prompts_are_too_few(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "speculation", drafters=DRAFTERS)

    found = concluded(folder, 0.5)

    assert re.search(r"do not decide .+ \d prompts? (is|are) too few to tell", found.when[0])


def test_without_drafts_nothing_is_said_of_them(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "run", "baseline")

    found = conclusion(folder)

    assert found.when == [
        "Nothing here says whether speculation helps: `outrider lab run speculation` measures it."
    ]
    assert list(found.settings) == []
    assert "speculation, k-sweep, temperature" in found.watch[-1]


def test_half_a_run_and_answers_that_differ_are_warned_of(
    pair: tuple[RunFolder, RunFolder],
) -> None:
    path = pair[0].path / "measurements.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()][:-9]
    wrong = next(line for line in lines if line["arm"] == "ngram" and line["samples"][0]["tokens"])
    wrong["samples"][0]["tokens"][0] += 1
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    watch = conclusion(pair[0]).watch

    assert "drafts is not whole: 9 planned measurements are missing." in watch
    assert any(
        "Answers differ from plain decoding's, which they must not: ngram on 1 prompts" in sentence
        for sentence in watch
    )


def test_experiments_that_decide_are_there() -> None:
    assert set(DECIDERS) <= set(registry.names("experiments"))
