"""Bytes of a pass against what the file's shapes say; instructions as callgrind prints them."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest

import counts
from outrider.engines.native import NativeEngine
from outrider.errors import UsageError
from synthetic import MIXED, Shape, Type, write

BITS = {"Q4_0": 4.5, "Q4_1": 5, "Q5_0": 5.5, "Q5_1": 6, "Q8_0": 8.5, "F16": 8.5}
"""A weight as repacked: codes of 4, 5 or 8 bits, and a scale, with or without a minimum, for 32."""

PRINTED = """\
Ir
--------------------------------------------------------------------------------
{total:,}  PROGRAM TOTALS

--------------------------------------------------------------------------------
Ir          file:function
--------------------------------------------------------------------------------
{total:,}  ???:main'2 [/somewhere/outrider_counts]
{pass_:,}  ???:outrider::Engine::forward(outrider::RowSpans const&, int) [/somewhere/driver]
{pass_:,}  ???:std::_Function_handler<void (int), outrider::Engine::forward(int)> [/somewhere]
{products:,}  ???:outrider::Engine::multiply(int, std::span<outrider::Engine::Product>) [/some]
{matmul:,}  ???:outrider::avx2::matmul(outrider::Matrix const&, int) [/somewhere/driver]
{matmul:,}  ???:void outrider::avx2::rows_of_any<1>(outrider::Matrix const&) [/somewhere/driver]
 3,820  ???:outrider::Engine::attention(int, int) [/somewhere/driver]
   532  ./string/memset.S:__memset_avx2_unaligned_erms [/usr/lib/libc.so.6]
"""


def engine_of(path: Path, shape: Shape) -> NativeEngine:
    write(path, shape)
    return NativeEngine(path, threads=1, cache_bytes=1 << 20)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rows", [1, 5])
def test_bytes_follow_from_the_file_and_the_cache(tmp_path: Path, tied: bool, rows: int) -> None:
    shape = Shape(types={**MIXED.types, "output.weight": Type.Q8_0}, tied=tied)
    engine = engine_of(tmp_path / "model.gguf", shape)
    repacked = {
        tensor.name: prod(tensor.shape) * BITS[tensor.type] / 8
        for tensor in engine.file.tensors()
        if len(tensor.shape) == 2
    }
    head = "token_embd.weight" if tied else "output.weight"
    position = 2 * 2 * shape.kv_heads * shape.dim * shape.layers  # keys and values of 16 bits

    moved = counts.bytes_moved(engine, 100, rows)

    layers = sum(size for name, size in repacked.items() if name.startswith("blk."))
    assert moved == {
        "weights": layers,
        "cache_read": 100 * position,
        "cache_written": rows * position,
        "output_layer": repacked[head],
        "logits": rows * shape.vocab * 4,
    }
    assert engine.weight_bytes == sum(repacked.values())


def test_phases_are_what_two_passes_differ_in() -> None:
    full = counts.parse_functions(
        PRINTED.format(total=60_997_926, pass_=60_997_900, products=56_385_475, matmul=56_183_532)
    )
    bare = counts.parse_functions(
        PRINTED.format(total=46_472_403, pass_=46_472_400, products=41_862_483, matmul=41_703_660)
    )
    assert counts.by_phase("avx2", full, bare) == {
        "total": 60_997_900,
        "weights": 41_862_483,
        "attention": 3_820,
        "output": 14_525_500,
        "rest": 46_472_400 - 41_862_483 - 3_820,
        "functions": {"matmul": 56_183_532},
    }


def test_an_inlined_function_is_named() -> None:
    functions = {"outrider::Engine::forward(int)": 3}
    with pytest.raises(UsageError, match="no calls of Engine::multiply"):
        counts.by_phase("avx2", functions, functions)


def test_without_valgrind_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="apt install valgrind"):
        counts.count_instructions(tmp_path / "driver", tmp_path / "model", "avx2", 256, [1])
