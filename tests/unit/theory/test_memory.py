"""Memory by formula, against sizes that are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import UsageError
from outrider.theory.memory import (
    PUBLISHED,
    Load,
    ModelSizes,
    Transformer,
    cache_bytes_per_token,
    largest_context,
    largest_streams,
    memory,
    typical_sizes,
    weight_bytes,
)

QWEN3_4B = Transformer(
    layers=36, width=2560, heads=32, kv_heads=8, head_dim=128, ffn=9728, vocab_size=151936,
    tied=True,
)  # fmt: skip
QWEN3_1_7B = replace(QWEN3_4B, layers=28, width=2048, heads=16, ffn=6144)
SMALL = ModelSizes.of("small", QWEN3_1_7B, bits=16, words="16 bits")
LARGE = ModelSizes.of("large", QWEN3_4B, bits=16, words="16 bits")

loads = st.builds(
    Load,
    context=st.integers(1, 1 << 20),
    streams=st.integers(1, 256),
    num_draft_tokens=st.integers(0, 32),
)


def test_a_draft_of_a_third_of_the_size_needs_four_fifths_of_the_cache() -> None:
    assert LARGE.token_bytes == cache_bytes_per_token(36, 8, 128) == 147_456
    assert SMALL.token_bytes == 114_688
    assert SMALL.token_bytes / LARGE.token_bytes == pytest.approx(0.78, abs=0.005)
    assert cache_bytes_per_token(36, 8, 128, bits=8) == 73_728


def test_parameters_are_those_that_are_published() -> None:
    assert QWEN3_4B.params == pytest.approx(4.02e9, rel=0.005)
    assert QWEN3_1_7B.params == pytest.approx(1.72e9, rel=0.005)
    mixtral = Transformer(
        layers=32, width=4096, heads=32, kv_heads=8, head_dim=128, ffn=14336, vocab_size=32000,
        tied=False, experts=8,
    )  # fmt: skip
    assert mixtral.params == pytest.approx(46.7e9, rel=0.005)


def test_weights_are_their_bits() -> None:
    assert weight_bytes(70e9, 16) == 140e9
    assert weight_bytes(7e9, 4.5) == pytest.approx(3.9375e9)


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), float("inf")])
def test_what_is_no_size_is_refused(wrong: float) -> None:
    with pytest.raises(UsageError, match="bits of a weight has to be a positive number"):
        weight_bytes(7e9, wrong)
    with pytest.raises(UsageError, match="number of parameters"):
        typical_sizes(wrong, bits=16)
    with pytest.raises(UsageError, match="number of layers"):
        cache_bytes_per_token(wrong, 8, 128)


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ({"context": 0}, "context has to be at least 1"),
        ({"context": 1, "streams": 0}, "streams has to be at least 1"),
        ({"context": 1, "num_draft_tokens": -1}, "num_draft_tokens has to be at least 0"),
    ],
)
def test_a_load_that_cannot_be_is_refused(load: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Load(**load)


def test_the_parts_are_what_they_are_made_of() -> None:
    found = memory(LARGE, SMALL, Load(context=1000, streams=3, num_draft_tokens=4))

    assert found.draft is not None
    assert found.target.weights == found.alone.weights == 2 * QWEN3_4B.params
    assert found.target.cache == 3 * 1000 * 147_456
    assert found.draft.cache == 3 * 1000 * 114_688
    # Twelve drafted rows have logits, keys and values.
    assert found.target.scratch - found.alone.scratch == 12 * (4 * 151_936 + 147_456)
    assert found.total == found.target.total + found.draft.total
    assert found.overhead == pytest.approx(found.total / found.alone.total - 1)


def test_without_drafts_there_is_no_overhead() -> None:
    assert memory(LARGE, None, Load(context=4096)).overhead == 0.0


@given(loads, st.floats(1e9, 1e13))
def test_the_largest_that_fits_fits_and_one_more_does_not(load: Load, budget: float) -> None:
    for draft in (None, SMALL):
        context = largest_context(budget, LARGE, draft, load)
        streams = largest_streams(budget, LARGE, draft, load)
        for most, at in ((context, "context"), (streams, "streams")):
            more = replace(load, **{at: (most or 0) + 1})
            assert memory(LARGE, draft, more).total > budget
            if most is not None:
                assert memory(LARGE, draft, replace(load, **{at: most})).total <= budget


@given(st.floats(1e8, 1e12), st.floats(1e8, 1e12))
def test_typical_models_grow_with_their_parameters(one: float, other: float) -> None:
    small, large = sorted([one, other])
    a, b = typical_sizes(small, bits=16), typical_sizes(large, bits=16)

    assert a.weight_bytes <= b.weight_bytes
    assert a.token_bytes <= b.token_bytes
    assert a.row_bytes <= b.row_bytes


def test_typical_models_are_the_published_ones() -> None:
    for params, layers, *_ in PUBLISHED:
        assert typical_sizes(params, bits=16).token_bytes == pytest.approx(
            cache_bytes_per_token(layers, 8, 128)
        )


def test_seventy_and_seven_thousand_million() -> None:
    load = Load(context=4096, num_draft_tokens=8)
    found = memory(typical_sizes(70e9, bits=16), typical_sizes(7e9, bits=16), load)

    assert found.target.weights == 140e9
    assert found.overhead == pytest.approx(0.104, abs=0.001)
