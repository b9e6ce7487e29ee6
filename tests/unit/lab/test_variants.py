"""Variants of a model: opened once, closed together, copies that do not stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.toy_model import toy_llm

from outrider.errors import CapacityError, OutriderError, UsageError
from outrider.lab import variants as module
from outrider.lab.variants import OWN, Variant, Variants, formats, scratch
from outrider.llm import LLM
from outrider.models.gguf import GgufFile
from synthetic import Shape, Type, write


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLM]:
    """A small model with 8-bit weights."""
    path = tmp_path_factory.mktemp("model") / "small.gguf"
    write(path, Shape(type=Type.Q8_0))
    with LLM(path, cache_budget=4 << 20) as model:
        yield model


def test_a_variant_is_opened_once_and_closed_with_the_others() -> None:
    with toy_llm() as llm:
        with Variants(llm) as variants:
            few = variants.llm(Variant(max_streams=2))
            assert variants.llm(OWN) is llm
            assert variants.llm(Variant(max_streams=2)) is few
            assert variants.llm(Variant(prefill_chunk=3)) is not few
            assert (few.max_streams, few.model) == (2, llm.model)
            answers = {
                variants.llm(variant).generate("abcabc", max_tokens=8).tokens
                for variant in (OWN, Variant(max_streams=2), Variant(prefill_chunk=3))
            }
            assert len(answers) == 1
        with pytest.raises(OutriderError, match="closed"):
            few.generate("abc", max_tokens=1)
        assert llm.generate("abc", max_tokens=1).tokens


def test_a_prompt_is_read_in_chunks_of_the_variant() -> None:
    with toy_llm() as llm, Variants(llm) as variants:
        passes = []
        for rows in (None, 3, 1):
            with variants.llm(Variant(max_streams=1, prefill_chunk=rows)).fresh():
                before = llm.engine.passes
            variants.llm(Variant(max_streams=1, prefill_chunk=rows)).generate(
                "abcdefgh", max_tokens=1, speculation=False
            )
            passes.append(llm.engine.passes - before)
    assert passes == [1, 3, 8]


def test_a_file_is_copied_in_every_type_that_changes_it(llm: LLM) -> None:
    assert formats(llm) == ("F16", "Q4_1", "Q4_0")
    with toy_llm() as toy:
        assert formats(toy) == ()


def test_without_gguf_there_are_no_copies(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)

    assert formats(llm) == ()


def test_copies_answer_and_draft(llm: LLM, tmp_path: Path) -> None:
    with Variants(llm, tmp_path) as variants:
        wide, narrow = (variants.copy(kind) for kind in ("F16", "Q4_0"))
        assert (wide.widened, narrow.widened) == (True, False)
        assert {t.type for t in GgufFile(wide.path).tensors() if len(t.shape) == 2} == {"F16"}

        copied = variants.llm(Variant(copy="F16"))
        assert copied.engine.file.path == wide.path
        assert copied.generate("abc", max_tokens=4, speculation=False).tokens

        drafted = variants.llm(Variant(draft="F16"))
        assert drafted.engine is llm.engine
        answer = drafted.generate("abc", max_tokens=8, controller="fixed", num_draft_tokens=2)
        assert answer.usage.draft_tokens > 0
        assert answer.tokens == llm.generate("abc", max_tokens=8, speculation=False).tokens


def test_float32_is_of_the_same_file(llm: LLM) -> None:
    with Variants(llm) as variants:
        assert variants.exact.float32
        assert variants.exact is variants.exact
        assert variants.exact.file is llm.engine.file


def test_what_cannot_be_had_is_said(
    llm: LLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with toy_llm() as toy, Variants(toy, tmp_path) as variants:
        with pytest.raises(UsageError, match="A copy in Q4_0 needs a model file"):
            variants.llm(Variant(copy="Q4_0"))
        with pytest.raises(UsageError, match="loaded from a file"):
            _ = variants.exact
    monkeypatch.setattr(module, "memory_bytes", lambda: 1)
    with Variants(llm, tmp_path) as variants:
        for variant in (Variant(copy="Q4_0"), Variant(draft="Q4_0")):
            with pytest.raises(CapacityError, match=r"Q4_0.gguf needs .* MB of memory are free"):
                variants.llm(variant)
        with pytest.raises(CapacityError, match="in float32 needs"):
            _ = variants.exact


def test_copies_are_gone_afterwards_and_those_of_a_killed_process_too(tmp_path: Path) -> None:
    left = tmp_path / f"{module.SCRATCH}left"
    left.mkdir()
    (left / "copy.gguf").write_bytes(b"half")
    (tmp_path / "scratch").mkdir()

    with scratch(tmp_path) as directory:
        assert not left.exists()
        assert directory.parent == tmp_path
        (directory / "copy.gguf").write_bytes(b"whole")

    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
