"""How much memory a model needs, alone and with one that drafts for it.

Four things take memory: the weights, the keys and values of every token of every stream, what a
pass computes with while it runs, and all of that once more for a draft model. The draft's cache
covers the same context as the target's, and grows with layers and heads rather than with
parameters: a draft of a third of the target's size may need as much cache as the target.

Bytes are floats, because a weight takes a fraction of one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from outrider.errors import UsageError

PREFILL_ROWS: Final = 512
"""Rows of a prompt that one pass takes, at most."""

FLOAT_BYTES: Final = 4
"""Of a number that a pass computes with."""

BITS: Final = {
    "F32": 32.0,
    "F16": 16.0,
    "BF16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.5625,
    "Q5_K": 5.5,
    "Q5_1": 6.0,
    "Q5_0": 5.5,
    "Q4_K": 4.5,
    "Q4_1": 5.0,
    "Q4_0": 4.5,
    "AWQ": 4.0 + (16 + 4) / 128,
}
"""Bits a weight by format, scales and minima included. AWQ: groups of 128, with a scale of 16 bits
and a zero point of 4."""


def weight_bytes(params: float, bits: float) -> float:
    """Bytes of so many weights of so many bits each, scales included: params · bits / 8.

    Raises:
        UsageError: either is not a positive number.
    """
    _check_positive("The number of parameters", params)
    _check_positive("The bits of a weight", bits)
    return params * bits / 8


def cache_bytes_per_token(layers: float, kv_heads: int, head_dim: int, bits: float = 16.0) -> float:
    """Bytes of one token's keys and values: 2 · layers · kv_heads · head_dim · bits / 8.

    Raises:
        UsageError: one of them is not a positive number.
    """
    for name, value in (
        ("The number of layers", layers),
        ("The number of key-value heads", kv_heads),
        ("The dimension of a head", head_dim),
        ("The bits of a key or value", bits),
    ):
        _check_positive(name, value)
    return 2 * layers * kv_heads * head_dim * bits / 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """The sizes of a decoder with gated feed-forward layers (Llama, Mistral, Qwen, Gemma).

    Attributes:
        layers: blocks of attention and feed-forward.
        width: of the residual stream.
        heads: of the queries.
        kv_heads: of keys and values; fewer than `heads` under grouped-query attention.
        head_dim: of a head.
        ffn: inner width of a feed-forward layer, of one expert where there are several.
        vocab_size: tokens of the vocabulary.
        tied: whether the output layer is the embedding.
        experts: feed-forward layers of a block; all are in memory, however few a token uses.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab_size: int
    tied: bool
    experts: int = 1

    @property
    def params(self) -> int:
        """Weights of all matrices. Norms and biases, less than a thousandth, are left out."""
        attention = 2 * self.width * self.head_dim * (self.heads + self.kv_heads)
        router = self.width * self.experts if self.experts > 1 else 0
        feed_forward = 3 * self.width * self.ffn * self.experts + router
        embeddings = self.vocab_size * self.width * (1 if self.tied else 2)
        return embeddings + self.layers * (attention + feed_forward)

    @property
    def row_floats(self) -> int:
        """Numbers that a row of a pass holds at once: stream, queries, keys, values, gates."""
        return 2 * self.width + self.head_dim * (self.heads + 2 * self.kv_heads) + 2 * self.ffn


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSizes:
    """What of a model decides how much memory it needs.

    Attributes:
        name: what people call it.
        params: its weights.
        weight_bytes: of all weights.
        token_bytes: of a token's keys and values.
        row_bytes: of what a row of a pass computes with, but for its logits.
        vocab_size: tokens of the vocabulary.
        weights: how the weights are stored, in words.
    """

    name: str
    params: float
    weight_bytes: float
    token_bytes: float
    row_bytes: float
    vocab_size: int
    weights: str = ""

    @classmethod
    def of(
        cls, name: str, shape: Transformer, *, bits: float, cache_bits: float = 16.0, words: str
    ) -> ModelSizes:
        """Those of a transformer with weights and cache of so many bits.

        Raises:
            UsageError: the bits are not positive numbers.
        """
        return cls(
            name=name,
            params=shape.params,
            weight_bytes=weight_bytes(shape.params, bits),
            token_bytes=cache_bytes_per_token(
                shape.layers, shape.kv_heads, shape.head_dim, cache_bits
            ),
            row_bytes=FLOAT_BYTES * shape.row_floats,
            vocab_size=shape.vocab_size,
            weights=words,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the models at the same time.

    Attributes:
        context: tokens of a stream, prompt and answer.
        streams: completions computed at the same time.
        num_draft_tokens: tokens drafted for a stream in a step, at most.
    """

    context: int
    streams: int = 1
    num_draft_tokens: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("context", self.context, 1),
            ("streams", self.streams, 1),
            ("num_draft_tokens", self.num_draft_tokens, 0),
        ):
            if value < least:
                raise UsageError(f"{name} has to be at least {least}, not {value}.")


@dataclass(frozen=True, slots=True)
class ModelMemory:
    """Bytes that one model needs under a load.

    Attributes:
        weights: of all weights, whatever the load.
        cache: the keys and values of all streams.
        scratch: what a pass computes with: activations of a prompt's rows; logits, keys and values
            of the rows of a step.
    """

    weights: float
    cache: float
    scratch: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.cache + self.scratch


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a target needs, with a draft model or without.

    Attributes:
        target: what it needs beside the draft model.
        draft: what the draft model needs; None without one.
        alone: what the target needs where nothing is drafted.
    """

    target: ModelMemory
    draft: ModelMemory | None
    alone: ModelMemory

    @property
    def total(self) -> float:
        """Both models together."""
        return self.target.total + (self.draft.total if self.draft else 0.0)

    @property
    def overhead(self) -> float:
        """By which share drafting needs more than the target alone."""
        return self.total / self.alone.total - 1.0


def memory(target: ModelSizes, draft: ModelSizes | None, load: Load) -> Memory:
    """What the models need under a load."""
    plain = Load(context=load.context, streams=load.streams)
    alone = _model_memory(target, plain)
    if draft is None:
        return Memory(_model_memory(target, load), None, alone)
    # The draft model computes one row of each stream at a time.
    return Memory(_model_memory(target, load), _model_memory(draft, plain), alone)


def largest_context(
    budget: float, target: ModelSizes, draft: ModelSizes | None, load: Load
) -> int | None:
    """The longest context whose memory fits the budget, at the load's streams and draft tokens.

    Memory is linear in the context, so it follows from two points.

    Args:
        budget: bytes.
        target: the target model.
        draft: the draft model, if there is one.
        load: its context does not matter.

    Returns:
        None where not even a context of one token fits.
    """
    return _largest(
        budget,
        lambda context: (
            memory(
                target,
                draft,
                Load(context=context, streams=load.streams, num_draft_tokens=load.num_draft_tokens),
            ).total
        ),
    )


def largest_streams(
    budget: float, target: ModelSizes, draft: ModelSizes | None, load: Load
) -> int | None:
    """The most streams whose memory fits the budget, at the load's context and draft tokens.

    Returns:
        None where not even one fits.
    """
    return _largest(
        budget,
        lambda streams: (
            memory(
                target,
                draft,
                Load(context=load.context, streams=streams, num_draft_tokens=load.num_draft_tokens),
            ).total
        ),
    )


# --------------------------------------------------------------------- models known by size alone


PUBLISHED: Final = (
    (0.6e9, 28, 1024, 3072),
    (1.7e9, 28, 2048, 6144),
    (4.0e9, 36, 2560, 9728),
    (8.2e9, 36, 4096, 12288),
    (14.8e9, 40, 5120, 17408),
    (32.8e9, 64, 5120, 25600),
    (70.6e9, 80, 8192, 28672),
    (405.9e9, 126, 16384, 53248),
)
"""Parameters, layers, width and inner width of published models: Qwen3 up to 32B, then Llama 3.
All of them have 8 key-value heads of 128."""

TYPICAL_KV_HEADS: Final = 8
TYPICAL_HEAD_DIM: Final = 128
TYPICAL_VOCAB: Final = 128_000

COURSE_CACHE_BYTES: Final = 0.1
"""The rule of thumb of many courses: 0.1 GB of cache a thousand million parameters and stream,
which is to say 0.1 bytes a parameter, whatever the context."""


def typical_sizes(params: float, *, bits: float, cache_bits: float = 16.0) -> ModelSizes:
    """A model of which only the number of parameters is known, as published ones of its size are.

    Layers and widths lie between those of `PUBLISHED`, on straight lines over the logarithm of the
    parameters; beyond the first and the last they are theirs. A model without grouped-query
    attention needs up to eight times that cache.

    Raises:
        UsageError: the parameters or the bits are not positive numbers.
    """
    _check_positive("The number of parameters", params)
    layers, width, ffn = (_between(params, column) for column in (1, 2, 3))
    heads = width / TYPICAL_HEAD_DIM + 2 * TYPICAL_KV_HEADS
    return ModelSizes(
        name="",
        params=params,
        weight_bytes=weight_bytes(params, bits),
        token_bytes=cache_bytes_per_token(layers, TYPICAL_KV_HEADS, TYPICAL_HEAD_DIM, cache_bits),
        row_bytes=FLOAT_BYTES * (2 * width + heads * TYPICAL_HEAD_DIM + 2 * ffn),
        vocab_size=TYPICAL_VOCAB,
        weights=f"{bits:g} bits",
    )


# ------------------------------------------------------------------------------------ helpers


def _model_memory(model: ModelSizes, load: Load) -> ModelMemory:
    drafted = load.streams * load.num_draft_tokens
    logits = FLOAT_BYTES * model.vocab_size * (load.streams + drafted)
    return ModelMemory(
        weights=model.weight_bytes,
        cache=model.token_bytes * load.context * load.streams,
        scratch=PREFILL_ROWS * model.row_bytes + drafted * model.token_bytes + logits,
    )


def _largest(budget: float, needed: Callable[[int], float]) -> int | None:
    """The largest number that fits, of a need that grows by the same with each."""
    each = needed(2) - needed(1)
    count = math.floor((budget - needed(1)) / each) + 1
    return count if count >= 1 else None


def _between(params: float, column: int) -> float:
    """A size of models with so many parameters, between those of published ones."""
    known = [math.log(row[0]) for row in PUBLISHED]
    values = [row[column] for row in PUBLISHED]
    at = min(max(math.log(params), known[0]), known[-1])
    left = min(bisect_right(known, at) - 1, len(known) - 2)
    share = (at - known[left]) / (known[left + 1] - known[left])
    return float(values[left] + share * (values[left + 1] - values[left]))


def _check_positive(what: str, value: float) -> None:
    if not 0.0 < value < math.inf:
        raise UsageError(f"{what} has to be a positive number, not {value!r}.")
