"""What Python sees of the C++ core."""

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

class Sampler:
    @overload
    def __init__(
        self,
        temperature: float,
        top_k: int,
        top_p: float,
        min_p: float,
        repetition_penalty: float,
        presence_penalty: float,
        frequency_penalty: float,
        logit_bias: Sequence[tuple[int, float]],
        vocab_size: int,
        seed: int,
        index: int,
        stream: int,
        prompt: Sequence[int],
    ) -> None: ...
    @overload
    def __init__(self, other: Sampler, index: int, stream: int) -> None: ...
    def choose(
        self,
        logits: NDArray[np.float32],
        position: int,
        path: Sequence[int] = ...,
        mask: NDArray[np.uint32] | None = None,
    ) -> int: ...
    def processed(
        self,
        logits: NDArray[np.float32],
        path: Sequence[int] = ...,
        mask: NDArray[np.uint32] | None = None,
    ) -> NDArray[np.float64]: ...
    def probabilities(
        self,
        logits: NDArray[np.float32],
        path: Sequence[int] = ...,
        mask: NDArray[np.uint32] | None = None,
    ) -> NDArray[np.float64]: ...
    def candidates(
        self, logits: NDArray[np.float32], position: int, path: Sequence[int], k: int
    ) -> tuple[list[int], list[float]]: ...
    def draw(self, weights: NDArray[np.float64], position: int, stream: int) -> int: ...
    def noise(self, position: int, tokens: Sequence[int]) -> NDArray[np.float64]: ...
    def advance(self, tokens: Sequence[int]) -> None: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def stream(self) -> int: ...

def logprob(logits: NDArray[np.float32], token: int) -> float: ...
def top(logits: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]: ...
def sampling_kernels() -> list[str]: ...
def use_sampling_kernels(name: str) -> None: ...
def best_prefix(
    parents: Sequence[Sequence[int]],
    probabilities: Sequence[Sequence[float]],
    most: Sequence[int],
    row_ms: Sequence[float],
    pass_ms: NDArray[np.float64],
    tokens: float,
    gain: float,
) -> list[list[int]]: ...

LARGEST: int

class PassTimes:
    def __init__(
        self, measured: Sequence[float], first_ms: float, further_ms: float, sequence_ms: float
    ) -> None: ...
    def ms(self, rows: Sequence[tuple[int, int]], further: int = 0) -> list[float]: ...
    def row_ms(self, context: int) -> float: ...
    def observe(self, rows: Sequence[tuple[int, int]], ms: float) -> None: ...

PROBE_NODES: int

class CostRule:
    def __init__(self, passes: PassTimes, max_nodes: int, gain: float) -> None: ...
    def limit(
        self,
        ids: Sequence[int],
        contexts: Sequence[int],
        rows: Sequence[tuple[int, int]],
        decoding: int,
        budget: int,
    ) -> tuple[int, list[float]]: ...
    def choose(
        self,
        parents: Sequence[Sequence[int]],
        probabilities: Sequence[Sequence[float]],
        most: Sequence[int],
        decoding: int,
        budget: int,
    ) -> list[list[int]]: ...
    def passed(self, sequences: int) -> bool: ...
    def observe(
        self,
        rows: Sequence[tuple[int, int]],
        accepted: int,
        draft_ms: float,
        pass_ms: float,
        sampling_ms: float,
        rest_ms: float | None,
    ) -> None: ...

BLOCK_TOKENS: int

def kernels() -> list[str]: ...
def read_bandwidth(threads: int, bytes: int, rounds: int) -> float: ...

class MemoryReader:
    def __init__(self, threads: int, bytes: int) -> None: ...
    def read(self, bytes: int) -> float: ...

class Gguf:
    def __init__(self, path: bytes) -> None: ...
    @property
    def size(self) -> int: ...
    def metadata(self) -> dict[str, Any]: ...
    def tensors(self) -> list[tuple[str, str, list[int], int]]: ...

class CachedSequence:
    @property
    def id(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def cached(self) -> int: ...

class Pass:
    def logits(self, rows: Sequence[int]) -> NDArray[np.float32]: ...
    def hidden(self, rows: Sequence[int]) -> NDArray[np.float32]: ...
    def walk(
        self,
        root: int,
        position: int,
        tokens: Sequence[int],
        parents: Sequence[int],
        sampler: Sampler,
    ) -> tuple[list[int], int]: ...
    def choose(
        self,
        row: int,
        sampler: Sampler,
        position: int,
        path: Sequence[int],
        mask: NDArray[np.uint32] | None,
    ) -> int: ...
    def logprob(self, row: int, token: int) -> float: ...
    def top(self, row: int, k: int) -> tuple[list[int], list[float]]: ...
    def best(
        self, rows: Sequence[int], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]: ...
    def phases(self) -> dict[str, float]: ...

class Engine:
    def __init__(
        self,
        file: Gguf,
        as_float: bool,
        threads: int,
        kernel: str,
        context: int,
        cache_bytes: int,
        max_rows: int,
        progress: Callable[[int, int], object] | None = None,
    ) -> None: ...
    def open(self, tokens: Sequence[int], capacity: int, share: bool) -> CachedSequence: ...
    def fork(self, id: int, capacity: int) -> CachedSequence: ...
    def close(self, id: int) -> None: ...
    def forward(
        self,
        sequence: NDArray[np.int32],
        token: NDArray[np.int32],
        parent: NDArray[np.int32],
        commit: NDArray[np.bool_],
        want_logits: NDArray[np.bool_],
        layers: int = -1,
        hidden: Sequence[int] = ...,
    ) -> Pass: ...
    def keep(self, id: int, rows: Sequence[int]) -> None: ...
    def pretend(self, id: int, length: int) -> None: ...
    def clear_cache(self) -> None: ...
    @property
    def kernel(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def context(self) -> int: ...
    @property
    def max_rows(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def repacked(self) -> dict[str, int]: ...
    @property
    def weight_bytes(self) -> int: ...
    @property
    def layer_bytes(self) -> int: ...
    @property
    def output_bytes(self) -> int: ...
    def history_bytes(self, length: int) -> int: ...
    @property
    def file_bytes(self) -> int: ...
    @property
    def token_bytes(self) -> int: ...
    @property
    def cache_blocks(self) -> int: ...
    @property
    def free_blocks(self) -> int: ...

PAST_TOKENS: int

class Grower:
    def __init__(
        self,
        sources: Sequence[str],
        vocab_size: int,
        branches: bool,
        min_match: int,
        max_match: int,
        past: bool,
        k: int,
    ) -> None: ...
    def begin(
        self, id: int, prompt_length: int, temperature: float, sampler: Sampler | None = None
    ) -> None: ...
    def extend(self, id: int, tokens: Sequence[int]) -> None: ...
    def draft(
        self,
        ids: Sequence[int],
        texts: Sequence[list[int]],
        max_nodes: Sequence[int],
        max_depth: Sequence[int],
        min_path_probability: Sequence[float],
    ) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...], tuple[str, ...]]]: ...
    def observe(
        self,
        ids: Sequence[int],
        texts: Sequence[list[int]],
        came: Sequence[int],
        tokens: Sequence[Sequence[int]],
        parents: Sequence[Sequence[int]],
        continuations: NDArray[np.int32],
        logits: NDArray[np.float32],
    ) -> None: ...
    def end(self, id: int, text: list[int]) -> None: ...
    def reset(self) -> None: ...
    @property
    def k(self) -> int: ...
    @property
    def past_tokens(self) -> int: ...
