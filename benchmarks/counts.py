"""What a pass costs whatever the machine: its instructions by phase, and the bytes it has to move.

    make counts
    make counts COUNTS_ARGS="--rows 1 --rows 32 --kernel avx2 --context 4096"

Instructions are counted by callgrind (Debian, Ubuntu: apt install valgrind) in a driver that
`make counts` builds with the engine's own flags, on one thread: the counts depend on the code, the
compiler and the model, not on the machine or on what else it does. Valgrind does not know AVX-512
or AVX-VNNI, so these kernels cannot be counted. A pass is counted with logits and without; what
the logits add is the output layer. Bytes follow from the engine's layouts.

An instruction of AVX2 does the work of several others, so counts of different kernels are not
times; those of one kernel, before and after a change, are close to it where nothing waits for
memory.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from outrider import models
from outrider.engines.native import NativeEngine
from outrider.errors import OutriderError, UsageError
from outrider.lab import environment
from outrider.models.catalogue import DEFAULT_MODEL

ROWS = (1, 5, 8, 16)
KERNELS = ("avx2", "portable")
CONTEXT = 256
RECORD = Path(__file__).parent / "records" / "counts.json"

LINE = re.compile(r"^\s*([\d,]+)\s+\S+?:(.+?)(?: \[.*\])?$", re.MULTILINE)
"""A function in the output of callgrind_annotate: its instructions, file and name."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        values = counts(options)
    except OutriderError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.record.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    print(table(values))
    return 0


def counts(options: argparse.Namespace) -> dict[str, Any]:
    """The record.

    Raises:
        UsageError: valgrind is missing, or refuses a kernel.
    """
    path = models.ensure(options.model)
    rows, kernels = options.rows or ROWS, options.kernel or KERNELS
    instructions = {
        kernel: count_instructions(options.driver, path, kernel, options.context, rows)
        for kernel in kernels
    }
    engine = NativeEngine(path, threads=1)
    return {
        "benchmark": "counts",
        "model": options.model,
        "fingerprint": engine.file.fingerprint(),
        "context": options.context,
        "bytes": {str(n): bytes_moved(engine, options.context, n) for n in rows},
        "instructions": instructions,
        "compiler": environment.compiler(),
        "valgrind": _output(["valgrind", "--version"]).strip(),
        "outrider": environment.versions()["outrider"],
    }


def bytes_moved(engine: NativeEngine, context: int, rows: int) -> dict[str, int]:
    """Bytes that a pass over a chain of drafted rows reads or writes at least once.

    Activations are left out: they stay in the caches of the processor.

    Args:
        engine: any native engine.
        context: tokens of history.
        rows: all of them with logits.
    """
    return {
        "weights": engine.layer_bytes,
        "cache_read": engine.history_bytes(context),
        "cache_written": rows * engine.token_bytes,
        "output_layer": engine.output_bytes,
        "logits": rows * engine.vocab_size * 4,
    }


def count_instructions(
    driver: Path, model: Path, kernel: str, context: int, rows: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Instructions by number of rows: in all, by phase, and by function of the kernels.

    Raises:
        UsageError: valgrind is missing, or the driver fails.
    """
    if shutil.which("valgrind") is None:
        raise UsageError("Valgrind counts the instructions; Debian, Ubuntu: apt install valgrind.")
    with TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
        pass_of = [str(driver), str(model), kernel, str(context), *map(str, rows)]
        _output([*callgrind, f"--callgrind-out-file={out}", *pass_of])
        dumps = [_functions(Path(f"{out}.{i + 1}")) for i in range(2 * len(rows))]
    return {
        str(count): by_phase(kernel, dumps[2 * i], dumps[2 * i + 1]) for i, count in enumerate(rows)
    }


def by_phase(
    kernel: str, with_logits: Mapping[str, int], without: Mapping[str, int]
) -> dict[str, Any]:
    """The phases of a pass from two that differ in their logits.

    Args:
        kernel: whose functions are listed.
        with_logits: instructions by function, what it calls included.
        without: the same of a pass without logits.

    Raises:
        UsageError: a function of the engine is missing: the compiler has inlined it.
    """
    total = _inclusive(with_logits, "Engine::forward")
    bare = _inclusive(without, "Engine::forward")
    weights = _inclusive(without, "Engine::multiply")
    attention = _inclusive(without, "Engine::attention")
    own = re.compile(rf"outrider::{kernel}::(\w+)\(")
    return {
        "total": total,
        "weights": weights,
        "attention": attention,
        "output": total - bare,
        "rest": bare - weights - attention,
        "functions": {
            match[1]: count for name, count in with_logits.items() if (match := own.match(name))
        },
    }


def parse_functions(text: str) -> dict[str, int]:
    """Instructions by function from the output of `callgrind_annotate --inclusive=yes`."""
    return {name: int(count.replace(",", "")) for count, name in LINE.findall(text)}


def table(values: Mapping[str, Any]) -> str:
    """The record as a table for people: millions of instructions, and megabytes."""
    phases = ("total", "weights", "attention", "output", "rest")
    lines = [
        f"{values['model']}, {values['context']} tokens of history",
        f"{'millions of instructions':26}" + "".join(f"{name:>11}" for name in phases),
    ]
    for kernel, by_rows in values["instructions"].items():
        lines += [
            f"{f'{kernel}, {rows} rows':26}"
            + "".join(f"{counted[phase] / 1e6:11.1f}" for phase in phases)
            for rows, counted in by_rows.items()
        ]
    for rows, moved in values["bytes"].items():
        parts = ", ".join(f"{name} {count / 1e6:.1f}" for name, count in moved.items())
        lines.append(f"{rows} rows: {sum(moved.values()) / 1e6:.1f} MB ({parts})")
    return "\n".join(lines)


def _functions(dump: Path) -> dict[str, int]:
    annotate = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--show-percs=no"]
    return parse_functions(_output([*annotate, "--auto=no", str(dump)]))


def _inclusive(functions: Mapping[str, int], name: str) -> int:
    for function, count in functions.items():
        if function.startswith(f"outrider::{name}("):
            return count
    raise UsageError(f"callgrind shows no calls of {name}: the compiler has inlined it.")


def _output(command: Sequence[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise UsageError(f"{command[0]} ended with status {result.returncode}: {last[0]}")
    return result.stdout


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--driver", type=Path, required=True, help="outrider_counts, as built")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--context", type=int, default=CONTEXT, help="tokens of history")
    parser.add_argument("--rows", type=int, action="append", help="rows of a pass; may be repeated")
    parser.add_argument("--kernel", action="append", help="avx2, portable or scalar")
    parser.add_argument("--record", type=Path, default=RECORD, help="the file to write")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
