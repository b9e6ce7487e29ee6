"""What was measured of an engine, with everything it depends on, ready for JSON."""

from __future__ import annotations

from typing import Any

from outrider.engines.native import NativeEngine
from outrider.lab.engine_bench import (
    DECODE_TOKENS,
    ContextBench,
    Curve,
    EngineBench,
    Spread,
)
from outrider.lab.environment import machine, versions


def record(engine: NativeEngine, bench: EngineBench, model: str) -> dict[str, Any]:
    """One object; the first context's figures at its top, and `contexts` where there are more."""
    contexts = [_context(bench, context) for context in bench.contexts]
    values: dict[str, Any] = {
        "model": model,
        "fingerprint": engine.file.fingerprint(),
        "kernel": engine.kernel,
        "threads": engine.threads,
        "repeats": bench.repeats,
        **contexts[0],
        "prefill_tokens": bench.prefill_tokens,
        "prefill_tokens_per_second": bench.prefill_rate,
        "prefill_ms_range": _range(bench.prefill_ms),
        "decode_tokens": DECODE_TOKENS,
        "memory_bandwidth_gb_s": bench.bandwidth / 1e9,
        "file_bytes": engine.file_bytes,
    }
    if len(contexts) > 1:
        values["contexts"] = contexts
    if bench.kernels:
        values["kernels"] = {
            name: {
                **_curve(measured.curve),
                "prefill_tokens_per_second": bench.rate_of_prefill(measured.prefill_ms),
                "prefill_ms_range": _range(measured.prefill_ms),
            }
            for name, measured in bench.kernels.items()
        }
    return {
        **values,
        "repacked": engine.repacked,
        "machine": machine(),
        "versions": versions(),
    }


def _context(bench: EngineBench, context: ContextBench) -> dict[str, Any]:
    return {
        "context": context.context,
        "context_asked": context.asked,
        **_curve(context.curve),
        "decode_tokens_per_second": context.decode_rate,
        "decode_ms": context.decode_ms.median,
        "decode_ms_range": _range(context.decode_ms),
        "streams": {str(count): rate for count, rate in context.streams.items()},
        "bytes_per_token": context.bytes_per_token,
        "bandwidth_share": context.share.median,
        "bandwidth_share_range": _range(context.share),
        "bandwidth_share_of_best": bench.share_of_best(context),
        "bandwidth_beside_gb_s": context.bandwidth.median / 1e9,
        "bandwidth_beside_gb_s_range": [value / 1e9 for value in _range(context.bandwidth)],
    }


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "rows_ms": {str(count): spread.median for count, spread in curve.rows_ms.items()},
        "rows_ms_range": {str(count): _range(spread) for count, spread in curve.rows_ms.items()},
        "rows_ratio": {str(count): ratio for count, ratio in curve.ratios.items()},
        "phases_ms": {str(count): phases for count, phases in curve.phases_ms.items()},
    }


def _range(spread: Spread) -> list[float]:
    return [spread.low, spread.high]
