"""`outrider answer` and `outrider pack` over the default model, as users call them."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from strategies.answering.runs import Scripted, fair
from typer.testing import CliRunner, Result

from outrider import generators
from outrider.cli.app import app
from outrider.errors import OutriderError
from outrider.lab import environment
from outrider.strategies.answering import checks
from outrider.strategies.answering.record import read_answers, read_facts
from servers import llamacpp

PROFILE = """
[subjects.one]
knowledge = "k.md"
system = "Answer in one word."
max_tokens = 12
sampling = { temperature = 0.9 }
[subjects.two]
max_tokens = 48
sampling = { temperature = 0.9 }
"""

SERVED = """
tasks: ["arithmetic:count=9"]
stages:
  - {name: small, endpoint: "http://127.0.0.1:9/v1", max_tokens: 8}
  - {name: large, endpoint: "http://127.0.0.1:9/v1", max_tokens: 16}
"""


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["answer", *arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answering")
    (folder / "k.md").write_text("Rivers run to the sea. " * 20, encoding="utf-8")
    (folder / "p.toml").write_text(PROFILE, encoding="utf-8")
    (folder / "served.yml").write_text(SERVED, encoding="utf-8")
    rows = [
        {"id": f"q{i}", "subject": ("one", "two")[i % 2], "question": f"What comes after {i}?"}
        for i in range(12)
    ]
    lines = [json.dumps(row | {"answer": str(i + 1)}) for i, row in enumerate(rows)]
    (folder / "q.jsonl").write_text("\n".join([*lines, '{"bad": 1}']) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def arguments(folder: Path, model_path: Path) -> list[str]:
    given = ["--profile", str(folder / "p.toml"), "-m", str(model_path), "--max-streams", "4"]
    return [str(folder / "q.jsonl"), *given]


@pytest.fixture(scope="module")
def whole(folder: Path, arguments: list[str]) -> dict[str, str]:
    """What a run that nobody ends answers."""
    result = call(*arguments, "-o", str(folder / "whole.jsonl"), "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert values["answers"] == 13
    (one, two, none, every) = values["subjects"]
    assert (one["name"], two["name"], none["name"], every["name"]) == ("one", "two", "none", "all")
    assert (one["questions"], none["failed"], every["failed"]) == (6, 1, 1)
    assert one["cached_share"] > 0.8
    assert values["more"]["sharing"]["computed_tokens"] < every["prompt_tokens"] / 2
    return {a.id: a.text for a in read_answers(folder / "whole.jsonl")}


@pytest.mark.parametrize(
    ("ending", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_a_run_that_is_ended_and_continued_answers_the_same(
    folder: Path, arguments: list[str], whole: dict[str, str], ending: signal.Signals, status: int
) -> None:
    output = folder / f"{ending.name}.jsonl"
    # Whoever runs the tests in the background may have them ignore interrupts.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from outrider.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "answer", *arguments, "-o", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    # The first line is the question that cannot be read, the second an answer.
    while process.poll() is None and not (output.exists() and output.read_bytes().count(b"\n") > 1):
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
    process.send_signal(ending)
    assert process.wait() == status
    before = len(read_answers(output))
    assert before > 0

    result = call(*arguments, "-o", str(output))
    assert result.exit_code == 0, result.stderr
    answers = read_answers(output)
    assert len(answers) == len({a.id for a in answers}) == 13
    assert {a.id: a.text for a in answers} == whole
    assert f"{before} were there before" in result.stdout
    facts = read_facts(output)
    assert facts is not None
    assert facts.total_seconds >= max(a.seconds for a in answers)


def test_plain_decoding_answers_the_same_and_drafts_nothing(
    folder: Path,
    arguments: list[str],
    whole: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = folder / "plain.jsonl"
    monkeypatch.setenv("ENABLE_SPECULATIVE_DECODING", "false")
    result = call(*arguments, "-o", str(output))

    assert result.exit_code == 0, result.stderr
    assert {a.id: a.text for a in read_answers(output)} == whole
    assert all(not a.usage.get("draft_tokens") for a in read_answers(output))
    facts = read_facts(output)
    assert facts is not None
    assert facts.speculation is False


def test_a_server_is_asked_in_the_models_place(
    folder: Path, model_path: Path, tmp_path: Path
) -> None:
    with llamacpp(model_path) as address:
        given = [str(folder / "q.jsonl"), "--profile", str(folder / "p.toml"), "--limit", "4"]
        result = call(*given, "-o", str(tmp_path / "a.jsonl"), "--endpoint", address)

    assert result.exit_code == 0, result.stderr
    answers = read_answers(tmp_path / "a.jsonl")
    assert len(answers) == 4
    assert all(a.text for a in answers if not a.error)
    assert sum(a.error is None for a in answers) >= 2
    facts = read_facts(tmp_path / "a.jsonl")
    assert facts is not None
    assert facts.model.startswith(address)


def test_a_quick_run_answers_grades_and_holds_to_conditions(
    folder: Path, arguments: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "a.jsonl"
    quick = ("-o", str(output), "--quick", "--limit", "4", "--check", "--json")
    result = call(*arguments, *quick, "--floor", "0")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert {one["name"]: one["passed"] for one in values["checks"]} == dict.fromkeys(
        ("offline", "complete", "mean", "total", "accuracy"), True
    )
    assert set(values["accuracy"]) == {"one", "two", "none", "all"}

    again = call(*arguments, "-o", str(output), "--limit", "4", "--check", "--floor", "1")
    assert again.exit_code == 1
    assert "failed accuracy" in again.stdout
    assert output.with_suffix(".html").exists()


def looks_up_a_name() -> dict[str, str]:
    """A library that asks the network for something, and does without if it gets nothing."""
    with suppress(OutriderError):
        socket.getaddrinfo("example.org", 443)
    return {}


@pytest.mark.parametrize(
    ("failing", "replaced", "given"),
    [
        ("offline", (environment, "versions", looks_up_a_name), ()),
        ("mean", (checks, "MEAN_SECONDS", 0.0), ()),
        ("total", (checks, "TOTAL_SECONDS", 0.0), ()),
        ("complete", None, ("--deadline", "0.001")),
    ],
)
def test_each_condition_of_a_check_can_fail(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
    replaced: tuple[object, str, object] | None,
    given: tuple[str, ...],
) -> None:
    if replaced is not None:
        monkeypatch.setattr(*replaced)
    short = ("-o", str(tmp_path / "a.jsonl"), "--limit", "2", "--check", "--floor", "0")

    result = call(*arguments, *short, *given)

    assert result.exit_code == 1
    found = [line for line in result.stdout.splitlines() if line.startswith("failed ")]
    # A run without time has no answers, so that none is right either.
    wanted = [failing] if replaced else [failing, "accuracy"]
    assert [line.split()[1] for line in found] == [f"{name}:" for name in wanted]


def judged(*arguments: str) -> tuple[Result, dict[str, Any]]:
    result = call(*arguments, "--json")
    return result, json.loads(result.stdout)


def test_a_run_is_judged_in_the_same_command(
    folder: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of this size is no judge; one that is fair stands in for one that is."""
    rows = [
        {"id": f"c{i}", "subject": "one", "question": f"Which town is number {i}?"}
        | {"answer": f"Town{'abcdefgh'[i]}"}
        for i in range(8)
    ]
    questions = tmp_path / "q.jsonl"
    questions.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    given = [str(questions), "--profile", str(folder / "p.toml"), "-m", str(model_path)]
    given += ["--quick", "--limit", "8", "--judge", str(model_path)]

    withheld, values = judged(*given, "-o", str(tmp_path / "a.jsonl"))
    assert withheld.exit_code == 1
    assert values["agreement"]["one"]["trusted"] is False
    assert "one: the judge's score is withheld" in withheld.stderr

    monkeypatch.setattr(generators, "open_generator", lambda *given, **more: Scripted(fair))
    trusted, values = judged(*given, "-o", str(tmp_path / "b.jsonl"))
    assert trusted.exit_code == 0, trusted.stderr
    assert values["agreement"]["one"]["kappa"] == 1.0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["q.jsonl", "-o", "a.jsonl", "--judge", "nobody"], "is for grading"),
        (["q.jsonl", "--quick", "--judge", "nobody"], "'nobody' is no model"),
        (["q.jsonl", "--quick", "--rubrics", "r.toml"], "--rubrics are for a judge"),
        (
            ["q.jsonl", "-o", "a.jsonl", "--check", "--judge-endpoint", "http://x"],
            "the judge needs it",
        ),
        (["q.jsonl"], "Give the file for the answers"),
        (["q.jsonl", "-o", "a.csv"], "name a file .jsonl"),
        (["q.jsonl", "-o", "a.jsonl", "--floor", "0.5"], "a condition of --check"),
        (["q.jsonl", "-o", "a.jsonl", "--check", "--floor", "5"], "has to lie in"),
        (["q.jsonl", "-o", "a.jsonl", "--deadline", "0"], "above 0 seconds"),
        (["none.jsonl", "-o", "a.jsonl"], "cannot be read"),
        (["q.jsonl", "-o", "a.jsonl", "--profile", "nobody"], "Unknown profile"),
        (["q.jsonl", "-o", "a.jsonl", "--check", "--endpoint", "http://x"], "needs it"),
        (["q.jsonl", "-o", "a.jsonl", "--check", "-m", "served.yml"], "a stage of the cascade"),
        (["q.jsonl", "-o", "a.jsonl", "--check", "--judge", "served.yml"], "the judge needs it"),
        (["q.jsonl", "--quick", "--judge", "served.yml"], "`outrider cascade train` makes it"),
        (
            ["q.jsonl", "-o", "a.jsonl", "--endpoint", "http://127.0.0.1:9/v1", "--threads", "2"],
            "--threads is for a model file",
        ),
    ],
)
def test_what_cannot_be_honoured_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], sentence: str
) -> None:
    monkeypatch.chdir(folder)
    result = call(*given)

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_the_unpacked_bundle_answers_without_a_network(
    folder: Path, arguments: list[str], model_path: Path, whole: dict[str, str]
) -> None:
    archive = folder / "submission.zip"
    packed = CliRunner().invoke(
        app, ["pack", str(folder / "p.toml"), "-m", str(model_path), "-o", str(archive), "--json"]
    )
    assert packed.exit_code == 0, packed.stderr
    assert json.loads(packed.stdout)["size"] == archive.stat().st_size < 10**9
    bundle = folder / "unpacked"
    with zipfile.ZipFile(archive) as file:
        file.extractall(bundle)

    # The interpreter itself, without this environment, and where it may without a network.
    bare = [str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"), "-I", "-S"]
    alone = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        alone = []
    output = folder / "bundled.jsonl"
    run = [*alone, *bare, str(bundle / "run.py"), arguments[0], "-o", str(output)]
    result = subprocess.run(run, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert {a.id: a.text for a in read_answers(output)} == whole
