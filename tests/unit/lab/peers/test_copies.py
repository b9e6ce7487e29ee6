"""Copies of a model file: made once, whole, and described."""

from __future__ import annotations

from pathlib import Path

import pytest

from outrider.errors import OutriderError
from outrider.lab.peers import copies, environments
from outrider.lab.peers.copies import BFLOAT16, INT8, SAME_FILE, TWIN, copy_of, describe
from synthetic import Shape, write


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write(tmp_path / "model.gguf")
    return tmp_path / "model.gguf"


def test_a_copy_is_made_once(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    assert copy_of(source, SAME_FILE, folder) == source
    made = copy_of(source, TWIN, folder)
    assert made == folder / "model.Q4_0-copy.gguf"
    assert "Q4_0" in describe(made)["types"]
    before = made.stat().st_mtime_ns
    assert copy_of(source, TWIN, folder).stat().st_mtime_ns == before


@pytest.mark.parametrize("kind", [INT8, BFLOAT16])
def test_what_an_engine_writes_takes_its_place_whole(
    kind: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = []

    def half(what: str, interpreter: Path, script: Path, given: Path, out: Path) -> None:
        out.mkdir()
        raise OutriderError("It was interrupted.")

    def whole(what: str, interpreter: Path, script: Path, given: Path, out: Path) -> None:
        scripts.append(script)
        assert given.is_file()
        out.mkdir()
        (out / "model").touch()

    for name in ("openvino", "transformers"):
        monkeypatch.setattr(environments, name, lambda: Path("python"))
    with monkeypatch.context() as broken:
        broken.setattr(environments, "run", half)
        with pytest.raises(OutriderError, match="interrupted"):
            copy_of(source, kind, tmp_path)
    monkeypatch.setattr(environments, "run", whole)
    made = copy_of(source, kind, tmp_path)
    assert (made / "model").is_file()
    assert scripts[0].is_file()
    assert scripts[0].parent == copies.SCRIPTS
    assert describe(made) == {"file": made.name}


def test_a_file_is_described_by_its_types(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", Shape(layers=1))
    values = describe(tmp_path / "model.gguf")
    assert values["file"] == "model.gguf"
    assert values["types"] == {"Q4_1": 8, "F32": 3}
