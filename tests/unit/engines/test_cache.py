"""The key-value cache: what is shared, what is reserved, and what happens when room runs out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.engines.base import CachedSequence
from outrider.engines.native import BLOCK_TOKENS, NativeEngine
from outrider.errors import CapacityError, UsageError
from passes import Batch, Engines, Oracle, feed, same_bytes
from simulation import Simulation

BLOCK_BYTES = 4 * BLOCK_TOKENS * 2 * 2 * 16  # two layers of two heads of 16 dimensions
TEXT = [int(t) for t in np.random.default_rng(3).integers(0, 288, 400)]


def blocks(n: int) -> dict[str, int]:
    return {"cache_bytes": n * BLOCK_BYTES}


def opened(engine: NativeEngine, tokens: list[int], capacity: int = 0) -> CachedSequence:
    """A sequence that holds these tokens."""
    sequence = engine.open(tokens, max(capacity, len(tokens)))
    feed(engine, sequence, tokens[sequence.cached :])
    return sequence


def remembered(engine: NativeEngine, tokens: list[int]) -> int:
    """How much of a text the cache would give to a new sequence."""
    sequence = engine.open([*tokens, 0], len(tokens) + 1)
    engine.close(sequence)
    return sequence.cached


def test_sizes(fresh: Engines) -> None:
    engine = fresh(**blocks(5))
    assert engine.token_bytes * BLOCK_TOKENS == BLOCK_BYTES
    assert engine.cache_tokens == engine.free_tokens == 5 * BLOCK_TOKENS
    assert fresh(cache_bytes=6 * BLOCK_BYTES - 1).cache_tokens == 5 * BLOCK_TOKENS


@pytest.mark.parametrize(
    ("length", "cached"), [(1, 0), (16, 0), (17, 16), (32, 16), (33, 32), (47, 32), (49, 48)]
)
def test_only_full_blocks_are_shared_and_a_token_is_left(
    length: int, cached: int, fresh: Engines, oracle: Oracle
) -> None:
    engine = fresh()
    first = opened(engine, TEXT[:length])
    assert first.cached == 0
    second = engine.open(TEXT[:length], length + 3)
    assert second.cached == second.length == cached
    rest = feed(engine, second, TEXT[cached:length])
    assert same_bytes(rest, oracle.every(TEXT[:length])[cached:])


def test_sharing_while_open_and_after_closing(fresh: Engines) -> None:
    engine = fresh()
    first = opened(engine, TEXT[:40])
    assert remembered(engine, TEXT[:40]) == 32
    engine.close(first)
    assert remembered(engine, TEXT[:40]) == 32
    assert remembered(engine, [*TEXT[:16], 1, *TEXT[17:40]]) == 16
    assert remembered(engine, [1, *TEXT[1:40]]) == 0
    # A block is known by all that stands before it.
    assert remembered(engine, TEXT[16:32]) == 0
    engine.clear_cache()
    assert remembered(engine, TEXT[:40]) == 0


def test_generated_and_kept_tokens_are_shared_too(fresh: Engines, oracle: Oracle) -> None:
    engine = fresh()
    sequence = opened(engine, TEXT[:12], 40)
    batch = Batch()
    (root,) = batch.commit(sequence, TEXT[12:13])
    batch.chain(sequence, [5, 6], root)
    rows = batch.chain(sequence, TEXT[13:20], root)
    batch.run(engine)
    engine.keep(sequence, rows)
    engine.close(sequence)
    again = engine.open(TEXT[:20], 20)
    assert again.cached == 16
    assert same_bytes(feed(engine, again, TEXT[16:20]), oracle.every(TEXT[:20])[16:])


def test_rejected_drafts_leave_no_trace(fresh: Engines) -> None:
    engine = fresh()
    sequence = opened(engine, TEXT[:10], 64)
    batch = Batch()
    batch.chain(sequence, TEXT[10:40])
    batch.run(engine)
    assert sequence.length == 10
    assert remembered(engine, TEXT[:40]) == 0


def test_unshared_sequences_neither_take_nor_give(fresh: Engines) -> None:
    engine = fresh()
    engine.close(opened(engine, TEXT[:40]))
    alone = engine.open(TEXT[:40], 80, share=False)
    assert alone.cached == 0
    feed(engine, alone, TEXT[:80])
    engine.close(alone)
    assert remembered(engine, TEXT[:80]) == 32


def test_the_longest_unused_is_forgotten_first(fresh: Engines) -> None:
    engine = fresh(**blocks(6))
    one, two, three = TEXT[:32], TEXT[100:132], TEXT[200:232]
    for text in (one, two, three):
        engine.close(opened(engine, text))
    remembered(engine, one)  # used again
    engine.close(opened(engine, TEXT[300:332]))
    assert [remembered(engine, t) for t in (one, two, three)] == [32, 0, 32]


def test_the_end_of_a_text_is_forgotten_before_its_beginning(fresh: Engines) -> None:
    engine = fresh(**blocks(5))
    engine.close(opened(engine, TEXT[:64]))
    engine.close(opened(engine, TEXT[100:148]))
    assert remembered(engine, TEXT[:64]) == 32


def test_what_is_in_use_is_never_forgotten(fresh: Engines, oracle: Oracle) -> None:
    engine = fresh(**blocks(4))
    kept = opened(engine, TEXT[:32], 33)
    for start in (100, 150, 200):
        engine.close(opened(engine, TEXT[start : start + 16]))
    assert same_bytes(feed(engine, kept, TEXT[32:33])[0], oracle.after(TEXT[:33]))


def test_the_same_text_computed_twice_at_once(fresh: Engines, oracle: Oracle) -> None:
    engine = fresh()
    a, b = engine.open(TEXT[:40], 60), engine.open(TEXT[:40], 60)
    batch = Batch()
    rows = batch.commit(a, TEXT[:40])
    others = batch.commit(b, TEXT[:40])
    result = batch.run(engine)
    assert same_bytes(result.numpy(rows), result.numpy(others))
    engine.close(a)
    engine.clear_cache()  # what only the first used is gone
    assert same_bytes(feed(engine, b, TEXT[40:60]), oracle.every(TEXT[:60])[40:])
    engine.close(b)
    again = opened(engine, TEXT[:60])
    engine.close(again)
    assert remembered(engine, TEXT[:60]) == 48


def test_reservations_are_kept(fresh: Engines) -> None:
    engine = fresh(**blocks(4))
    first = engine.open(TEXT[:1], 40)
    assert engine.free_tokens == 16
    with pytest.raises(CapacityError, match=r"room for 16 .* 32 are needed; wait") as caught:
        engine.open(TEXT[:1], 17)
    assert not caught.value.never
    second = engine.open(TEXT[:1], 16)
    assert engine.free_tokens == 0
    with pytest.raises(CapacityError):
        engine.fork(second, 1)
    # Both can use all they reserved.
    feed(engine, first, TEXT[:40])
    feed(engine, second, TEXT[:16])
    engine.close(second)
    assert engine.free_tokens == 16
    engine.close(first)
    assert engine.free_tokens == 64


def test_shared_blocks_count_once(fresh: Engines) -> None:
    engine = fresh(**blocks(4))
    first = opened(engine, TEXT[:33])
    assert engine.free_tokens == 16
    second = engine.open(TEXT[:33], 48)
    assert second.cached == 32
    assert engine.free_tokens == 0
    engine.close(first)
    assert engine.free_tokens == 16
    # Unused blocks that come into use again are no longer free.
    engine.close(second)
    third = engine.open(TEXT[:33], 48)
    assert third.cached == 32
    assert engine.free_tokens == 16


def test_reviving_unused_blocks_cannot_eat_a_reservation(fresh: Engines, oracle: Oracle) -> None:
    engine = fresh(**blocks(4))
    engine.close(opened(engine, TEXT[:33]))
    other = engine.open([], 32)  # two of four blocks, not taken yet
    with pytest.raises(CapacityError, match=r"room for 32 .* 48 are needed"):
        engine.open(TEXT[:33], 48)
    assert same_bytes(feed(engine, other, TEXT[100:132]), oracle.every(TEXT[100:132]))


def test_what_can_never_fit(fresh: Engines) -> None:
    engine = fresh(**blocks(4), context=128)
    for capacity, message in ((65, "budget.*holds 64"), (129, "context of 128")):
        with pytest.raises(CapacityError, match=message) as caught:
            engine.open(TEXT[:1], capacity)
        assert caught.value.never
    sequence = engine.open(TEXT[:1], 10)
    for capacity in (65, 129):
        with pytest.raises(CapacityError) as caught:
            engine.fork(sequence, capacity)
        assert caught.value.never
    engine.open(TEXT[:1], 48)


@pytest.mark.parametrize("budget", [0, 1, BLOCK_BYTES - 1])
def test_budget_without_a_block(budget: int, fresh: Engines) -> None:
    with pytest.raises(CapacityError, match="cache-budget") as caught:
        fresh(cache_bytes=budget)
    assert caught.value.never


@pytest.mark.parametrize("budget", [-1, 1 << 62])
def test_budget_of_no_sense(budget: int, fresh: Engines) -> None:
    with pytest.raises(UsageError, match="budget"):
        fresh(cache_bytes=budget)


def test_capacity_below_what_is_there(fresh: Engines) -> None:
    engine = fresh()
    with pytest.raises(UsageError, match=r"capacity of 9 .* 10"):
        engine.open(TEXT[:10], 9)
    sequence = opened(engine, TEXT[:20])
    with pytest.raises(UsageError, match=r"capacity of 19 .* 20"):
        engine.fork(sequence, 19)
    engine.close(sequence)
    assert engine.free_tokens == engine.cache_tokens


def test_an_empty_sequence(fresh: Engines) -> None:
    engine = fresh()
    sequence = engine.open([], 0)
    fork = engine.fork(sequence, 0)
    assert sequence.cached == sequence.length == fork.length == 0
    engine.close(sequence)
    engine.close(fork)


def test_closed_sequences_are_gone(fresh: Engines) -> None:
    engine = fresh()
    sequence = opened(engine, TEXT[:20])
    engine.close(sequence)
    batch = Batch()
    batch.commit(sequence, TEXT[:1])
    for use in (
        lambda: engine.close(sequence),
        lambda: engine.fork(sequence, 30),
        lambda: engine.keep(sequence, []),
        lambda: batch.run(engine),
        lambda: sequence.length,
    ):
        with pytest.raises(UsageError, match="no open sequence"):
            use()
    assert engine.free_tokens == engine.cache_tokens


def test_closing_between_pass_and_keep(fresh: Engines, oracle: Oracle) -> None:
    engine = fresh()
    sequence, other = opened(engine, TEXT[:20], 30), opened(engine, TEXT[:20], 30)
    batch = Batch()
    mine = batch.chain(sequence, TEXT[20:25])
    yours = batch.chain(other, TEXT[20:25])
    result = batch.run(engine)
    engine.close(sequence)
    with pytest.raises(UsageError):
        engine.keep(sequence, mine)
    assert same_bytes(result.numpy(mine), result.numpy(yours))
    engine.keep(other, yours)
    assert same_bytes(feed(engine, other, [1])[0], oracle.after([*TEXT[:25], 1]))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32), size=st.integers(5, 14), letters=st.integers(2, 6))
def test_a_crowded_cache_never_corrupts(
    seed: int, size: int, letters: int, engines: Engines, oracle: Oracle
) -> None:
    engine = engines(**blocks(size))
    simulation = Simulation(
        engine, oracle, np.random.default_rng(seed), prompt=60, growth=25, letters=letters
    )
    simulation.run(40)
    assert engine.free_tokens == engine.cache_tokens


def test_the_simulation_meets_what_it_is_for(engines: Engines, oracle: Oracle) -> None:
    shared = refused = 0
    for seed in range(6):
        random = np.random.default_rng(seed)
        simulation = Simulation(engines(**blocks(7)), oracle, random, prompt=60, letters=2)
        simulation.run(40)
        shared, refused = shared + simulation.shared, refused + simulation.refused
    assert shared > 0
    assert refused > 0
