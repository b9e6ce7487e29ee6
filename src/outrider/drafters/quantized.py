"""A 4-bit copy of the target as its draft model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from outrider.drafters.cached import CachedDrafter, native_target, open_draft
from outrider.engines.base import TargetModel
from outrider.engines.native import NativeEngine
from outrider.errors import ModelFileError, UsageError, unknown_name
from outrider.models import store
from outrider.models.gguf import GgufFile
from outrider.models.quantize import FOUR_BITS, TOKEN_MATRICES, quantize

LEAST_BITS: Final = 8.0
"""A target whose layers have fewer bits a weight gains too little from a 4-bit copy."""


class QuantizedDrafter(CachedDrafter):
    """Drafts with a copy of the target whose layers have 4 bits a weight.

    The copy is made once and kept in the cache directory, under the target's fingerprint.

    Args:
        target: a model of 8 or 16 bits.
        type: of the copy, Q4_0 or Q4_1.
        threads: of the copy; None takes the target's.
        cache_budget: bytes for the copy's keys and values; see `open_draft`.
        draws: as in `PassDrafter`.
        branch: as in `PassDrafter`.

    Raises:
        UsageError: the target has 4-bit layers already, the type is another, or the package gguf
            is missing.
        ModelFileError: the target's file cannot be converted.
        CapacityError: there is not enough memory for the copy.
        DownloadError: the cache directory cannot be written.
    """

    def __init__(
        self,
        target: TargetModel,
        *,
        type: str = "Q4_0",
        threads: int | None = None,
        cache_budget: int | None = None,
        draws: bool = False,
        branch: int = 1,
    ) -> None:
        native = native_target(target, "quantized")
        if type not in FOUR_BITS:
            raise unknown_name("type of a 4-bit copy", type, FOUR_BITS)
        bits = layer_bits(native.file)
        if bits < LEAST_BITS:
            raise UsageError(
                f"The layers of {native.file.name} have {bits:.1f} bits a weight already, so a "
                "4-bit copy would be no cheaper; use another drafter."
            )
        path = four_bit_copy(native.file, type)
        engine = open_draft(native, path, threads=threads, cache_budget=cache_budget)
        super().__init__(target, engine, draws=draws, branch=branch)


def possible(target: TargetModel) -> bool:
    """Whether the target has enough bits a weight for a 4-bit copy, and one can be made here."""
    return (
        isinstance(target, NativeEngine)
        and layer_bits(target.file) >= LEAST_BITS
        and find_spec("gguf") is not None
    )


def layer_bits(file: GgufFile) -> float:
    """Bits a weight, over the matrices of the layers."""
    matrices = [t for t in file.tensors() if len(t.shape) == 2 and t.name not in TOKEN_MATRICES]
    weights = sum(tensor.shape[0] * tensor.shape[1] for tensor in matrices)
    return 8 * sum(tensor.bytes for tensor in matrices) / max(weights, 1)


def four_bit_copy(file: GgufFile, kind: str) -> Path:
    """The file's copy in the cache directory, made if it is not there or cannot be read.

    Raises:
        UsageError: the package gguf is missing, or there is no room.
        ModelFileError: the file cannot be converted.
        DownloadError: the cache directory cannot be written.
    """
    name = f"{file.fingerprint()}-{kind}"
    path = store.cache_directory() / "copies" / f"{name}.gguf"
    with store.writing(path), store.lock(f"copy-{name}"):
        if not _readable(path):
            quantize(file.path, path, kind, force=True)
    return path


def _readable(path: Path) -> bool:
    try:
        GgufFile(path)
    except ModelFileError:
        return False
    return True
