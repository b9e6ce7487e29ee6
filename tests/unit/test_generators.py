from __future__ import annotations

from pathlib import Path

import pytest

from outrider.errors import EndpointError, OutriderError, UsageError
from outrider.generators import Generators, open_generator, resolve
from outrider.llm import LLM
from outrider.models import DEFAULT_MODEL
from outrider.remote import OpenAIGenerator, Patience

ADDRESS = "http://127.0.0.1:9/v1"
NO_PATIENCE = Patience(backoff=0.0, retries=0)


def test_names_resolve_in_order(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.touch()

    assert resolve(None) == DEFAULT_MODEL
    assert resolve(DEFAULT_MODEL) == DEFAULT_MODEL
    assert resolve("hf:owner/repo/file.gguf") == "hf:owner/repo/file.gguf"
    assert resolve(str(file)) == str(file)
    assert resolve(f"{ADDRESS}#m") == f"{ADDRESS}#m"


def test_an_endpoint_comes_first_and_knows_the_model_by_its_name() -> None:
    assert resolve(None, ADDRESS) == ADDRESS
    assert resolve("Qwen/Qwen3-32B", ADDRESS) == f"{ADDRESS}#Qwen/Qwen3-32B"
    assert resolve(DEFAULT_MODEL, f"{ADDRESS}#served") == f"{ADDRESS}#served"


def test_a_name_that_stands_for_nothing_lists_the_remedies() -> None:
    with pytest.raises(UsageError) as refusal:
        open_generator("Qwen/Qwen3-1.7B")
    for remedy in ("'Qwen/Qwen3-1.7B'", DEFAULT_MODEL, "hf:owner/repo", "GGUF file", "endpoint"):
        assert remedy in str(refusal.value)


def test_a_server_that_is_not_there_shows_at_once() -> None:
    with pytest.raises(EndpointError, match=r"^Nobody answers at http://127\.0\.0\.1:9/v1 "):
        open_generator(None, endpoint=ADDRESS, remote={"patience": NO_PATIENCE})


def test_something_else_than_an_address_as_an_endpoint_is_an_error() -> None:
    with pytest.raises(UsageError, match="is not the address of a server"):
        open_generator(None, endpoint="localhost:8000")


def test_one_file_is_loaded_once_and_closed_with_the_pool(model_path: Path) -> None:
    with Generators(threads=1, context=256, speculation=False) as pool:
        first = pool.open(str(model_path))
        assert isinstance(first, LLM)
        assert pool.open(str(model_path.parent / "." / model_path.name)) is first
        assert first.context == 256
        assert first.generate("The capital of France is", max_tokens=2).text == " Paris."
    with pytest.raises(OutriderError, match="The model is closed"):
        first.generate("x", max_tokens=2)


def test_servers_are_told_apart_by_address_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenAIGenerator, "served", None)

    with Generators() as pool:
        one, same, other = (pool.open(spec, endpoint=ADDRESS) for spec in ("one", "one", "other"))
        assert one is same is pool.open(f"{ADDRESS}#one")
        assert one is pool.open("one", endpoint=ADDRESS.removesuffix("/v1"))
        assert one is not other
