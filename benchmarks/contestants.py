"""Who takes part in a comparison: ours, and the peer in each of its settings.

Speculation is asked of a peer in every mode that needs no second model. Each of llama.cpp's n-gram
modes runs as it comes, and with shorter matches and drafts, since its own are made for long code:
with them it hardly ever drafts an answer of a hundred tokens.

OpenVINO GenAI reads Q4_1 files, but what it makes of their weights is another model: on a prompt of
57 tokens its float32 logits are at a mean KL divergence of 0.6 from those of the same weights
in F16, where its reading of a Q8_0 copy is at 0.002. The side that says what the file says is the
8-bit copy.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import environments
from comparisons import LLAMACPP, OPENVINO, SAME_FILE, TRANSFORMERS, Comparison

WORKERS = Path(__file__).resolve().parent / "workers"

OURS = "outrider"
LEARNING = "outrider, speculation"
COLD = "outrider, speculation, each prompt anew"

MODES: Mapping[str, Mapping[str, int]] = {
    "none": {},
    "ngram-simple": {"ngram-simple-size-n": 3, "ngram-simple-size-m": 4},
    "ngram-map-k": {"ngram-map-k-size-n": 3, "ngram-map-k-size-m": 4},
    "ngram-map-k4v": {"ngram-map-k4v-size-n": 3, "ngram-map-k4v-size-m": 4},
    "ngram-mod": {"ngram-mod-n-match": 4, "ngram-mod-n-min": 1, "ngram-mod-n-max": 4},
    "ngram-cache": {"draft-n-max": 5},
}
"""llama.cpp's modes, as its `--spec-type` calls them, and the shorter settings of each."""

LOOKUPS = (5, 10)
"""Tokens that OpenVINO's prompt lookup drafts; with 3 it is slower on every file."""
TRANSFORMERS_LOOKUPS = (3, 10)
"""Tokens that transformers' prompt lookup drafts; 10 is what its documentation takes."""


@dataclass(frozen=True, slots=True)
class Interpreters:
    """Environments that are there already; None is made.

    Attributes:
        native: has llama-cpp-python, built natively.
        avx2: the same, built for AVX2.
        server: llama.cpp's server, built natively.
    """

    native: Path | None = None
    avx2: Path | None = None
    server: Path | None = None


@dataclass(frozen=True, slots=True)
class Contestant:
    """A side before it is started: see `sides.Side`."""

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

    peers = {LLAMACPP: _llamacpp, OPENVINO: _openvino, TRANSFORMERS: _transformers}
    return [*_ours(comparison, common), *peers[comparison.peer](comparison, files, common, given)]


Common = Callable[[str], list[str]]
"""The arguments that all workers of a file take."""


def _worker(interpreter: Path | str, name: str, arguments: Iterable[str]) -> list[str]:
    return [str(interpreter), str(WORKERS / f"{name}_worker.py"), *arguments]


def _ours(comparison: Comparison, common: Common) -> Iterator[Contestant]:
    kernel = comparison.build.kernel
    variables = {"OUTRIDER_KERNEL": kernel} if kernel else {}
    settings: dict[str, list[str]] = {OURS: []}
    if comparison.scenario.speculation:
        settings |= {LEARNING: ["--speculation"], COLD: ["--speculation", "--cold"]}
    for name, arguments in settings.items():
        command = _worker(sys.executable, "outrider", [*common(SAME_FILE), *arguments])
        yield Contestant(name, SAME_FILE, command, variables)


def _on(name: str, file: str) -> str:
    """A side's name, which says where it computes another file than ours."""
    return name if file == SAME_FILE else f"{name}, {file}"


def _llamacpp(
    comparison: Comparison, files: Mapping[str, Path], common: Common, given: Interpreters
) -> Iterator[Contestant]:
    scenario, build = comparison.scenario, comparison.build
    interpreter = given.avx2 if build is environments.AVX2 else given.native
    interpreter = interpreter or environments.llamacpp(build)
    for file, flash, ubatch in product(files, (False, True), scenario.ubatches):
        name = "llama.cpp" + (", flash attention" if flash else "")
        name += f", n_ubatch {ubatch}" if len(scenario.ubatches) > 1 else ""
        arguments = [*common(file), f"--ubatch={ubatch}", *(["--flash-attention"] if flash else [])]
        yield Contestant(_on(name, file), file, _worker(interpreter, "llamacpp", arguments))
    if scenario.speculation:
        yield from _servers(files, common, given)


def _servers(
    files: Mapping[str, Path], common: Common, given: Interpreters
) -> Iterator[Contestant]:
    """The native build of llama.cpp's server, and its wheel, in every mode."""
    wheel, native = environments.xllamacpp(), given.server or environments.llama_server()
    builds = {
        "llama-server": (Path(sys.executable), [f"--server={native}"]),
        "xllamacpp": (wheel, []),
    }
    for file, build in product(files, builds):
        interpreter, server = builds[build]
        for mode, shorter in MODES.items():
            for options in ({}, shorter) if shorter else ({},):
                name = f"{build}, {mode}" + (", shorter" if options else "")
                arguments = [*common(file), *server, f"--mode={mode}"]
                arguments.append(f"--options={json.dumps(options)}")
                yield Contestant(_on(name, file), file, _worker(interpreter, "server", arguments))


def _openvino(
    comparison: Comparison, files: Mapping[str, Path], common: Common, given: Interpreters
) -> Iterator[Contestant]:
    interpreter = environments.openvino()
    settings = {"": ["--lookup=0"]}
    settings |= {f", prompt lookup of {n}": [f"--lookup={n}"] for n in LOOKUPS}
    for file, (name, arguments) in product(files, settings.items()):
        command = _worker(interpreter, "openvino", [*common(file), *arguments])
        yield Contestant(_on(f"OpenVINO{name}", file), file, command)


def _transformers(
    comparison: Comparison, files: Mapping[str, Path], common: Common, given: Interpreters
) -> Iterator[Contestant]:
    interpreter = environments.transformers()
    for dtype, lookup in product(("float32", "bfloat16"), (0, *TRANSFORMERS_LOOKUPS)):
        name = f"transformers, {dtype}" + (f", prompt lookup of {lookup}" if lookup else "")
        arguments = [*common(SAME_FILE), f"--dtype={dtype}", f"--lookup={lookup}"]
        command = _worker(interpreter, "transformers", arguments)
        yield Contestant(name, SAME_FILE, command, {"TQDM_DISABLE": "1"})
