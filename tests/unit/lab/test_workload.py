"""Work by which engines are measured: it does what it says, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outrider.engines.base import Rows
from outrider.engines.native import NativeEngine, NativePass
from outrider.lab.workload import Decoding, draft_pass, history, prefill_ms
from synthetic import MIXED, write


class Watched(NativeEngine):
    """An engine that notes what it was asked to compute."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen: list[Rows] = []

    def forward(
        self, rows: Rows, layers: int | None = None, hidden: tuple[int, ...] = ()
    ) -> NativePass:
        self.seen.append(rows)
        return super().forward(rows, layers, hidden)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Watched]:
    write(tmp_path / "small.gguf", MIXED)
    engine = Watched(tmp_path / "small.gguf", threads=1, cache_bytes=1 << 20, max_rows=16)
    free = engine.free_tokens
    yield engine
    assert engine.free_tokens == free


def test_a_draft_is_a_chain_with_logits_and_leaves_the_history(engine: Watched) -> None:
    with history(engine, 40, 8) as sequence:
        timed = draft_pass(engine, sequence, 5)
        assert sequence.length == 40
        (rows,) = engine.seen
        assert list(rows.parent) == [-1, 0, 1, 2, 3]
        assert rows.want_logits.all()
        assert not rows.commit.any()
    assert set(timed.phases) == {"weights", "attention", "output", "rest"}
    assert all(ms > 0 for ms in timed.phases.values())
    assert sum(timed.phases.values()) <= timed.ms


def test_prefill_computes_every_token_once_and_logits_once(engine: Watched) -> None:
    assert prefill_ms(engine, 37) > 0
    assert [len(rows) for rows in engine.seen] == [16, 16, 5]
    assert all(rows.commit.all() for rows in engine.seen)
    wanted = np.concatenate([rows.want_logits for rows in engine.seen])
    assert np.flatnonzero(wanted).tolist() == [36]


def test_sequences_decode_side_by_side(engine: Watched) -> None:
    with Decoding.begin(engine, 20, 3, count=4) as decoding:
        assert decoding.ms(2) > 0
        assert decoding.ms(1) > 0
    assert [len(rows) for rows in engine.seen] == [4, 4, 4]
    assert len(set(engine.seen[0].sequence)) == 4
    assert all(rows.commit.all() for rows in engine.seen)


def test_a_decoded_token_is_the_choice_of_the_pass_before(engine: Watched) -> None:
    with Decoding.begin(engine, 20, 3) as decoding:
        decoding.ms(2)
    with history(engine, 20, 1) as sequence:
        first = engine.seen[0]
        rows = Rows(
            np.array([sequence.id], np.int32),
            first.token,
            first.parent,
            first.commit,
            first.want_logits,
        )
        logits = engine.forward(rows).numpy([0])[0]
    assert engine.seen[1].token.tolist() == [int(logits.argmax())]
