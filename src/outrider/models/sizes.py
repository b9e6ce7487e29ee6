"""The sizes of a model that decide how much memory it needs, without loading its weights.

They come from the header of a GGUF file, from the `config.json` of a Hugging Face repository, or
from such a file on disk.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from outrider.errors import DownloadError, UsageError, unknown_name
from outrider.files import read_text
from outrider.models import download, transfer
from outrider.models.gguf import GgufFile
from outrider.theory.memory import (
    BITS,
    FLOAT_BYTES,
    ModelSizes,
    Transformer,
    cache_bytes_per_token,
)

ENGINE_BITS: Final = {
    "Q4_0": 4.5,
    "Q4_1": 5.0,
    "Q4_K": 4.625,
    "Q5_0": 5.5,
    "Q5_1": 6.0,
    "Q5_K": 5.625,
}
"""Bits a weight in the native engine's memory, by the type in the file; of all others
`OTHER_ENGINE_BITS`."""

OTHER_ENGINE_BITS: Final = 8.5

TIED: Final = {
    "gemma2": True,
    "gemma3_text": True,
    "llama": False,
    "mistral": False,
    "mixtral": False,
    "phi3": False,
    "qwen2": False,
    "qwen3": False,
    "qwen3_moe": False,
    "smollm3": True,
}
"""The families whose configuration is understood, and whether their output layer is the embedding
where the configuration does not say."""

_REPOSITORY = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^@]+))?", re.ASCII)


def read_sizes(
    reference: str, *, bits: float | None = None, cache_bits: float = 16.0
) -> ModelSizes:
    """The sizes of a model, of which no weights are fetched.

    Args:
        reference: a GGUF file or the name of one that is here, a `config.json` or the directory it
            lies in, or `hf:owner/repo[@revision]`, of which the configuration is fetched.
        bits: of a weight; None takes what the native engine makes of a GGUF file's types, and what
            a configuration says.
        cache_bits: of a key or value.

    Raises:
        UsageError: the reference means nothing, or the configuration is of no known kind.
        ModelFileError: the GGUF file is damaged.
        DownloadError: the file is not here, or the configuration cannot be fetched.
    """
    if (match := _REPOSITORY.fullmatch(reference)) is not None:
        config = _fetch_config(match["repo"], match["revision"] or "main")
        return from_config(match["repo"], config, bits=bits, cache_bits=cache_bits)
    path = Path(reference).expanduser()
    if path.is_dir():
        path /= "config.json"
    if path.suffix == ".json":
        name = path.resolve().parent.name
        return from_config(name, _read_config(path), bits=bits, cache_bits=cache_bits)
    file = GgufFile(download.ensure(reference, offline=True))
    return from_gguf(file, bits=bits, cache_bits=cache_bits)


def from_gguf(file: GgufFile, *, bits: float | None, cache_bits: float = 16.0) -> ModelSizes:
    """The sizes of a GGUF file's model; see `read_sizes`.

    Raises:
        UsageError: a key that says a size is missing.
    """
    shape = _gguf_shape(file)
    matrices = [tensor for tensor in file.tensors() if len(tensor.shape) > 1]
    params: Counter[str] = Counter()
    for tensor in matrices:
        params[tensor.type] += math.prod(tensor.shape)
    of_type = {
        kind: bits if bits is not None else ENGINE_BITS.get(kind, OTHER_ENGINE_BITS)
        for kind in params
    }
    weights = sum(count * of_type[kind] / 8 for kind, count in params.items())
    kinds = [kind for kind, _ in params.most_common()]
    return ModelSizes(
        name=file.name,
        params=sum(params.values()),
        weight_bytes=weights,
        token_bytes=cache_bytes_per_token(shape.layers, shape.kv_heads, shape.head_dim, cache_bits),
        row_bytes=FLOAT_BYTES * shape.row_floats,
        vocab_size=shape.vocab_size,
        weights=_words(bits) if bits is not None else f"{', '.join(kinds)} as the engine holds it",
    )


def from_config(
    name: str, config: Mapping[str, Any], *, bits: float | None, cache_bits: float = 16.0
) -> ModelSizes:
    """The sizes of a model by the keys that transformers' configurations have.

    Raises:
        UsageError: the family is not known, or a key is missing or no whole number.
    """
    # Models that also see have their language model's configuration in a part of theirs.
    outer, config = config, {**config, **config.get("text_config", {})}
    family = config.get("model_type")
    if family not in TIED:
        raise unknown_name(f"model_type in the configuration of {name}:", str(family), TIED)

    def number(key: str, otherwise: int | None = None) -> int:
        value = config.get(key)
        value = otherwise if value is None else value
        if not isinstance(value, int) or value < 1:
            raise UsageError(f"The configuration of {name} has {value!r} as its {key}.")
        return value

    heads, width = number("num_attention_heads"), number("hidden_size")
    experts = number("num_local_experts", number("num_experts", 1))
    inner = "moe_intermediate_size" if "moe_intermediate_size" in config else "intermediate_size"
    shape = Transformer(
        layers=number("num_hidden_layers"),
        width=width,
        heads=heads,
        kv_heads=number("num_key_value_heads", heads),
        head_dim=number("head_dim", width // heads),
        ffn=number(inner),
        vocab_size=number("vocab_size"),
        tied=bool(config.get("tie_word_embeddings", TIED[family])),
        experts=experts,
    )
    if bits is None:
        bits = _config_bits(name, outer, config)
    return ModelSizes.of(name, shape, bits=bits, cache_bits=cache_bits, words=_words(bits))


def bits_of(kind: str) -> float:
    """Bits a weight of a format such as Q4_K or BF16, upper or lower case.

    Raises:
        UsageError: it is not known.
    """
    if kind.upper() not in BITS:
        raise unknown_name("format of weights", kind, BITS)
    return BITS[kind.upper()]


def _words(bits: float) -> str:
    return f"{bits:g} bits"


def _gguf_shape(file: GgufFile) -> Transformer:
    family = file.metadata.get("general.architecture")

    def number(key: str, otherwise: int | None = None) -> int:
        value = file.metadata.get(f"{family}.{key}", otherwise)
        if not isinstance(value, int) or value < 1:
            raise UsageError(f"{file.path} has {value!r} as its {family}.{key}.")
        return value

    heads, width = number("attention.head_count"), number("embedding_length")
    tokens = len(file.metadata.get("tokenizer.ggml.tokens", ()))
    return Transformer(
        layers=number("block_count"),
        width=width,
        heads=heads,
        kv_heads=number("attention.head_count_kv", heads),
        head_dim=number("attention.key_length", width // heads),
        ffn=number("feed_forward_length"),
        vocab_size=number("vocab_size", tokens),
        tied=all(tensor.name != "output.weight" for tensor in file.tensors()),
    )


def _config_bits(name: str, *configs: Mapping[str, Any]) -> float:
    """Bits a weight as a configuration says; scales of its groups included."""
    for config in configs:
        if (quantized := config.get("quantization_config")) is not None:
            bits, group = quantized.get("bits"), quantized.get("group_size")
            if not isinstance(bits, int):
                raise UsageError(
                    f"The configuration of {name} does not say how many bits its quantised weights "
                    "have; give --bits or --weights."
                )
            scales = (16 + bits) / group if isinstance(group, int) and group > 0 else 0.0
            return bits + scales
    for config in configs:
        kind = config.get("dtype") or config.get("torch_dtype")
        if kind is not None:
            known = {"float32": 32.0, "float16": 16.0, "bfloat16": 16.0}
            if kind not in known:
                raise UsageError(
                    f"The configuration of {name} has weights of the type {kind!r}; give --bits or "
                    "--weights."
                )
            return known[kind]
    return 16.0


def _read_config(path: Path) -> Mapping[str, Any]:
    return _parse(read_text(path, f"The configuration {path}"), str(path))


def _fetch_config(repo: str, revision: str) -> Mapping[str, Any]:
    if (variable := download.offline_variable()) is not None:
        raise DownloadError(
            f"The configuration of {repo} is on the hub and {variable} is set; give the path of a "
            "config.json."
        )
    url = download.hub_file_url(repo, revision, "config.json")
    try:
        with transfer.client() as client:
            text = transfer.get(client, url, download.hub_headers()).text
    except transfer.SourceError as error:
        raise DownloadError(
            f"The configuration of {repo} could not be fetched ({error}); give the path of a "
            "config.json."
        ) from error
    return _parse(text, f"{repo}/config.json")


def _parse(text: str, place: str) -> Mapping[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{place} is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{place} is not a JSON object.")
    return values
