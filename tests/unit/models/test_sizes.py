"""Sizes of models by their files, without their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from models.file_server import FileServer

from outrider.engines.native import NativeEngine
from outrider.errors import DownloadError, UsageError
from outrider.models.sizes import bits_of, from_config, read_sizes

CONFIG: dict[str, Any] = {
    "model_type": "qwen3",
    "hidden_size": 2560,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 9728,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def sizes(bits: float | None = None, **changes: Any) -> Any:
    config = {key: value for key, value in (CONFIG | changes).items() if value is not None}
    return from_config("owner/model", config, bits=bits)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "model" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(CONFIG))
    return path


def test_a_gguf_file_s_weights_are_those_that_the_engine_holds(model_path: Path) -> None:
    engine = NativeEngine(model_path, threads=1, context=64)

    found = read_sizes(str(model_path))

    assert found.weight_bytes == engine.weight_bytes
    assert found.token_bytes == engine.token_bytes
    assert found.vocab_size == engine.vocab_size
    assert found.weights == "Q4_1, Q8_0 as the engine holds it"


def test_other_bits_are_those_of_all_matrices(model_path: Path) -> None:
    found = read_sizes(str(model_path), bits=4.5, cache_bits=8)

    assert found.weight_bytes == found.params * 4.5 / 8
    assert found.token_bytes == read_sizes(str(model_path)).token_bytes / 2
    assert found.weights == "4.5 bits"


def test_a_config_by_its_path_and_by_its_directory(config: Path) -> None:
    found = read_sizes(str(config))

    assert found == read_sizes(str(config.parent))
    assert found.name == "model"
    assert found.token_bytes == 147_456
    assert found.params == pytest.approx(4.02e9, rel=0.005)
    assert found.weight_bytes == 2 * found.params


def test_a_config_of_the_hub(index: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    index.put("/owner/model/resolve/main/config.json", json.dumps(CONFIG).encode())

    found = read_sizes("hf:owner/model")

    assert found.name == "owner/model"
    assert found.token_bytes == 147_456
    assert [request.headers["Authorization"] for request in index.requests] == ["Bearer secret"]


def test_a_config_that_is_not_there(index: FileServer) -> None:
    with pytest.raises(DownloadError, match=r"could not be fetched .*give the path of a config"):
        read_sizes("hf:owner/model")


def test_offline(index: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTRIDER_OFFLINE", "1")
    with pytest.raises(DownloadError, match="OUTRIDER_OFFLINE is set"):
        read_sizes("hf:owner/model@v1")
    assert index.requests == []


def test_the_kinds_of_configs() -> None:
    dense = sizes()
    # Heads and their width are those of the queries where nothing else is said.
    assert sizes(num_key_value_heads=None, head_dim=None).token_bytes == 2 * 36 * 2560 * 2
    # Families differ in whether the output layer is one of its own.
    untied = sizes(tie_word_embeddings=None)
    assert untied.params - dense.params == 151936 * 2560
    inner = {key: value for key, value in CONFIG.items() if key != "model_type"}
    seeing = {"model_type": "gemma3", "text_config": inner | {"model_type": "gemma3_text"}}
    assert from_config("a/b", seeing, bits=None).params == dense.params
    experts = sizes(model_type="qwen3_moe", num_experts=4, moe_intermediate_size=768)
    assert experts.params - dense.params == 36 * (3 * 2560 * (4 * 768 - 9728) + 4 * 2560)


def test_bits_are_the_config_s() -> None:
    assert sizes(torch_dtype="float32").weight_bytes == 4 * sizes().params
    assert sizes(torch_dtype=None).weight_bytes == 2 * sizes().params
    awq = sizes(quantization_config={"bits": 4, "group_size": 128})
    assert awq.weight_bytes == awq.params * bits_of("awq") / 8
    assert sizes(bits=8, quantization_config={}).weight_bytes == sizes().params


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "qwen33"}, "model_type .*did you mean 'qwen3'"),
        ({"hidden_size": None}, "has None as its hidden_size"),
        ({"vocab_size": 0}, "has 0 as its vocab_size"),
        ({"torch_dtype": "float8_e4m3fn"}, "weights of the type 'float8_e4m3fn'; give --bits"),
        ({"quantization_config": {"quant_method": "fp8"}}, "how many bits .* give --bits"),
    ],
)
def test_a_config_that_is_not_understood(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sizes(**changes)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not JSON"), ("[]", "is not a JSON object")]
)
def test_a_file_that_is_no_config(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_sizes(str(path))


def test_a_directory_without_a_config(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_sizes(str(tmp_path))


def test_an_unknown_format() -> None:
    assert bits_of("q4_k") == 4.5
    with pytest.raises(UsageError, match="did you mean 'Q4_K'"):
        bits_of("Q4_X")
