"""Other engines in each way of answering that needs no training, and how each is started.

Each of llama.cpp's n-gram modes runs as it comes, and with shorter matches and drafts, since its
own are made for long code: with them it hardly ever drafts an answer of a hundred tokens.

OpenVINO GenAI reads Q4_1 files, but what it makes of their weights is another model: on a prompt of
57 tokens its float32 logits are at a mean KL divergence of 0.6 from those of the same weights
in F16, where its reading of a Q8_0 copy is at 0.002. The side that says what the file says is the
8-bit copy.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from ctypes.util import find_library
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

from outrider.lab.peers import environments
from outrider.lab.peers.copies import BFLOAT16, INT8, SAME_FILE, TWIN

WORKERS: Final = Path(__file__).resolve().parent / "workers"

LLAMACPP, OPENVINO = "llama.cpp", "OpenVINO GenAI"
TRANSFORMERS, VLLM = "transformers", "vLLM"
DRAFT: Final = "draft"
"""Stands for the model that drafts, where files are named."""

MODES: Final[Mapping[str, Mapping[str, Any]]] = {
    "ngram-simple": {"spec-ngram-simple-size-n": 3, "spec-ngram-simple-size-m": 4},
    "ngram-map-k": {"spec-ngram-map-k-size-n": 3, "spec-ngram-map-k-size-m": 4},
    "ngram-map-k4v": {"spec-ngram-map-k4v-size-n": 3, "spec-ngram-map-k4v-size-m": 4},
    "ngram-mod": {
        "spec-ngram-mod-n-match": 4,
        "spec-ngram-mod-n-min": 1,
        "spec-ngram-mod-n-max": 4,
    },
    "ngram-cache": {"spec-draft-n-max": 5},
}
"""llama.cpp's n-gram modes, as its `--spec-type` calls them, and the shorter settings of each."""

DRAFT_MODE: Final = "draft-simple"
DRAFTED: Final = (3, 8)
"""Tokens that llama.cpp's draft model drafts; 3 is how it comes."""
OPENVINO_LOOKUPS: Final = (5, 10)
"""Tokens that OpenVINO's prompt lookup drafts; with 3 it is slower on every file."""
TRANSFORMERS_LOOKUPS: Final = (3, 10)
"""Tokens that transformers' prompt lookup drafts; 10 is what its documentation takes."""
TRANSFORMERS_ASSISTED: Final = 4
VLLM_LOOKUPS: Final = (3, 5)
"""Tokens that vLLM's n-gram drafts; 5 is what its documentation takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way of answering.

    Attributes:
        peer: the engine.
        mode: how it answers: plain, or what drafts.
        setting: of the mode; empty where it has one.
        file: what it computes, as tables call it.
        arguments: of its worker.
        draft: whether its worker takes a model that drafts.
        options: of each question to it. Contestants that differ in these alone share a process.
    """

    peer: str
    mode: str
    setting: str = ""
    file: str = SAME_FILE
    arguments: tuple[str, ...] = ()
    draft: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called by."""
        file = "" if self.file == SAME_FILE else self.file
        return ", ".join(filter(None, (self.peer, self.mode, self.setting, file)))

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it computes."""
        return (self.file, DRAFT) if self.draft else (self.file,)


def contestants(*, quick: bool) -> list[Contestant]:
    """All of them, in the order of tables.

    Args:
        quick: take the first setting of each mode alone.
    """
    found = [*_llamacpp(), *_openvino(), *_transformers(), *_vllm()]
    if not quick:
        return found
    first: dict[tuple[str, str, str], Contestant] = {}
    for contestant in found:
        first.setdefault((contestant.peer, contestant.mode, contestant.file), contestant)
    return list(first.values())


@dataclass(frozen=True, slots=True)
class Start:
    """What starts the worker of a contestant.

    Attributes:
        command: an interpreter, a script, its arguments.
        variables: of the environment.
    """

    command: list[str]
    variables: Mapping[str, str]


def start(
    contestant: Contestant, files: Mapping[str, Path], *, threads: int, context: int
) -> Start:
    """What starts a contestant; the environment it needs is made if there is none yet.

    Args:
        contestant: who is started.
        files: those of `contestant.files`.
        threads: that it computes with.
        context: the longest sequence, in tokens.

    Raises:
        OutriderError: the environment cannot be made.
    """
    worker, interpreter = PEERS[contestant.peer]
    arguments = [f"--threads={threads}", f"--context={context}", "--loads=1"]
    variables = {"TQDM_DISABLE": "1"}
    if contestant.peer == LLAMACPP:
        arguments.append(f"--server={environments.llama_server()}")
    if contestant.draft:
        arguments.append(f"--draft={files[DRAFT]}")
    made = interpreter()
    if contestant.peer == VLLM:
        variables |= _vllm_variables(made, threads)
    script = str(WORKERS / f"{worker}_worker.py")
    file = str(files[contestant.file])
    return Start([str(made), script, file, *arguments, *contestant.arguments], variables)


def _llamacpp() -> Iterator[Contestant]:
    """On the same file with shorter settings too; on its fastest type as it comes."""

    def way(mode: str, setting: str, file: str, options: Mapping[str, Any]) -> Contestant:
        drafts = mode == DRAFT_MODE
        arguments = (f"--mode={mode}", f"--options={json.dumps(options)}")
        return Contestant(
            peer=LLAMACPP,
            mode={"none": "plain", DRAFT_MODE: "draft model"}.get(mode, mode),
            setting=setting,
            file=file,
            arguments=arguments,
            draft=drafts,
        )

    for flash in ("auto", "off"):
        setting = "" if flash == "auto" else "no flash attention"
        yield way("none", setting, SAME_FILE, {"flash-attn": flash})
    for mode, shorter in MODES.items():
        yield way(mode, "", SAME_FILE, {})
        yield way(mode, "shorter", SAME_FILE, shorter)
    for tokens in DRAFTED:
        yield way(DRAFT_MODE, f"{tokens} tokens", SAME_FILE, {"spec-draft-n-max": tokens})
    for mode in ("none", *MODES):
        yield way(mode, "", TWIN, {})


def _openvino() -> Iterator[Contestant]:
    for file, lookup in product((SAME_FILE, TWIN, INT8), (0, *OPENVINO_LOOKUPS)):
        yield Contestant(
            peer=OPENVINO,
            mode="prompt lookup" if lookup else "plain",
            setting=f"{lookup} tokens" if lookup else "",
            file=file,
            arguments=(f"--lookup={lookup}",),
        )


def _transformers() -> Iterator[Contestant]:
    modes: list[tuple[str, str, dict[str, int]]] = [("plain", "", {})]
    modes += [("prompt lookup", f"{n} tokens", {"lookup": n}) for n in TRANSFORMERS_LOOKUPS]
    modes += [("assisted", f"{TRANSFORMERS_ASSISTED} tokens", {"assisted": TRANSFORMERS_ASSISTED})]
    for dtype, (mode, setting, options) in product(("float32", "bfloat16"), modes):
        yield Contestant(
            peer=TRANSFORMERS,
            mode=mode,
            setting=", ".join(filter(None, (setting, dtype))),
            arguments=(f"--dtype={dtype}",),
            draft=True,
            options=options,
        )


def _vllm() -> Iterator[Contestant]:
    for lookup, compiled in product((0, *VLLM_LOOKUPS), (True, False)):
        drafted = f"{lookup} tokens" if lookup else ""
        yield Contestant(
            peer=VLLM,
            mode="n-gram" if lookup else "plain",
            setting=", ".join(filter(None, (drafted, "" if compiled else "not compiled"))),
            file=BFLOAT16,
            arguments=(f"--lookup={lookup}", *(() if compiled else ("--eager",))),
        )


def _vllm_variables(interpreter: Path, threads: int) -> dict[str, str]:
    """How its documentation has it run on a processor, in one process and without a network.

    It asks for an allocator too, which comes with no package of Python's: one that is here is
    taken.
    """
    allocator = find_library("tcmalloc_minimal") or find_library("tcmalloc")
    openmp = str(interpreter.parents[1] / "lib" / "libiomp5.so")
    return {
        "HF_HUB_OFFLINE": "1",
        "LD_PRELOAD": ":".join(filter(None, (allocator, openmp))),
        "OMP_NUM_THREADS": str(threads),
        "VLLM_CACHE_ROOT": str(interpreter.parents[1] / "cache"),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }


PEERS: Final[Mapping[str, tuple[str, Callable[[], Path]]]] = {
    LLAMACPP: ("server", lambda: Path(sys.executable)),
    OPENVINO: ("openvino", environments.openvino),
    TRANSFORMERS: ("transformers", environments.transformers),
    VLLM: ("vllm", environments.vllm),
}
"""Of each engine its worker, and what gives the interpreter that the worker runs in."""
