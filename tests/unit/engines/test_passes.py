"""Passes of any shape: every kernel and number of threads against the scalar reference.

The reference computes each sequence of a pass by itself, so that company counts as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider import _native
from outrider.engines.base import HISTORY, CachedSequence
from outrider.engines.native import NativeEngine
from passes import Batch, Logits, feed, same_bytes
from synthetic import MIXED, Shape, write

WINDOW = 100
LONGEST = 530
ROWS = 40
TEXT = [int(t) for t in np.random.default_rng(17).integers(0, 96, LONGEST + ROWS + 1)]
SHAPES = {
    "mixed": MIXED,
    "windows": Shape(family="gemma3", layers=6, window=WINDOW, type=Type.Q5_1, kv_heads=1),
    "biases": Shape(family="qwen2", type=Type.Q5_0, heads=2, kv_heads=2, vocab=96),
    "super-blocks": Shape(
        family="qwen3",
        width=256,
        head_dim=16,
        feed_forward=32,
        vocab=96,
        layers=1,
        type=Type.Q4_K,
        types={
            "blk.0.attn_output.weight": Type.Q4_0,
            "blk.0.ffn_gate.weight": Type.Q5_K,
            "blk.0.ffn_up.weight": Type.Q6_K,
            "blk.0.ffn_down.weight": Type.Q8_0,
        },
    ),
}


@dataclass(frozen=True)
class Part:
    """What a pass computes of one sequence.

    `history` tokens are there, `committed` follow, then drafted rows: each is the child of the row
    so many places before it among them, or of the last that is no draft.
    """

    history: int
    committed: int
    back: tuple[int, ...]

    def rows(self) -> list[tuple[int, int]]:
        """The token of each row and its parent's index among them; drafts differ from the text."""
        rows = [(TEXT[self.history + i], i - 1) for i in range(self.committed)]
        for i, back in enumerate(self.back):
            parent = self.committed + i - back if back <= i else self.committed - 1
            rows.append(((7 * i + back) % 96, parent))
        return rows


@dataclass(frozen=True)
class Machine:
    kernel: str
    threads: int


# Where chunks of 256 positions begin, and windows; and anywhere.
BORDERS = [edge + side for edge in (256, 512, WINDOW, 256 + WINDOW) for side in range(-3, 3)]
parts = st.builds(
    Part,
    history=st.sampled_from(BORDERS) | st.integers(0, LONGEST),
    committed=st.integers(0, 12),
    back=st.lists(st.sampled_from((1, 1, 1, 2, 3, ROWS)), max_size=12).map(tuple),
).filter(lambda part: part.committed + len(part.back) > 0)
passes = st.lists(parts, min_size=1, max_size=4).filter(
    lambda plan: sum(part.committed + len(part.back) for part in plan) <= ROWS
)
machines = st.builds(
    Machine,
    kernel=st.sampled_from([name for name in _native.kernels() if name != "scalar"]),
    threads=st.integers(1, 4),
)


class Model:
    """Engines over one model file, made when they are asked for."""

    def __init__(self, path: Path, shape: Shape) -> None:
        self.path = path
        self.made: dict[Machine, NativeEngine] = {}
        write(path, shape)

    def engine(self, machine: Machine) -> NativeEngine:
        if machine not in self.made:
            self.made[machine] = NativeEngine(
                self.path, kernel=machine.kernel, threads=machine.threads, cache_bytes=16 << 20
            )
        return self.made[machine]


@pytest.fixture(scope="module", params=SHAPES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("passes") / "m.gguf", SHAPES[request.param])


@contextmanager
def opened(engine: NativeEngine, plan: list[Part]) -> Iterator[list[CachedSequence]]:
    """Sequences with their histories; most of these are in the cache."""
    sequences = []
    try:
        for part in plan:
            beginning = TEXT[: part.history]
            sequence = engine.open(beginning, part.history + ROWS)
            sequences.append(sequence)
            if sequence.cached < part.history:
                feed(engine, sequence, beginning[sequence.cached :], 64)
        yield sequences
    finally:
        for sequence in sequences:
            engine.close(sequence)


def computed(engine: NativeEngine, plan: list[Part], order: np.random.Generator) -> list[Logits]:
    """The logits of every part's rows; those of several sequences stand mixed in the pass.

    Then a path of each part is kept, and the logits of a token behind it are the part's last.
    """
    with opened(engine, plan) as sequences:
        batch = Batch()
        placed: list[list[int]] = [[] for _ in plan]
        owners = np.repeat(np.arange(len(plan)), [len(part.rows()) for part in plan])
        for owner in order.permutation(owners):
            part, mine = plan[owner], placed[owner]
            token, parent = part.rows()[len(mine)]
            commit = len(mine) < part.committed
            above = mine[parent] if parent >= 0 else HISTORY
            mine.append(batch.add(sequences[owner], token, above, commit=commit))
        result = batch.run(engine)
        found = [result.numpy(mine) for mine in placed]
        after = Batch()
        last = []
        for part, mine, sequence in zip(plan, placed, sequences, strict=True):
            engine.keep(sequence, [mine[row] for row in path(part)])
            last.append(after.add(sequence, TEXT[0], commit=True))
        result = after.run(engine)
        return [np.vstack([f, result.numpy([row])]) for f, row in zip(found, last, strict=True)]


def path(part: Part) -> list[int]:
    """The drafted rows from the history down to the last one."""
    rows = part.rows()
    found: list[int] = []
    row = len(rows) - 1
    while row >= part.committed:
        found.insert(0, row)
        row = rows[row][1]
    return found


@settings(max_examples=15, deadline=None)
@given(plan=passes, machine=machines, seed=st.integers(0, 1 << 16))
def test_every_kernel_equals_the_reference(
    model: Model, plan: list[Part], machine: Machine, seed: int
) -> None:
    order = np.random.default_rng(seed)
    got = computed(model.engine(machine), plan, order)
    reference = model.engine(Machine("scalar", 2))
    for part, logits in zip(plan, got, strict=True):
        (expected,) = computed(reference, [part], order)
        assert same_bytes(logits, expected)
