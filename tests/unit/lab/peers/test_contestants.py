"""Who takes part, and what starts them; no environment is made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from outrider.lab.peers import environments
from outrider.lab.peers.contestants import DRAFT, LLAMACPP, MODES, PEERS, VLLM, contestants, start
from outrider.lab.peers.copies import SAME_FILE

ALL = contestants(quick=False)
NGRAMS = set(MODES)


def test_every_engine_decodes_plainly_and_drafts() -> None:
    modes = {peer: {c.mode for c in ALL if c.peer == peer} for peer in PEERS}
    assert modes == {
        LLAMACPP: {"plain", "draft model", *NGRAMS},
        "OpenVINO GenAI": {"plain", "prompt lookup"},
        "transformers": {"plain", "prompt lookup", "assisted"},
        VLLM: {"plain", "n-gram"},
    }


def test_names_tell_contestants_apart() -> None:
    names = [contestant.name for contestant in ALL]
    assert len(set(names)) == len(names)
    assert names[0] == "llama.cpp, plain"


def test_a_quick_look_has_every_mode_and_file_once() -> None:
    quick = contestants(quick=True)
    keys = [(c.peer, c.mode, c.file) for c in quick]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {(c.peer, c.mode, c.file) for c in ALL}


@pytest.mark.parametrize("contestant", ALL, ids=lambda c: c.name)
def test_a_start_names_files_threads_and_a_worker(
    contestant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "llama_server", lambda: Path("/e/llama-server"))
    monkeypatch.setattr(
        environments, "python", lambda name, *_, **__: Path(f"/e/{name}/bin/python")
    )
    files = {contestant.file: Path("a file"), DRAFT: Path("a draft")}

    how = start(contestant, files, threads=3, context=64)

    assert Path(how.command[1]).is_file()
    assert how.command[2] == "a file"
    assert {"--threads=3", "--context=64"} <= set(how.command)
    assert ("--draft=a draft" in how.command) == contestant.draft
    assert ("--server=/e/llama-server" in how.command) == (contestant.peer == LLAMACPP)
    if contestant.peer == VLLM:
        assert how.variables["OMP_NUM_THREADS"] == "3"
        assert how.variables["LD_PRELOAD"].split(":")[-1] == "/e/vllm/lib/libiomp5.so"


def test_llamacpp_computes_the_same_file_in_every_mode() -> None:
    same = {c.mode for c in ALL if c.peer == LLAMACPP and c.file == SAME_FILE}
    assert same == {"plain", "draft model", *NGRAMS}
