"""`outrider quantize` over synthetic files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType as Type
from typer.testing import CliRunner, Result

from outrider.cli.app import app
from synthetic import Shape, write


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write(tmp_path / "in.gguf", Shape(types={"token_embd.weight": Type.Q8_0}))
    return tmp_path / "in.gguf"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["quantize", *map(str, arguments)])


def test_the_table_says_what_became_of_what(source: Path, tmp_path: Path) -> None:
    result = run(source, tmp_path / "out.gguf", "--type", "Q4_0")

    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["tensors", "from", "to", "before", "after"]
    assert rows[1][:3] == ["5", "F32", "F32"]
    assert rows[1][-1] == "copied"
    assert rows[2][:3] == ["14", "Q4_1", "Q4_0"]
    assert rows[2][-1] == "kB"
    assert rows[3][:3] == ["1", "Q8_0", "Q8_0"]
    assert rows[4][0] == "20"
    assert rows[-1] == [str(tmp_path / "out.gguf")]


def test_widening_is_labelled(source: Path, tmp_path: Path) -> None:
    result = run(source, tmp_path / "out.gguf", "--type", "F16")

    notes = {tuple(line.split()[1:3]): line.split()[-1] for line in result.stdout.splitlines()[1:4]}
    assert notes == {
        ("F32", "F32"): "copied",
        ("Q4_1", "F16"): "widened",
        ("Q8_0", "F16"): "widened",
    }


def test_json_has_every_tensor(source: Path, tmp_path: Path) -> None:
    result = run(source, tmp_path / "out.gguf", "--type", "Q4_0", "--pure", "--json")

    values = json.loads(result.stdout)
    assert values["in"] == str(source)
    assert values["bytes_after"] == (tmp_path / "out.gguf").stat().st_size
    assert values["tensors"][0] == {
        "name": "token_embd.weight",
        "shape": [64, 288],
        "source": "Q8_0",
        "target": "Q4_0",
        "bytes_before": 64 * 288 // 32 * 34,
        "bytes_after": 64 * 288 // 32 * 18,
        "widened": False,
    }
    assert len(values["tensors"]) == 20


def test_errors_are_sentences(source: Path, tmp_path: Path) -> None:
    result = run(source, source, "--type", "Q4_0", "--force")
    assert result.exit_code == 2
    assert "is the file to convert" in result.stderr
    assert run(source, tmp_path / "out.gguf").exit_code == 2
    (tmp_path / "noise.gguf").write_bytes(b"noise")
    assert run(tmp_path / "noise.gguf", tmp_path / "out.gguf", "--type", "F16").exit_code == 3
