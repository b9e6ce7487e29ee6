"""`outrider lab` with the default model: runs, retries, reports, comparisons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outrider import registry
from outrider.cli.app import app


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["lab", *arguments])


def keys(folder: Path) -> list[str]:
    lines = (folder / "measurements.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["key"] for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    """A short run with its report."""
    path = tmp_path_factory.mktemp("lab") / "run"
    result = lab(
        *("run", "speculation", "memory", "-o", str(path), "-m", str(model_path), "--quick"),
        *("--limit", "2", "--max-tokens", "6", "--drafter", "mixed", "--context", "1024"),
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout.rstrip().endswith("report.html")
    return path


def test_a_run_leaves_everything(folder: Path) -> None:
    description = json.loads((folder / "run.json").read_text(encoding="utf-8"))

    assert description["given"]["limit"] == 2
    assert description["setup"]["max_tokens"] == 6
    assert description["setup"]["formats"] == ["F16", "Q8_0", "Q4_0"]
    assert description["kernel"]
    assert len(keys(folder)) == len(set(keys(folder))) == 2 * 3 + 2
    for name in ("speculation", "speculation-theory", "memory"):
        assert (folder / "plots" / f"{name}.png").is_file()
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "Every answer is plain decoding&#39;s, token for token." in html


def test_memory_is_calculated_as_it_is_measured(folder: Path) -> None:
    lines = (folder / "measurements.jsonl").read_text(encoding="utf-8").splitlines()
    loads = [m["values"] for m in map(json.loads, lines) if m["experiment"] == "memory"]

    assert len(loads) == 2
    for values in loads:
        measured = values["measured_weights"] + values["measured_used"]
        calculated = values["weights"] + values["cache"] + values["scratch"]
        assert measured == pytest.approx(calculated, rel=0.1)


def test_a_retry_makes_a_run_whole(folder: Path) -> None:
    path = folder / "measurements.jsonl"
    before, lines = keys(folder), path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-2]) + lines[-2][:40], encoding="utf-8")

    result = lab("retry", str(folder))

    assert result.exit_code == 0, result.stderr
    assert keys(folder) == before


def test_a_run_does_not_differ_from_itself(folder: Path) -> None:
    result = lab("compare", str(folder), str(folder), "--json")
    shown = lab("compare", str(folder), str(folder))

    values = json.loads(result.stdout)
    assert [arm["ratio"] for arm in values["arms"]] == [1.0, 1.0]
    assert values["settings"] == []
    assert "No difference beyond 10% in 2 comparisons." in shown.stdout


def test_a_report_is_written_again(folder: Path) -> None:
    (folder / "report.html").unlink()

    result = lab("report", str(folder))

    assert result.exit_code == 0, result.stderr
    assert (folder / "report.html").is_file()


def test_all_experiments_are_listed() -> None:
    values = json.loads(lab("list", "--json").stdout)

    assert tuple(values) == registry.names("experiments")
    assert all(found["question"].endswith("?") for found in values.values())
    shown = lab("list").stdout
    assert all(name in shown for name in values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "k-swep", "-o", "x"), "did you mean 'k-sweep'"),
        (("run", "baseline", "-o", "x", "--max-tokens", "1"), "--max-tokens has to be at least 2"),
        (("run", "baseline", "-o", "x", "--repeats", "0"), "--repeats has to be at least 1"),
        (("retry", "nowhere"), "There is no run in nowhere"),
        (("report", "nowhere"), "There is no run in nowhere"),
        (("compare", "nowhere", "nowhere"), "There is no run in nowhere"),
    ],
)
def test_what_cannot_be_done(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = lab(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outrider.lab.plots.find_spec", lambda name: None)

    result = lab("run", "baseline", "-o", str(tmp_path / "run"))

    assert result.exit_code == 2
    assert "pip install 'outrider[plot]'" in result.stderr
    assert not (tmp_path / "run").exists()
