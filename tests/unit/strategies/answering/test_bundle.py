from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from outrider.errors import OutriderError, UsageError
from outrider.strategies.answering import bundle
from outrider.strategies.answering.bundle import closure, library_files, pack, profile_files
from outrider.strategies.answering.profile import Profile
from outrider.strategies.answering.profile_file import load_profile


def written(folder: Path, knowledge: str) -> Profile:
    (folder / "p.toml").write_text(f'[subjects.x]\nknowledge = "{knowledge}"\n')
    return load_profile(str(folder / "p.toml"))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outrider alone: a whole bundle takes its time, and another test packs one."""
    own = [library for library in closure("outrider") if library.name in ("outrider", "rich")]
    monkeypatch.setattr(bundle, "closure", lambda _: iter(own))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"\0" * 1000)
    return path


def test_the_closure_has_every_library_that_is_needed_once() -> None:
    names = [library.name.lower().replace("_", "-") for library in closure("outrider")]

    assert len(names) == len(set(names))
    assert {"outrider", "numpy", "tokenizers", "jinja2", "markupsafe", "typer", "rich"} <= {*names}
    assert not {"pytest", "ruff", "matplotlib"} & {*names}


def test_a_library_that_is_missing_is_named() -> None:
    with pytest.raises(OutriderError, match="no-such-library"):
        list(closure("no-such-library"))


def test_own_files_are_code_data_and_plug_ins() -> None:
    (own,) = [library for library in closure("outrider") if library.name == "outrider"]
    files = dict(library_files(own))

    assert {"outrider/llm.py", "outrider/data/questions.jsonl"} <= {*files}
    assert any(name.startswith("outrider/_native.") and name.endswith(".so") for name in files)
    assert any(name.endswith(".dist-info/entry_points.txt") for name in files)
    assert not any("__pycache__" in name for name in files)
    assert all(path.is_file() for path in files.values())


@pytest.mark.usefixtures("few")
def test_a_bundle_holds_profile_models_and_manifest(tmp_path: Path, model: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "k.md").write_text("known")
    profile = written(tmp_path, "deep/k.md")
    packed = pack(profile, {"model": model}, tmp_path / "b.zip", max_size=10**9)

    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        names = archive.namelist()
        assert archive.read("profile/deep/k.md") == b"known"
        assert archive.read("models/m.gguf") == model.read_bytes()
        assert json.loads(archive.read("manifest.json")) == packed.manifest
        pinned = archive.read("requirements.txt").decode()
    assert len(names) == len(set(names))
    assert f"rich=={packed.manifest['libraries']['rich']}\n" in pinned
    assert packed.size == (tmp_path / "b.zip").stat().st_size
    assert packed.manifest["options"] == {"model": "models/m.gguf", "profile": "profile/p.toml"}


@pytest.mark.usefixtures("few")
def test_a_bundle_that_is_too_large_is_refused_and_not_left(tmp_path: Path, model: Path) -> None:
    (tmp_path / "k.md").write_text("known")
    profile = written(tmp_path, "k.md")

    with pytest.raises(UsageError, match="The model files alone have"):
        pack(profile, {"model": model}, tmp_path / "b.zip", max_size=999)
    with pytest.raises(UsageError, match="its greatest parts are site/"):
        pack(profile, {"model": model}, tmp_path / "b.zip", max_size=5000)
    assert not list(tmp_path.glob("*.zip*")) + list(tmp_path.glob(".*.part"))


def test_a_profile_that_reaches_outside_its_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "k.md").write_text("known")

    with pytest.raises(UsageError, match="outside its directory"):
        list(profile_files(written(tmp_path / "inner", "../k.md")))
    with pytest.raises(UsageError, match="outside its directory"):
        list(profile_files(written(tmp_path / "inner", str(tmp_path / "k.md"))))


@pytest.mark.usefixtures("few")
def test_another_python_is_told_which_one_it_takes(tmp_path: Path, model: Path) -> None:
    (tmp_path / "k.md").write_text("known")
    pack(written(tmp_path, "k.md"), {"model": model}, tmp_path / "b.zip", max_size=10**9)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        archive.extract("run.py", tmp_path / "b")
        manifest = json.loads(archive.read("manifest.json")) | {"python": "3.2"}
    (tmp_path / "b" / "manifest.json").write_text(json.dumps(manifest))

    result = subprocess.run(
        [sys.executable, str(tmp_path / "b" / "run.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "runs with cpython 3.2 on" in result.stderr
