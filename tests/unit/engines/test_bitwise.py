"""The promise: a row's logits are the same bytes, whatever else is computed and however."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider import _native
from outrider.engines.base import HISTORY
from outrider.engines.native import NativeEngine
from passes import Batch, Engines, Oracle, feed, same_bytes
from simulation import Simulation
from synthetic import Shape, stored, write

MACHINES: list[dict[str, Any]] = [
    *({"threads": 1, "kernel": kernel} for kernel in _native.kernels()),
    *({"threads": threads} for threads in (2, 3, 4)),
    {"threads": 2, "kernel": "scalar"},
]
RANDOM = np.random.default_rng(11)
TEXT = [int(t) for t in RANDOM.integers(0, 288, 560)]


def name(machine: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in machine.items())


machines = pytest.mark.parametrize("machine", MACHINES, ids=name)


@pytest.fixture(scope="session")
def text_logits(oracle: Oracle) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The logits of every position of TEXT, one row a pass."""
    return oracle.every(TEXT)


@machines
@pytest.mark.parametrize("chunk", [2, 7, 16, 65, 256, 512])
def test_chunking_of_the_prompt(
    machine: dict[str, Any], chunk: int, engines: Engines, text_logits: Any
) -> None:
    engine = engines(**machine)
    n = len(TEXT) if chunk >= 16 and engine.kernel != "scalar" else 70
    if engine.kernel == "scalar" and chunk == 256:
        n = 300
    sequence = engine.open([], n, share=False)
    assert same_bytes(feed(engine, sequence, TEXT[:n], chunk), text_logits[:n])
    engine.close(sequence)


@machines
@pytest.mark.parametrize("history", [1, 15, 16, 17, 254, 255, 256, 257, 511, 512, 513])
def test_chains_and_trees_at_the_borders_of_blocks_and_chunks(
    machine: dict[str, Any], history: int, engines: Engines, oracle: Oracle, text_logits: Any
) -> None:
    engine = engines(**machine)
    sequence = engine.open(TEXT[:history], history + 20)
    feed(engine, sequence, TEXT[sequence.cached : history])

    # A pending token, the text's own continuation as a chain, and branches off it.
    batch = Batch()
    (root,) = batch.commit(sequence, TEXT[history : history + 1])
    other = [batch.add(sequence, 5, root)]
    chain = batch.chain(sequence, TEXT[history + 1 : history + 7], root)
    other += batch.chain(sequence, [8, 9], chain[2])
    result = batch.run(engine)
    assert same_bytes(result.numpy([root, *chain]), text_logits[history : history + 7])
    branches = [
        [5],
        [*TEXT[history + 1 : history + 4], 8],
        [*TEXT[history + 1 : history + 4], 8, 9],
    ]
    for row, branch in zip(other, branches, strict=True):
        assert same_bytes(result.numpy([row])[0], oracle.after(TEXT[: history + 1] + branch))

    # The accepted path is not the first branch; then on from there, plainly.
    engine.keep(sequence, chain)
    assert sequence.length == history + 7
    rest = TEXT[history + 7 : history + 12]
    assert same_bytes(
        feed(engine, sequence, rest, 2), text_logits[history + 7 : history + 7 + len(rest)]
    )
    engine.close(sequence)


@machines
def test_drafts_behind_the_history_without_a_pending_row(
    machine: dict[str, Any], engines: Engines, oracle: Oracle, text_logits: Any
) -> None:
    engine = engines(**machine)
    sequence = engine.open(TEXT[:253], 300)
    feed(engine, sequence, TEXT[sequence.cached : 253])
    batch = Batch()
    first = batch.add(sequence, 3)
    chain = batch.chain(sequence, TEXT[253:260])
    result = batch.run(engine)
    assert same_bytes(result.numpy([first])[0], oracle.after([*TEXT[:253], 3]))
    assert same_bytes(result.numpy(chain), text_logits[253:260])
    engine.keep(sequence, chain[:5])
    assert same_bytes(feed(engine, sequence, TEXT[258:262]), text_logits[258:262])
    engine.close(sequence)


@machines
def test_long_and_short_sequences_in_one_pass(
    machine: dict[str, Any], engines: Engines, oracle: Oracle, text_logits: Any
) -> None:
    engine = engines(**machine)
    lengths = [520, 300, 17, 3]
    sequences = [engine.open(TEXT[:n], n + 8) for n in lengths]
    for n, sequence in zip(lengths, sequences, strict=True):
        feed(engine, sequence, TEXT[sequence.cached : n], 128)
    batch = Batch()
    committed = {
        s.id: batch.commit(s, TEXT[n : n + 1])[0] for n, s in zip(lengths, sequences, strict=True)
    }
    drafted: dict[int, list[int]] = {s.id: [] for s in sequences}
    for i in range(5):
        for n, s in zip(lengths, sequences, strict=True):
            parent = drafted[s.id][-1] if drafted[s.id] else committed[s.id]
            drafted[s.id].append(batch.add(s, TEXT[n + 1 + i], parent))
    result = batch.run(engine)
    for n, s in zip(lengths, sequences, strict=True):
        rows = [committed[s.id], *drafted[s.id]]
        assert same_bytes(result.numpy(rows), text_logits[n : n + 6])
        engine.close(s)


@machines
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_random_serving(
    machine: dict[str, Any], engines: Engines, oracle: Oracle, seed: int
) -> None:
    Simulation(engines(**machine), oracle, np.random.default_rng(seed)).run(25)


@pytest.mark.parametrize("kernel", _native.kernels())
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_random_serving_in_float_mode(
    kernel: str, engines: Engines, float_oracle: Oracle, seed: int
) -> None:
    engine = engines(float32=True, kernel=kernel)
    Simulation(engine, float_oracle, np.random.default_rng(seed)).run(25)


@machines
def test_hidden_states(machine: dict[str, Any], engines: Engines) -> None:
    alone = engines(max_rows=1)
    reference = alone.open([], 40, share=False)
    expected = []
    for token in TEXT[:40]:
        batch = Batch()
        row = batch.commit(reference, [token])
        expected.append(batch.run(alone, hidden=(0, 1, 2)).hidden(row)[:, 0])
    alone.close(reference)

    engine = engines(**machine)
    a, b = engine.open([], 40, share=False), engine.open([], 40, share=False)
    feed(engine, b, TEXT[:20])
    batch = Batch()
    first = batch.commit(a, TEXT[:30])
    second = batch.commit(b, TEXT[20:30])
    batch.chain(b, [1, 2, 3], second[-1])
    third = batch.chain(b, TEXT[30:40], second[-1])
    # The order of the layers is the caller's.
    got = batch.run(engine, hidden=(2, 0, 1)).hidden([*first, *second, *third])[[1, 2, 0]]
    order = [*range(30), *range(20, 40)]
    assert same_bytes(got, np.stack([expected[i] for i in order], axis=1))
    engine.close(a)
    engine.close(b)


@machines
def test_first_layers_only(machine: dict[str, Any], engines: Engines) -> None:
    alone = engines(max_rows=1)
    engine = engines(**machine)
    expected = []
    for i in range(8):
        # The last row alone; those before it are history.
        sequence = alone.open([], 60, share=False)
        feed(alone, sequence, TEXT[: 40 + i], 1)
        batch = Batch()
        row = batch.add(sequence, TEXT[40 + i])
        expected.append(batch.run(alone, layers=1).numpy([row])[0])
        alone.close(sequence)
    sequence = engine.open(TEXT[:40], 60)
    feed(engine, sequence, TEXT[sequence.cached : 40])
    batch = Batch()
    batch.add(sequence, 7)
    rows = batch.chain(sequence, TEXT[40:48])
    assert same_bytes(batch.run(engine, layers=1).numpy(rows), np.stack(expected))
    # Nothing of it stays.
    assert sequence.length == 40
    again = feed(engine, sequence, TEXT[40:42])
    assert same_bytes(again, engines_text(engines, 42)[40:])
    engine.close(sequence)


def engines_text(engines: Engines, n: int) -> Any:
    engine = engines()
    sequence = engine.open([], n, share=False)
    logits = feed(engine, sequence, TEXT[:n], 1)
    engine.close(sequence)
    return logits


def test_forks_of_a_partly_filled_block_go_their_own_ways(engines: Engines, oracle: Oracle) -> None:
    engine = engines()
    parent = engine.open(TEXT[:21], 64)
    feed(engine, parent, TEXT[parent.cached : 21])
    child = engine.fork(parent, 64)
    assert child.cached == child.length == 21
    batch = Batch()
    mine = batch.commit(parent, [1, 2, 3])
    yours = batch.commit(child, [4, 5, 6])
    result = batch.run(engine)
    assert same_bytes(result.numpy(mine), oracle.every([*TEXT[:21], 1, 2, 3])[21:])
    assert same_bytes(result.numpy(yours), oracle.every([*TEXT[:21], 4, 5, 6])[21:])
    engine.close(parent)
    assert same_bytes(feed(engine, child, [7])[0], oracle.after([*TEXT[:21], 4, 5, 6, 7]))
    engine.close(child)


def test_activations_that_are_nearly_constant(tmp_path: Path) -> None:
    # Groups whose values differ by a few last bits: their middle is rounded by as much as they
    # spread, and still no code may leave its 8 bits. The layers add nothing, and the output layer
    # takes half of the values from the other half, so that nothing else is left of them.
    shape = Shape(type=Type.Q8_0, tied=False)
    random = np.random.default_rng(1)
    same = np.repeat(np.linspace(0.5, 2, 288, dtype=np.float32)[:, None], 64, axis=1)
    signs = random.permuted(np.tile(np.float32([1, -1]), (288, 16)), axis=1)
    matrices = {"token_embd.weight": same, "output.weight": np.hstack([signs, signs])}
    for i in range(shape.layers):
        matrices[f"blk.{i}.attn_output.weight"] = np.zeros((64, 64), np.float32)
        matrices[f"blk.{i}.ffn_down.weight"] = np.zeros((64, 96), np.float32)
    tensors = {name: (stored(m, Type.Q8_0), Type.Q8_0) for name, m in matrices.items()}
    nearly = 1.5 + random.integers(0, 4, 64).astype(np.float32) * np.float32(2**-23)
    tensors["output_norm.weight"] = (nearly, Type.F32)
    write(tmp_path / "m.gguf", shape, tensors=tensors)
    logits = []
    for kernel in _native.kernels():
        engine = NativeEngine(tmp_path / "m.gguf", threads=1, cache_bytes=1 << 20, kernel=kernel)
        logits.append(feed(engine, engine.open([], 20), TEXT[:20]))
    assert all(same_bytes(logits[0], other) for other in logits[1:])
    assert 0 < np.abs(logits[0]).max() < 64 * 4 * 2**-23


@pytest.mark.slow
def test_a_real_model(model_path: Path) -> None:
    text = [int(t) for t in RANDOM.integers(0, 49152, 48)]
    plain = NativeEngine(model_path, threads=1, cache_bytes=64 << 20)
    expected = feed(plain, plain.open([], 48, share=False), text, chunk=1)
    for threads in (1, 2):
        engine = NativeEngine(model_path, threads=threads, cache_bytes=64 << 20)
        sequence = engine.open([], 64)
        batch = Batch()
        first = batch.commit(sequence, text[:33])
        batch.add(sequence, 17, first[-1])
        drafted = batch.chain(sequence, text[33:44], first[-1])
        result = batch.run(engine)
        assert same_bytes(result.numpy([*first, *drafted]), expected[:44])
        engine.keep(sequence, drafted[:8])
        assert same_bytes(feed(engine, sequence, text[41:], 3), expected[41:])
    scalar = NativeEngine(model_path, threads=2, cache_bytes=64 << 20, kernel="scalar")
    batch = Batch()
    rows = batch.commit(scalar.open([], 8), text[:3])
    assert same_bytes(batch.run(scalar).numpy(rows), expected[:3])


def test_a_pass_over_nothing_but_history(engines: Engines, oracle: Oracle) -> None:
    engine = engines()
    sequence = engine.open([], 4, share=False)
    batch = Batch()
    row = batch.add(sequence, 9, HISTORY)
    assert same_bytes(batch.run(engine).numpy([row])[0], oracle.after([9]))
    engine.close(sequence)
