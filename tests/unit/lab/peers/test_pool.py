"""Sides are started when they are asked first, shared, ended, and their failures told."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from outrider.errors import OutriderError
from outrider.lab.peers import pool as pools
from outrider.lab.peers.contestants import Contestant, Start
from outrider.lab.peers.copies import SAME_FILE, TWIN
from outrider.lab.peers.pool import Pool
from outrider.lab.peers.sides import Side
from synthetic import write

WORKER = """
import json, os, sys
print(json.dumps({"versions": {"it": "1"}, "process": os.getpid()}), flush=True)
asked = 0
for line in sys.stdin:
    request = json.loads(line)
    if request.get("forget"):
        asked = 0
        print("{}", flush=True)
        continue
    asked += 1
    if request["options"].get("fail"):
        sys.exit("It has no such mode.")
    answer = {"tokens": [asked, *request["tokens"]], "first": 1, "prefill": 1.0, "decode": 1.0}
    print(json.dumps(answer), flush=True)
"""
PLAIN = Contestant(peer="one", mode="plain")
OTHER = Contestant(peer="one", mode="other", options={"fail": False})
BROKEN = Contestant(peer="one", mode="broken", options={"fail": True})
TWICE = Contestant(peer="one", mode="plain", file=TWIN)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Every start: who, and on which file."""
    (tmp_path / "worker.py").write_text(WORKER)
    found: list[tuple[str, Path]] = []

    def start(contestant: Contestant, files: Mapping[str, Path], **_: int) -> Start:
        found.append((contestant.name, files[contestant.file]))
        if contestant.peer == "absent":
            raise OutriderError("absent could not be made here: no such package")
        return Start([sys.executable, str(tmp_path / "worker.py")], {})

    monkeypatch.setattr(pools, "start", start)
    monkeypatch.setenv("OUTRIDER_CACHE", str(tmp_path / "cache"))
    return found


@pytest.fixture
def pool(tmp_path: Path, started: list[tuple[str, Path]]) -> Iterator[Pool]:
    write(tmp_path / "model.gguf")
    pool = Pool(tmp_path / "model.gguf", draft=None, threads=1, context=64)
    yield pool
    pool.close()


def test_contestants_that_differ_in_options_share_a_side(pool: Pool, started: list) -> None:
    assert pool.generate(PLAIN, [5], 4, [])["tokens"] == [1, 5]
    # It has forgotten that it was asked before.
    assert pool.generate(OTHER, [6], 4, [])["tokens"] == [1, 6]
    assert len(started) == 1
    assert pool.report(OTHER) == pool.report(PLAIN)


def test_a_side_on_a_copy_gets_the_copy(pool: Pool, started: list, tmp_path: Path) -> None:
    pool.generate(TWICE, [5], 4, [])
    pool.generate(PLAIN, [5], 4, [])
    (_, copy), (_, same) = started
    assert same == tmp_path / "model.gguf"
    assert copy.is_relative_to(tmp_path / "cache" / "peers" / "copies")
    assert copy.is_file()


def test_a_side_that_ends_is_started_again(pool: Pool, started: list) -> None:
    with pytest.raises(OutriderError, match=r"It has no such mode\."):
        pool.generate(BROKEN, [5], 4, [])
    assert pool.generate(PLAIN, [5], 4, [])["tokens"] == [1, 5]
    assert len(started) == 2


def test_what_cannot_be_started_is_tried_once(pool: Pool, started: list) -> None:
    absent = [Contestant(peer="absent", mode=m, arguments=(m,)) for m in ("plain", "other")]
    for contestant in absent * 2:
        with pytest.raises(OutriderError, match="no such package"):
            pool.generate(contestant, [5], 4, [])
    assert len(started) == 1


def test_a_mode_that_cannot_be_started_leaves_the_others(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = pools.Side

    def side(name: str, *arguments: Any, **options: Any) -> Side:
        if "broken" in name:
            raise OutriderError(f"The worker of {name} ended: it has no such mode")
        return usual(name, *arguments, **options)

    monkeypatch.setattr(pools, "Side", side)
    broken = Contestant(peer="one", mode="broken", arguments=("--mode=broken",))
    for _ in range(2):
        with pytest.raises(OutriderError, match="it has no such mode"):
            pool.generate(broken, [5], 4, [])
    assert pool.generate(PLAIN, [5], 4, [])["tokens"] == [1, 5]


def test_all_sides_end_together(pool: Pool) -> None:
    process = pool.report(PLAIN)["process"]
    pool.close()
    assert not Path(f"/proc/{process}").exists()


def test_same_file_is_the_model(pool: Pool, tmp_path: Path) -> None:
    assert pool._file(SAME_FILE) == tmp_path / "model.gguf"
