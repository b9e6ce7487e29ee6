from __future__ import annotations

import json
from pathlib import Path

import pytest
from models.file_server import HUB, HUB_PATH, FileServer, add_entry, gguf_bytes, sha256

from outrider.errors import DownloadError, UsageError
from outrider.models import InstalledModel, cache_directory, ensure, installed, remove

CONTENT = gguf_bytes(200_000)
REFERENCE = "hf:someone/tiny/sub/a.gguf@v1"


@pytest.fixture
def tiny(index: FileServer) -> Path:
    """A model that has been fetched, from a server that serves it once."""
    add_entry(CONTENT, HUB)
    index.put(HUB_PATH, CONTENT)
    path = ensure("tiny")
    del index.resources[HUB_PATH]
    return path


def test_the_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OUTRIDER_CACHE", "~/mine")
    assert cache_directory() == tmp_path / "mine"
    monkeypatch.setenv("OUTRIDER_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_directory() == Path("/xdg/outrider")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory() == tmp_path / ".cache" / "outrider"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == tmp_path / ".cache" / "outrider"


def test_an_empty_cache_has_no_models() -> None:
    assert installed() == []


def test_an_installed_model_is_listed(tiny: Path, cache: Path) -> None:
    assert tiny == cache / "models" / "tiny" / "tiny.gguf"
    assert installed() == [
        InstalledModel("tiny", tiny, len(CONTENT), sha256(CONTENT), HUB.label),
    ]
    assert json.loads(tiny.with_name("tiny.gguf.json").read_text())["date"].endswith("+00:00")


@pytest.mark.parametrize("damage", ["truncated", "deleted", "no record", "bad record", "no object"])
def test_a_damaged_model_is_not_taken_for_one(tiny: Path, index: FileServer, damage: str) -> None:
    record = tiny.with_name("tiny.gguf.json")
    match damage:
        case "truncated":
            tiny.write_bytes(CONTENT[:-1])
        case "deleted":
            tiny.unlink()
        case "no record":
            record.unlink()
        case "bad record":
            record.write_text("{")
        case "no object":
            record.write_text("[]")
    assert installed() == []
    index.put(HUB_PATH, CONTENT)
    assert ensure("tiny").read_bytes() == CONTENT
    assert len(installed()) == 1


def test_a_model_that_the_catalogue_has_replaced_is_fetched_anew(
    tiny: Path, index: FileServer
) -> None:
    newer = gguf_bytes(200_000, seed=1)
    add_entry(newer, HUB)
    index.put(HUB_PATH, newer)
    assert ensure("tiny").read_bytes() == newer


def test_remove_deletes_model_record_and_leftovers(tiny: Path, cache: Path) -> None:
    tiny.with_name("tiny.gguf.0123.whl.part").write_bytes(b"x")
    remove("tiny")
    assert list((cache / "models").iterdir()) == []
    with pytest.raises(UsageError, match=r"The model 'tiny' is not in .*/models"):
        remove("tiny")
    assert list((cache / "models").iterdir()) == []


def test_remove_of_a_hub_file_leaves_its_neighbour(index: FileServer, cache: Path) -> None:
    other = REFERENCE.replace("a.gguf", "b.gguf")
    for file in "ab":
        index.put(f"/someone/tiny/resolve/v1/sub/{file}.gguf", CONTENT)
    for reference in (REFERENCE, other):
        ensure(reference)
    remove(REFERENCE)
    assert [model.name for model in installed()] == [other]
    remove(other)
    assert list((cache / "models").iterdir()) == []


def test_remove_of_an_unknown_name() -> None:
    with pytest.raises(UsageError, match="Unknown model 'tinny'"):
        remove("tinny")


def test_a_cache_that_is_a_file(index: FileServer, cache: Path) -> None:
    cache.write_text("in the way")
    add_entry(CONTENT, HUB)
    with pytest.raises(DownloadError, match=r"cannot be used .*OUTRIDER_CACHE"):
        ensure("tiny")
    assert index.requests == []
