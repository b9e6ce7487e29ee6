from __future__ import annotations

from pathlib import Path

import pytest

from outrider import _native
from outrider.engines.native import NativeEngine, fast_kernels
from outrider.errors import UsageError
from outrider.lab import engine_bench, engine_record
from outrider.lab.engine_bench import Curve, Spread
from outrider.lab.workload import TimedPass
from synthetic import MIXED, Shape, write

CONTEXT = 256


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.gguf"
    write(path, Shape(types=MIXED.types, context=CONTEXT))
    return path


@pytest.fixture(scope="module")
def engine(path: Path) -> NativeEngine:
    return NativeEngine(path, threads=1, cache_bytes=1 << 20)


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_bench, "BANDWIDTH_BYTES", 1 << 22)
    monkeypatch.setattr(engine_bench, "SLICE_BYTES", 1 << 18)


def test_a_spread_is_a_median_between_extremes() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)


def test_ratios_are_taken_within_a_round() -> None:
    """The machine may change between rounds: 2 and 20 ms are one ratio, not a median of times."""

    def timed(ms: float) -> TimedPass:
        return TimedPass(ms, {"weights": ms / 2, "rest": 1.0})

    rounds = [{1: timed(one), 8: timed(8 * one)} for one in (2.0, 20.0, 3.0, 4.0)]
    curve = Curve.of([*rounds, {1: timed(100.0), 8: timed(100.0)}])
    assert curve.ratios == {1: 1.0, 8: 8.0}
    assert curve.rows_ms[1] == Spread(4.0, 2.0, 100.0)
    assert curve.phases_ms[8] == {"weights": 16.0, "rest": 1.0}


def test_the_floor_counts_the_file_and_the_history(engine: NativeEngine) -> None:
    read = engine_bench.bytes_per_token(engine, 100, 32)
    assert read == engine.file_bytes + engine.token_bytes * (100 + 15.5)


def test_a_window_reads_no_more_than_it_sees(tmp_path: Path) -> None:
    shape = Shape(family="gemma3", layers=6, window=24, context=CONTEXT)
    write(tmp_path / "windows.gguf", shape)
    engine = NativeEngine(tmp_path / "windows.gguf", threads=1, cache_bytes=1 << 20)
    layer = engine.token_bytes // 6
    assert engine.history_bytes(10) == 6 * layer * 10
    assert engine.history_bytes(100) == layer * (100 + 5 * (24 - 1))


def test_every_context_asked_for_is_measured(engine: NativeEngine) -> None:
    rounds: list[int] = []
    bench = engine_bench.measure(
        engine, contexts=[64, 0, CONTEXT], repeats=2, progress=rounds.append
    )
    assert rounds == [1, 2, 3]
    assert [(c.asked, c.context) for c in bench.contexts] == [
        (64, 64),
        (0, 0),
        (CONTEXT, CONTEXT - 32),
    ]
    for context in bench.contexts:
        assert list(context.curve.rows_ms) == list(engine_bench.ROWS)
        assert context.share.low <= context.share.median <= context.share.high
        assert context.bandwidth.high <= bench.bandwidth
    assert bench.kernels == {}


def test_streams_are_those_that_the_cache_holds(path: Path) -> None:
    small = NativeEngine(path, threads=1, cache_bytes=NativeEngine(path).token_bytes * CONTEXT)
    (context,) = engine_bench.measure(small, contexts=[60], repeats=1).contexts
    assert list(context.streams) == [1, 2, 4]  # of 64 tokens each, in a cache of 256
    assert all(rate > 0 for rate in context.streams.values())


def test_a_record_has_the_first_context_at_its_top(engine: NativeEngine) -> None:
    bench = engine_bench.measure(engine, contexts=[CONTEXT, 16], repeats=1)
    values = engine_record.record(engine, bench, "small")
    first, second = values["contexts"]
    assert first.items() <= values.items()
    assert (first["context"], first["context_asked"]) == (CONTEXT - 32, CONTEXT)
    assert second["context"] == 16
    assert set(values["phases_ms"]["5"]) == {"weights", "attention", "output", "rest"}
    assert values["bandwidth_share_of_best"] == pytest.approx(
        values["bytes_per_token"]
        * values["decode_tokens_per_second"]
        / (values["memory_bandwidth_gb_s"] * 1e9)
    )
    assert "kernels" not in values


def test_a_record_of_one_context_has_it_once(engine: NativeEngine) -> None:
    bench = engine_bench.measure(engine, contexts=[16], repeats=1)
    assert "contexts" not in engine_record.record(engine, bench, "small")


def test_kernels_are_measured_beside_one_another(path: Path, engine: NativeEngine) -> None:
    others = [NativeEngine(path, threads=1, kernel=name) for name in fast_kernels()]
    bench = engine_bench.measure(engine, contexts=[16], repeats=1, kernels=others)
    kernels = engine_record.record(engine, bench, "small")["kernels"]
    assert list(kernels) == [name for name in _native.kernels() if name != "scalar"]
    for measured in kernels.values():
        assert list(measured["rows_ms"]) == ["1", "4", "8", "16"]
        assert measured["prefill_tokens_per_second"] > 0


@pytest.mark.parametrize("context", [-1, CONTEXT + 1])
def test_a_context_beyond_the_model_is_refused(engine: NativeEngine, context: int) -> None:
    with pytest.raises(UsageError, match=f"between 0 and {CONTEXT} tokens here, not {context}"):
        engine_bench.measure(engine, contexts=[context])


def test_no_repeats_are_refused(engine: NativeEngine) -> None:
    with pytest.raises(UsageError, match="repeats has to be at least 1"):
        engine_bench.measure(engine, repeats=0)


def test_a_slice_larger_than_the_memory_is_refused() -> None:
    memory = _native.MemoryReader(1, 1 << 20)
    assert all(memory.read(3 << 18) > 0 for _ in range(3))
    for bytes_ in (0, (1 << 20) + 64):
        with pytest.raises(UsageError, match=f"slice of {bytes_} bytes"):
            memory.read(bytes_)
