"""The cost curve, what it was measured for, and the machine's own facts."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outrider import _native
from outrider.engines import cost as costs
from outrider.engines import machine
from outrider.engines.cost import CostCurve
from outrider.engines.native import NativeEngine
from outrider.errors import CapacityError, UsageError
from passes import Engines, feed
from synthetic import Shape, write

CURVE = CostCurve(
    rows=(1, 2, 4),
    base_ms=(4.0, 4.5, 5.5),
    first_row_ms=2.0,
    other_row_ms=0.5,
    layer_share=0.2,
    layers=4,
    sampling_ms=0.1,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OUTRIDER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cost"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every measurement."""
    calls: list[int] = []
    measure = costs.measure

    def counting(*args: Any, **kwargs: Any) -> CostCurve:
        calls.append(1)
        return measure(*args, **kwargs)

    monkeypatch.setattr(costs, "measure", counting)
    return calls


# ------------------------------------------------------------------------------- the formula


@pytest.mark.parametrize(
    ("rows", "expected"), [(0, 0.0), (1, 4.0), (2, 4.5), (3, 5.0), (4, 5.5), (6, 6.5), (10, 8.5)]
)
def test_base_is_linear_between_points_and_beyond(rows: int, expected: float) -> None:
    assert CURVE.base(rows) == pytest.approx(expected)


def test_a_curve_of_one_point_is_flat() -> None:
    assert dataclasses.replace(CURVE, rows=(1,), base_ms=(4.0,)).base(9) == 4.0


def test_attention_and_sampling_are_added_for_each_sequence() -> None:
    assert CURVE.ms([(0, 1)]) == pytest.approx(4.1)
    assert CURVE.ms([(1000, 1)]) == pytest.approx(6.1)
    assert CURVE.ms([(1000, 3)]) == pytest.approx(5.0 + 2.0 + 1.0 + 0.1)
    assert CURVE.ms([(1000, 1), (500, 1)]) == pytest.approx(4.5 + 2.0 + 1.0 + 0.2)
    # A quarter of the layers: their share, and all of what lies outside of them.
    assert CURVE.ms([(1000, 1)], layers=1) == pytest.approx(4.0 * (0.2 + 0.8 / 4) + 0.5 + 0.1)


def test_measured_curve_never_falls(fresh: Engines) -> None:
    cost = fresh().cost
    assert cost.rows == costs.ROWS
    assert cost.layers == 2
    by_rows = [cost.ms([(100, n)]) for n in range(1, 80)]
    by_context = [cost.ms([(n, 4)]) for n in range(0, 4000, 100)]
    by_layers = [cost.ms([(100, 4)], layers=n) for n in (1, 2)]
    for values in (by_rows, by_context, by_layers, [*cost.base_ms]):
        assert values == sorted(values)
        assert values[0] > 0


def test_what_delays_a_pass_now_and_then_is_not_the_passes_cost() -> None:
    """Every fifth pass waits for something else, and one size does whenever it is measured."""
    clock = [0.0]
    passes = itertools.count()

    def run(rows: int, context: int, layers: int | None) -> None:
        late = 40.0 if next(passes) % 5 == 0 or rows == 4 else 0.0
        clock[0] += (2.0 + rows / 10 + context / 1000 + late) * (1.0 if layers is None else 0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs.time, "perf_counter", lambda: clock[0] / 1000)
        curve = costs.measure(
            run, layers=2, context=4096, max_rows=64, sample=lambda: run(0, 0, None)
        )
    short = costs.SHORT / 1000
    expected = {m: 2.0 + m / 10 + short for m in costs.ROWS} | {4: 2.5 + short}
    assert dict(zip(curve.rows, curve.base_ms, strict=True)) == pytest.approx(expected)
    assert curve.first_row_ms == pytest.approx(1.0)
    assert curve.other_row_ms == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "limits",
    [
        {"context": 1},
        {"context": 5},
        {"context": 24},
        {"max_rows": 1},
        {"max_rows": 3},
        {"cache_bytes": 4096},
        {"cache_bytes": 3 * 4096},
    ],
    ids=str,
)
def test_little_room_to_measure_in(limits: dict[str, int], fresh: Engines) -> None:
    engine = fresh(**limits)
    cost = engine.cost
    assert cost.rows[0] == 1
    assert cost.rows[-1] <= min(engine.capabilities.max_rows, engine.context)
    assert np.isfinite(cost.ms([(16, 8)]))
    assert engine.free_tokens == engine.cache_tokens


def test_measuring_leaves_the_engine_as_it_was(fresh: Engines) -> None:
    engine = fresh()
    tokens = list(range(40))
    sequence = engine.open(tokens, 60)
    before = feed(engine, sequence, tokens)
    free = engine.free_tokens
    assert engine.cost is engine.cost
    assert (engine.free_tokens, sequence.length) == (free, 40)
    again = engine.open(tokens, 41)
    assert again.cached == 32
    assert np.array_equal(feed(engine, again, tokens[32:]), before[32:])


def test_no_room_left_to_measure_in(fresh: Engines, cache: Path) -> None:
    engine = fresh(cache_bytes=4 * 4096)
    engine.open([], 50)
    with pytest.raises(CapacityError, match="wait"):
        _ = engine.cost
    assert not cache.exists()


# ---------------------------------------------------------------------------------- the file


def test_curve_is_kept_and_read_again(fresh: Engines, cache: Path, counted: list[int]) -> None:
    first = fresh().cost
    assert fresh().cost == first
    assert len(counted) == 1
    (path,) = cache.iterdir()
    assert costs.load(path) == first


def test_curve_is_measured_anew_where_that_is_asked_for(
    fresh: Engines, cache: Path, counted: list[int]
) -> None:
    engine = fresh()
    first = engine.cost
    again = engine.measure_cost()
    assert len(counted) == 2
    assert engine.cost is again is not first
    (path,) = cache.iterdir()
    assert costs.load(path) == again


def test_curve_is_measured_anew_for_other_circumstances(
    fresh: Engines, counted: list[int], tmp_path: Path
) -> None:
    different: list[dict[str, Any]] = [
        {},
        {"threads": 2},
        {"kernel": "scalar"},
        {"float32": True},
        {"context": 64},
        {"max_rows": 4},
        {"cache_bytes": 16 * 4096},
    ]
    for i, options in enumerate(different):
        _ = fresh(**options).cost
        assert len(counted) == i + 1
    write(tmp_path / "other.gguf", Shape(seed=1))
    _ = NativeEngine(tmp_path / "other.gguf", threads=1, cache_bytes=8 << 20).cost
    assert len(counted) == len(different) + 1


GOOD = dataclasses.asdict(CURVE)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '"rows"',
        "{}",
        json.dumps({**GOOD, "more": 1}),
        json.dumps({k: v for k, v in GOOD.items() if k != "layers"}),
        json.dumps({**GOOD, "rows": 3}),
        json.dumps({**GOOD, "rows": []}),
        json.dumps({**GOOD, "rows": [], "base_ms": []}),
        json.dumps({**GOOD, "rows": [1, 2]}),
        json.dumps({**GOOD, "base_ms": ["4", "5", "6"]}),
        json.dumps({**GOOD, "base_ms": [4.0, -1.0, 5.0]}),
        json.dumps({**GOOD, "first_row_ms": float("nan")}),
        json.dumps({**GOOD, "other_row_ms": None}),
        json.dumps({**GOOD, "sampling_ms": float("inf")}),
        json.dumps({**GOOD, "layers": 0}),
    ],
)
def test_damaged_file_is_measured_anew(
    content: str, fresh: Engines, cache: Path, counted: list[int]
) -> None:
    _ = fresh().cost
    (path,) = cache.iterdir()
    path.write_text(content)
    cost = fresh().cost
    assert len(counted) == 2
    assert costs.load(path) == cost


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(b"\xff\xfe")
    assert costs.load(tmp_path / "c.json") is None


def test_curve_survives_saving(tmp_path: Path) -> None:
    costs.save(CURVE, tmp_path / "deep" / "c.json")
    assert costs.load(tmp_path / "deep" / "c.json") == CURVE
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["c.json"]


def test_folder_that_cannot_be_written(fresh: Engines, cache: Path, counted: list[int]) -> None:
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("a file stands where the folder should be")
    assert fresh().cost.ms([(0, 1)]) > 0
    assert fresh().cost.ms([(0, 1)]) > 0
    assert len(counted) == 2


# ------------------------------------------------------------------------------- the machine


def test_threads_by_argument_variable_and_default(
    synthetic_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OUTRIDER_THREADS", raising=False)
    assert machine.choose_threads(None) == machine.physical_cores()
    monkeypatch.setenv("OUTRIDER_THREADS", "3")
    assert machine.choose_threads(None) == 3
    assert machine.choose_threads(2) == 2
    engine = NativeEngine(synthetic_path, cache_bytes=1 << 20)
    assert engine.threads == 3


@pytest.mark.parametrize("value", ["0", "-1", "257", "two", "", "1.5"])
def test_threads_of_no_sense(
    value: str, synthetic_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTRIDER_THREADS", value)
    with pytest.raises(UsageError, match=r"threads .* 1 and 256"):
        NativeEngine(synthetic_path)


@pytest.mark.parametrize("threads", [0, -4, 257])
def test_thread_arguments_of_no_sense(threads: int, synthetic_path: Path) -> None:
    with pytest.raises(UsageError, match=str(threads)):
        NativeEngine(synthetic_path, threads=threads)


def test_kernel_by_argument_variable_and_default(
    synthetic_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kernel(**options: str) -> str:
        return NativeEngine(synthetic_path, threads=1, cache_bytes=1 << 20, **options).kernel  # type: ignore[arg-type]

    monkeypatch.delenv("OUTRIDER_KERNEL", raising=False)
    assert kernel() == _native.kernels()[0]
    assert kernel(kernel="scalar") == "scalar"
    monkeypatch.setenv("OUTRIDER_KERNEL", "scalar")
    assert kernel() == "scalar"
    assert kernel(kernel=_native.kernels()[0]) == _native.kernels()[0]
    monkeypatch.setenv("OUTRIDER_KERNEL", "scaler")
    with pytest.raises(UsageError, match=r"'scaler'; did you mean 'scalar'"):
        kernel()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 0}, "context"),
        ({"context": -5}, "context"),
        ({"context": 1025}, "1025 .* 1024"),
        ({"max_rows": 0}, "max_rows"),
        ({"max_rows": 1 << 17}, "max_rows"),
        ({"kernel": "avx9"}, "avx9"),
    ],
    ids=str,
)
def test_options_of_no_sense(options: dict[str, Any], message: str, synthetic_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        NativeEngine(synthetic_path, threads=1, **{"cache_bytes": 1 << 20, **options})


def test_default_cache_holds_a_context(synthetic_path: Path) -> None:
    engine = NativeEngine(synthetic_path, threads=1)
    assert engine.cache_tokens >= engine.context


def test_physical_cores_follow_the_affinity_mask() -> None:
    allowed = os.sched_getaffinity(0)
    assert 1 <= machine.physical_cores() <= len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert machine.physical_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("max 100000\n", 1 << 16),
        ("150000 100000\n", 1),
        ("50000 100000\n", 1),
        ("800000 100000", 8),
        ("", 1 << 16),
    ],
)
def test_quota_of_the_control_group(
    content: str, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def fake(self: Path, *args: Any, **kwargs: Any) -> str:
        return content if self.name == "cpu.max" else read(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", fake)
    assert machine._quota() == cores


def test_bandwidth_is_a_rate() -> None:
    for threads in (1, 2):
        assert _native.read_bandwidth(threads, 1 << 22, 2) > 1e6


def test_memory() -> None:
    assert 0 < machine.memory_bytes() <= machine.total_memory_bytes()
