"""Who takes part in a comparison: ours, and llama.cpp in each of its settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from comparisons import Comparison
from outrider.lab.peers import environments
from outrider.lab.peers.contestants import WORKERS
from outrider.lab.peers.copies import SAME_FILE

OURS = "outrider"
OUR_WORKER = Path(__file__).resolve().parent / "workers" / "outrider_worker.py"


@dataclass(frozen=True, slots=True)
class Interpreters:
    """Environments that are there already; None is made.

    Attributes:
        native: has llama-cpp-python, built natively.
        avx2: the same, built for AVX2.
    """

    native: Path | None = None
    avx2: Path | None = None


@dataclass(frozen=True, slots=True)
class Contestant:
    """A side before it is started: see `sides.FileSide`."""

    name: str
    file: str
    command: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)


def contestants(
    comparison: Comparison, files: Mapping[str, Path], threads: int, given: Interpreters
) -> list[Contestant]:
    """Ours, then the peer's.

    Args:
        comparison: what is compared.
        files: the model's file, and its copies, as tables call them.
        threads: of every side.
        given: environments that need not be made.
    """
    scenario = comparison.scenario

    def common(file: str) -> list[str]:
        return [
            str(files[file]),
            f"--threads={threads}",
            f"--context={scenario.context}",
            f"--loads={scenario.loads}",
        ]

    return [_ours(comparison, common), *_llamacpp(comparison, files, common, given)]


Common = Callable[[str], list[str]]
"""The arguments that all workers of a file take."""


def _worker(interpreter: Path | str, script: Path, arguments: Iterable[str]) -> list[str]:
    return [str(interpreter), str(script), *arguments]


def _ours(comparison: Comparison, common: Common) -> Contestant:
    kernel = comparison.build.kernel
    # It speaks what the peers' workers speak.
    path = os.pathsep.join(filter(None, (str(WORKERS), os.environ.get("PYTHONPATH"))))
    variables = {"PYTHONPATH": path, **({"OUTRIDER_KERNEL": kernel} if kernel else {})}
    return Contestant(
        OURS, SAME_FILE, _worker(sys.executable, OUR_WORKER, common(SAME_FILE)), variables
    )


def _llamacpp(
    comparison: Comparison, files: Mapping[str, Path], common: Common, given: Interpreters
) -> Iterator[Contestant]:
    scenario, build = comparison.scenario, comparison.build
    interpreter = given.avx2 if build is environments.AVX2 else given.native
    interpreter = interpreter or environments.llamacpp(build)
    for file, flash, ubatch in product(files, (False, True), scenario.ubatches):
        name = "llama.cpp" + (", flash attention" if flash else "")
        name += f", n_ubatch {ubatch}" if len(scenario.ubatches) > 1 else ""
        # A side's name says where it computes another file than ours.
        name += "" if file == SAME_FILE else f", {file}"
        arguments = [*common(file), f"--ubatch={ubatch}", *(["--flash-attention"] if flash else [])]
        script = WORKERS / "llamacpp_worker.py"
        yield Contestant(name, file, _worker(interpreter, script, arguments))
