"""How much memory models take, measured in a process of its own.

`python -m outrider.lab.memory_probe` reads an `Asked` as JSON from standard input and writes a
`Found` as JSON to standard output. What is resident is read before the models are loaded, after,
and when the cache of every stream is full and a pass has drafted rows for each.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from outrider.errors import OutriderError

if TYPE_CHECKING:
    from outrider.engines.native import NativeEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to load and to compute.

    Attributes:
        models: files of the target and, where there is one, of the draft.
        context: tokens of each stream.
        streams: sequences.
        num_draft_tokens: drafted rows of each.
        threads: to compute with.
        kernel: instruction set.
    """

    models: Sequence[str]
    context: int
    streams: int
    num_draft_tokens: int
    threads: int | None
    kernel: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Bytes that were resident.

    Attributes:
        process: the interpreter, its libraries and the models' vocabularies, before any weights.
        weights: what loading the models added.
        used: what filling the caches and computing added to that.
    """

    process: int
    weights: int
    used: int


def probe(asked: Asked) -> Found:
    """Measure in a process of its own.

    Raises:
        OutriderError: it failed; its last words are told.
    """
    result = subprocess.run(
        [sys.executable, "-m", "outrider.lab.memory_probe"],
        input=json.dumps(asdict(asked)),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        words = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        raise OutriderError(f"Memory could not be measured: {words[-1]}")
    return Found(**json.loads(result.stdout))


def main() -> None:
    """Measure in this process."""
    from outrider.engines.native import BLOCK_TOKENS, NativeEngine  # noqa: PLC0415
    from outrider.models.gguf import GgufFile  # noqa: PLC0415
    from outrider.models.sizes import from_gguf  # noqa: PLC0415
    from outrider.theory.memory import PREFILL_ROWS  # noqa: PLC0415

    asked = Asked(**json.loads(sys.stdin.read()))
    # A file's vocabulary is kept as text, which is the interpreter's memory, not the engine's.
    files = [GgufFile(Path(path)) for path in asked.models]
    process = resident()
    engines = []
    for file in files:
        tokens = asked.streams * (asked.context + BLOCK_TOKENS) + PREFILL_ROWS
        engines.append(
            NativeEngine(
                file,
                threads=asked.threads,
                kernel=asked.kernel,
                cache_bytes=int(from_gguf(file, bits=None).token_bytes * tokens),
            )
        )
    loaded = resident()
    for engine, drafted in zip(engines, (asked.num_draft_tokens, 0), strict=False):
        _fill(engine, asked.context, asked.streams, drafted)
    found = Found(process=process, weights=loaded - process, used=resident() - loaded)
    json.dump(asdict(found), sys.stdout)


def resident() -> int:
    """Bytes of this process that are in memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OutriderError("This system does not say how much memory a process has.")


def _fill(engine: NativeEngine, context: int, streams: int, drafted: int) -> None:
    """A prompt's pass, then full caches, and a pass over each stream's pending and drafted rows."""
    import numpy as np  # noqa: PLC0415

    from outrider.engines.base import HISTORY, Rows  # noqa: PLC0415
    from outrider.lab.workload import prefill_ms  # noqa: PLC0415
    from outrider.theory.memory import PREFILL_ROWS  # noqa: PLC0415

    prefill_ms(engine, min(PREFILL_ROWS, engine.context))
    engine.clear_cache()
    sequences = [engine.open([], context, share=False) for _ in range(streams)]
    for sequence in sequences:
        engine.pretend(sequence, context - drafted - 1)
    each = 1 + drafted
    rows = np.arange(streams * each)
    first = rows % each == 0
    engine.forward(
        Rows(
            sequence=np.repeat(np.array([s.id for s in sequences], np.int32), each),
            token=np.ones(len(rows), np.int32),
            parent=np.where(first, HISTORY, rows - 1).astype(np.int32),
            commit=first,
            want_logits=np.ones(len(rows), np.bool_),
        )
    )


if __name__ == "__main__":
    main()
