"""Models beside the one that a run was begun with: the same one otherwise set, and copies of it.

An arm names the variant that answers its questions. Each is opened when it is first asked and kept
until the experiment is over. Copies with other weights are files in a directory that goes with it.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

from outrider.engines.machine import memory_bytes
from outrider.engines.native import NativeEngine
from outrider.errors import CapacityError, ModelFileError, UsageError
from outrider.llm import LLM
from outrider.models.gguf import GgufFile
from outrider.models.quantize import FILE_TYPES, Conversion, plan_of, quantize
from outrider.plan import Plan

SCRATCH: Final = ".outrider-copies-"
"""How the directory for copies in a run's folder begins, which is there while they are needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Which model answers.

    Attributes:
        copy: type of its weights, where it is a copy of the run's model in another.
        draft: type of the weights of the copy that drafts for it by default.
        max_streams: as of `LLM`; None takes the run's.
        prefill_chunk: as of `LLM`; None takes the usual one.
    """

    copy: str | None = None
    draft: str | None = None
    max_streams: int | None = None
    prefill_chunk: int | None = None


OWN: Final = Variant()
"""The run's own model, as it was loaded."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file with the run's model in other types of weights.

    Attributes:
        path: where it is.
        tensors: what became of each.
    """

    path: Path
    tensors: tuple[Conversion, ...]

    @property
    def widened(self) -> bool:
        """Whether some weights take more bits than in the model's own file."""
        return any(tensor.widened for tensor in self.tensors)


class Variants:
    """The variants of a model, opened when they are first asked for, closed together.

    Args:
        llm: the run's own.
        directory: for copies; None where there can be none.
    """

    def __init__(self, llm: LLM, directory: Path | None = None) -> None:
        self._llm = llm
        self._directory = directory
        self._open: dict[Variant, LLM] = {}
        self._copies: dict[str, Copy] = {}
        self._exact: NativeEngine | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._open.clear()
        self._exact = None

    def llm(self, variant: Variant) -> LLM:
        """The model of a variant.

        Raises:
            OutriderError: it cannot be made or opened.
        """
        if variant == OWN:
            return self._llm
        if variant not in self._open:
            self._open[variant] = self._stack.enter_context(self._opened(variant))
        return self._open[variant]

    def copy(self, kind: str) -> Copy:
        """The copy in these types of weights.

        Raises:
            OutriderError: it cannot be made.
        """
        if kind not in self._copies:
            source = file_of(self._llm)
            if self._directory is None or source is None:
                raise UsageError(
                    f"A copy in {kind} needs a model file, and a place to write the copy to."
                )
            path = self._directory / f"{source.path.stem}.{kind}.gguf"
            done = quantize(source.path, path, kind, force=True)
            self._copies[kind] = Copy(path, tuple(done))
        return self._copies[kind]

    @property
    def exact(self) -> NativeEngine:
        """The model's own file, computed in float32 with its exact weights.

        Raises:
            OutriderError: there is no file, or not the memory.
        """
        if self._exact is None:
            own = self._llm.engine
            if not isinstance(own, NativeEngine):
                raise UsageError("Computing in float32 needs a model that was loaded from a file.")
            weights = sum(math.prod(tensor.shape) for tensor in own.file.tensors())
            _check_memory(f"{own.file.name} in float32", 4 * weights)
            self._exact = NativeEngine(
                own.file,
                threads=own.threads,
                kernel=own.kernel,
                context=own.context,
                cache_bytes=own.cache_tokens * own.token_bytes,
                float32=True,
            )
        return self._exact

    def _opened(self, variant: Variant) -> LLM:
        own = self._llm
        options: dict[str, Any] = {"max_streams": variant.max_streams or own.max_streams}
        if variant.prefill_chunk is not None:
            options["prefill_chunk"] = variant.prefill_chunk
        if variant.draft is not None:
            path = self.copy(variant.draft).path
            _check_memory(path.name, path.stat().st_size)
            options["plan"] = Plan().but(draft_model=str(path))
        if variant.copy is None:
            return LLM(own.model, speculation=True, **options)
        path = self.copy(variant.copy).path
        _check_memory(path.name, path.stat().st_size)
        return LLM(
            path,
            threads=own.model.facts.get("threads"),
            kernel=own.model.facts.get("kernel"),
            context=own.context,
            speculation=True,
            **options,
        )


def file_of(llm: LLM) -> GgufFile | None:
    """The file that a model was loaded from; None where there is none."""
    return llm.engine.file if isinstance(llm.engine, NativeEngine) else None


def formats(llm: LLM) -> tuple[str, ...]:
    """The types of weights that a model's file can be copied in, the largest copy first.

    A type that would change nothing is none of them. Without a file, and without the package gguf,
    there are none.
    """
    file = file_of(llm)
    if file is None or find_spec("gguf") is None:
        return ()
    sizes = {kind: size for kind in FILE_TYPES if (size := _copied_bytes(file, kind)) is not None}
    return tuple(sorted(sizes, key=sizes.__getitem__, reverse=True))


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A directory of a run for copies, gone afterwards; what a killed process left goes first.

    Args:
        folder: of the run; one process at a time may be at it.
    """
    for left in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as directory:
        yield Path(directory)


def _copied_bytes(file: GgufFile, kind: str) -> int | None:
    """Bytes of the tensors of a copy; None where it cannot be made or would be no other."""
    try:
        plan = plan_of(file, kind)
    except ModelFileError:
        return None
    return sum(c.bytes_after for c in plan) if any(c.source != c.target for c in plan) else None


def _check_memory(what: str, needed: float) -> None:
    free = memory_bytes()
    if needed > free:
        raise CapacityError(
            f"{what} needs {needed / 1e6:.0f} MB and {free / 1e6:.0f} MB of memory are free; take "
            "a smaller model.",
            never=True,
        )
