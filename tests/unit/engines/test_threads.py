"""The engine among the threads of an interpreter."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from passes import Batch, Engines, Oracle, feed, same_bytes


@pytest.fixture
def cooperative() -> Iterator[None]:
    """Threads change only where the interpreter lock is given up, never by the clock."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("cooperative")
def test_other_threads_run_during_a_pass(fresh: Engines) -> None:
    engine = fresh(kernel="scalar")
    batch = Batch()
    batch.chain(engine.open([], 600), [1] * 512)
    rows = batch.rows()
    ready, ran = threading.Event(), threading.Event()

    def other() -> None:
        ready.wait()
        ran.set()

    thread = threading.Thread(target=other)
    thread.start()
    ready.set()
    # The other thread can only run while this one is inside a pass. A loaded machine may be late
    # to wake it, so there is more than one pass; a lock that is held is held in all of them.
    for _ in range(20):
        engine.forward(rows)
        if ran.is_set():
            break
    seen = ran.is_set()
    thread.join()
    assert seen


def test_threads_that_share_an_engine_take_turns(fresh: Engines, oracle: Oracle) -> None:
    engine = fresh(threads=2)
    texts = [[int(t) for t in np.random.default_rng(i).integers(0, 288, 30)] for i in range(4)]
    lengths: dict[int, int] = {}

    def work(i: int) -> None:
        sequence = engine.open([], 30)
        for start in range(0, 30, 5):
            batch = Batch()
            batch.commit(sequence, texts[i][start : start + 5])
            batch.run(engine)
        lengths[i] = sequence.length
        engine.close(sequence)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == dict.fromkeys(range(4), 30)
    for text in texts:
        sequence = engine.open(text, 30)
        assert sequence.cached == 16
        assert same_bytes(feed(engine, sequence, text[16:]), oracle.every(text)[16:])
        engine.close(sequence)


def test_many_engines_come_and_go(fresh: Engines, oracle: Oracle) -> None:
    for threads in (1, 2, 3, 4) * 5:
        engine = fresh(threads=threads)
        assert same_bytes(feed(engine, engine.open([], 3), [1, 2, 3]), oracle.every([1, 2, 3]))
