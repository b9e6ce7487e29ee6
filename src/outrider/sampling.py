"""From logits to a token: mask, bias, penalties, temperature, min-p, top-k, top-p, seeded noise.

The noise of a token depends only on (seed, completion index, stream, position, token). It is
Gumbel noise, so the largest of log-probability + noise is a sample (the Gumbel-max trick), and
whoever asks about the same position, in a draft, in a batch or plainly, makes the same choice.

`Sampler` is what the loop uses; its work over the vocabulary runs in C++. The functions before it
are the same mathematics in numpy, the reference that it is tested against.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outrider import _native
from outrider._native import logprob, top
from outrider.errors import SamplingError, UsageError
from outrider.types import Sampling

__all__ = [
    "Sampler",
    "StreamId",
    "derive_seed",
    "draw_seed",
    "exponential",
    "gumbel",
    "hash_noise",
    "logprob",
    "pack_mask",
    "probabilities",
    "processed_logits",
    "reference_candidates",
    "reference_choose",
    "reference_draw",
    "top",
    "uniform",
]

_WORD: Final = 2**64 - 1
_GOLDEN_64: Final = 0x9E3779B97F4A7C15
_GOLDEN_32: Final = 0x9E3779B1


class StreamId(IntEnum):
    """What noise is used for; different uses at the same position are independent."""

    TARGET = 0
    DRAFT = 1
    ACCEPTANCE = 2
    RESIDUAL = 3


# ------------------------------------------------------------------------------------- seeds


def draw_seed() -> int:
    """A fresh seed, below 2^53 so that every reader of JSON keeps it exact."""
    return secrets.randbits(53)


def derive_seed(seed: int, *path: int | str) -> int:
    """The seed of a part: of one prompt of a set, of one call of a strategy.

    Args:
        seed: the seed of the whole.
        path: names the part, such as its index in the input; different paths give seeds that
            are independent for all purposes.

    Returns:
        64 bits of the BLAKE2b hash of seed and path.
    """
    parts = [part if isinstance(part, str) else int(part) for part in (seed, *path)]
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


# ------------------------------------------------------------------------------------- noise


def _mix64(z: int) -> int:
    """The finaliser of splitmix64."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _WORD
    return z ^ (z >> 31)


def _mix32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Two multiplications with the constants of "lowbias32"."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def hash_noise(
    seed: int, index: int, stream: int, position: int, tokens: ArrayLike
) -> NDArray[np.uint32]:
    """32 hashed bits for each token: a counter-based generator, random access at no cost.

    Seed, index, stream and position are absorbed one by one into 64 bits, each after a step of
    splitmix64; their halves k0 and k1 key two hashes of the token, which are combined:
    h = mix32(token ^ k0) ^ mix32(token · 0x9E3779B1 + k1).

    Args:
        seed: of the request, 64 bits.
        index: which completion of the request.
        stream: a `StreamId`.
        position: absolute index of the token to be chosen.
        tokens: token ids, any shape.

    Returns:
        uint32 of the shape of `tokens`.
    """
    state = seed
    for value in (index, stream, position):
        state = _mix64((state + _GOLDEN_64) & _WORD) ^ value
    state = _mix64((state + _GOLDEN_64) & _WORD)
    k0, k1 = np.uint32(state & 0xFFFFFFFF), np.uint32(state >> 32)
    ids = np.atleast_1d(np.asarray(tokens)).astype(np.uint32)
    mixed = _mix32(ids ^ k0) ^ _mix32(ids * np.uint32(_GOLDEN_32) + k1)
    return mixed.reshape(np.shape(tokens))


def uniform(h: ArrayLike) -> NDArray[np.float64]:
    """Uniform noise of 32 hashed bits: v = (h + ½) / 2³², strictly between 0 and 1."""
    return np.asarray((np.asarray(h, np.float64) + 0.5) / 2.0**32)


def exponential(h: ArrayLike) -> NDArray[np.float64]:
    """Standard exponential noise of 32 hashed bits: −log1p(−v) with v of `uniform`."""
    return np.asarray(-np.log1p(-uniform(h)))


def gumbel(h: ArrayLike) -> NDArray[np.float64]:
    """Standard Gumbel noise of 32 hashed bits: −log(−log1p(−v)) with v of `uniform`."""
    return np.asarray(-np.log(exponential(h)))


# ------------------------------------------------------------------------------------- logits


def pack_mask(allowed: ArrayLike, vocab_size: int) -> NDArray[np.uint32]:
    """Allowed token ids as packed bits: token t is bit t % 32 of word t // 32.

    Returns:
        uint32[ceil(vocab_size / 32)].
    """
    bits = np.zeros(-(-vocab_size // 32) * 32, np.uint8)
    bits[np.asarray(allowed, np.int64)] = 1
    return np.packbits(bits, bitorder="little").view("<u4").astype(np.uint32)


def _unpack_mask(mask: NDArray[np.uint32], vocab_size: int) -> NDArray[np.bool_]:
    bits = np.unpackbits(mask.astype("<u4").view(np.uint8), bitorder="little")
    return bits[:vocab_size].astype(np.bool_)


def _patched(
    logits: NDArray[np.float32],
    sampling: Sampling,
    prompt: Sequence[int],
    output: Sequence[int],
    mask: NDArray[np.uint32] | None,
) -> NDArray[np.float32]:
    """Logits after mask, bias and penalties, float32[vocab_size]."""
    row = logits.astype(np.float32)
    if mask is not None:
        # Adding keeps NaN and infinity visible, which replacing would hide.
        row += np.where(_unpack_mask(mask, len(row)), np.float32(0), np.float32(-np.inf))
    for token, bias in sampling.logit_bias.items():
        row[token] = np.float32(float(row[token]) + bias)
    counts = Counter(output)
    for token in {*prompt, *output}:
        x = float(row[token])
        r = sampling.repetition_penalty
        x = x / r if x > 0 else x * r
        if counts[token]:
            x -= sampling.frequency_penalty * counts[token]
            x -= sampling.presence_penalty
        row[token] = np.float32(x)
    return row


def processed_logits(
    logits: NDArray[np.float32],
    sampling: Sampling,
    *,
    prompt: Sequence[int] = (),
    output: Sequence[int] = (),
    mask: NDArray[np.uint32] | None = None,
) -> NDArray[np.float64]:
    """What the noise is added to: (logit − largest) / temperature after every filter.

    Args:
        logits: the raw model's, float32[vocab_size].
        sampling: the settings. At temperature 0 only the chosen token is left.
        prompt: token ids that the repetition penalty looks back on.
        output: generated tokens, then drafted ancestors; every penalty looks back on them.
        mask: packed bits of allowed tokens, or None for all.

    Returns:
        float64[vocab_size], minus infinity for removed tokens.

    Raises:
        SamplingError: a logit is NaN or plus infinity, or no token is left.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        row = _patched(logits, sampling, prompt, output, mask).astype(np.float64)
    if np.isnan(row).any() or np.isposinf(row).any():
        raise SamplingError("The logits hold NaN or infinity, so no token can be chosen.")
    peak = float(row.max())
    if peak == -np.inf:
        raise SamplingError("No token is left to choose from.")
    if sampling.temperature == 0.0:
        kept = np.zeros(len(row), np.bool_)
        kept[row.argmax()] = True
        return np.where(kept, 0.0, -np.inf)

    with np.errstate(over="ignore"):
        x = (row - peak) / sampling.temperature
    if sampling.min_p > 0.0:
        x[row < peak + sampling.temperature * np.log(sampling.min_p)] = -np.inf
    order = np.argsort(-row, kind="stable")
    if sampling.top_k > 0:
        x[order[sampling.top_k :]] = -np.inf
    if sampling.top_p < 1.0:
        weights = np.exp(x[order])
        before = np.cumsum(weights) - weights
        x[order[before >= sampling.top_p * weights.sum()]] = -np.inf
    return x


def probabilities(
    logits: NDArray[np.float32],
    sampling: Sampling,
    *,
    prompt: Sequence[int] = (),
    output: Sequence[int] = (),
    mask: NDArray[np.uint32] | None = None,
) -> NDArray[np.float64]:
    """The distribution that a token is chosen from, float64[vocab_size]; see `processed_logits`.

    Raises:
        SamplingError: as `processed_logits`.
    """
    weights = np.exp(processed_logits(logits, sampling, prompt=prompt, output=output, mask=mask))
    return np.asarray(weights / weights.sum())


def reference_choose(
    logits: NDArray[np.float32],
    sampling: Sampling,
    *,
    seed: int,
    position: int,
    index: int = 0,
    stream: int = StreamId.TARGET,
    prompt: Sequence[int] = (),
    output: Sequence[int] = (),
    mask: NDArray[np.uint32] | None = None,
) -> int:
    """What `Sampler.choose` chooses, by the definition; ties go to the lowest id.

    Raises:
        SamplingError: as `processed_logits`.
    """
    x = processed_logits(logits, sampling, prompt=prompt, output=output, mask=mask)
    if sampling.temperature > 0.0:
        x += gumbel(hash_noise(seed, index, stream, position, np.arange(len(x))))
    return int(x.argmax())


def reference_candidates(
    logits: NDArray[np.float32],
    sampling: Sampling,
    k: int,
    *,
    seed: int,
    position: int,
    index: int = 0,
    stream: int = StreamId.TARGET,
    prompt: Sequence[int] = (),
    output: Sequence[int] = (),
) -> tuple[list[int], list[float]]:
    """What `Sampler.candidates` finds, by the definition; ties go to the lowest id.

    Raises:
        SamplingError: as `processed_logits`.
    """
    x = processed_logits(logits, sampling, prompt=prompt, output=output)
    top = 0.0
    if sampling.temperature > 0.0:
        x += gumbel(hash_noise(seed, index, stream, position, np.arange(len(x))))
    else:
        x = _patched(logits, sampling, prompt, output, None).astype(np.float64)
        top = x.max()
    # In the order before the largest is subtracted, for that makes ties of small differences.
    best = [int(token) for token in np.argsort(-x, kind="stable")[:k] if x[token] > -np.inf]
    return best, (x[best] - top).tolist()


def reference_draw(
    weights: NDArray[np.float64], *, seed: int, position: int, stream: int, index: int = 0
) -> int:
    """What `Sampler.draw` draws, by the definition; ties go to the lowest id.

    Raises:
        SamplingError: no weight is positive.
    """
    if not (weights > 0.0).any():
        raise SamplingError("No token is left to choose from: all weights are zero.")
    noise = exponential(hash_noise(seed, index, stream, position, np.arange(len(weights))))
    with np.errstate(divide="ignore"):
        return int(np.where(weights > 0.0, noise / weights, np.inf).argmin())


# ------------------------------------------------------------------------------------- sampler


class Sampler(_native.Sampler):
    """Chooses the tokens of one completion; also what C++ takes as `outrider::Sampler&`.

    Args:
        sampling: the settings; their seed is not read, because a missing one has to be drawn
            and recorded by the caller.
        vocab_size: tokens in the vocabulary.
        seed: of the request, 64 bits.
        index: which completion of the request.
        stream: a `StreamId`.
        prompt: token ids that the repetition penalty looks back on.

    Raises:
        UsageError: a token of `logit_bias` or of the prompt is outside the vocabulary.
    """

    sampling: Sampling

    def __init__(
        self,
        sampling: Sampling,
        *,
        vocab_size: int,
        seed: int,
        index: int = 0,
        stream: int = StreamId.TARGET,
        prompt: Sequence[int] = (),
    ) -> None:
        if not 0 <= seed <= _WORD:
            raise UsageError(f"A seed has to lie in [0, 2^64), not {seed}.")
        super().__init__(
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
            sampling.min_p,
            sampling.repetition_penalty,
            sampling.presence_penalty,
            sampling.frequency_penalty,
            list(sampling.logit_bias.items()),
            vocab_size,
            seed,
            index,
            stream,
            # Only the repetition penalty reads the prompt, and turning it over takes time.
            prompt if sampling.repetition_penalty != 1.0 else (),
        )
        self.sampling = sampling

    def _copy(self, index: int, stream: int) -> Sampler:
        copy = Sampler.__new__(Sampler)
        _native.Sampler.__init__(copy, self, index, stream)
        copy.sampling = self.sampling
        return copy

    def fork(self, index: int) -> Sampler:
        """An independent sampler with the same history, for another completion."""
        return self._copy(index, self.stream)

    def with_stream(self, stream: int) -> Sampler:
        """An independent sampler with the same history, for another use of noise."""
        return self._copy(self.index, stream)

    def choose(
        self,
        logits: NDArray[np.float32],
        position: int,
        path: Sequence[int] = (),
        mask: NDArray[np.uint32] | None = None,
    ) -> int:
        """The token at a position.

        Args:
            logits: the raw model's, float32[vocab_size].
            position: absolute index of the token to be chosen.
            path: drafted tokens between the history and the choice; they count as output.
            mask: packed bits of allowed tokens, or None for all.

        Raises:
            SamplingError: a logit is NaN or plus infinity, or no token is left.
            UsageError: a row or mask of the wrong size, or a path outside the vocabulary.
        """
        return super().choose(logits, position, path, mask)

    def processed(
        self,
        logits: NDArray[np.float32],
        path: Sequence[int] = (),
        mask: NDArray[np.uint32] | None = None,
    ) -> NDArray[np.float64]:
        """What the noise is added to, float64[vocab_size]; see `processed_logits`.

        Raises:
            SamplingError: as in `choose`.
            UsageError: as in `choose`.
        """
        return super().processed(logits, path, mask)

    def probabilities(
        self,
        logits: NDArray[np.float32],
        path: Sequence[int] = (),
        mask: NDArray[np.uint32] | None = None,
    ) -> NDArray[np.float64]:
        """The distribution that `choose` draws from, float64[vocab_size]; see `probabilities`.

        What `choose` cannot choose has probability 0, and so has what is less than e⁻⁷⁰⁰ times
        as likely as the likeliest.

        Raises:
            SamplingError: as in `choose`.
            UsageError: as in `choose`.
        """
        return super().probabilities(logits, path, mask)

    def candidates(
        self, logits: NDArray[np.float32], position: int, path: Sequence[int], k: int
    ) -> tuple[list[int], list[float]]:
        """The tokens that `choose` is nearest to choosing, for drafts with second guesses.

        With noise they are the largest of log-probability + Gumbel noise: a sample of k tokens
        without replacement (Kool et al., arXiv 1903.06059), whose first is what `choose` chooses.

        Args:
            logits: float32[vocab_size], of any model.
            position: absolute index of the token to be chosen.
            path: as in `choose`.
            k: how many at most; filters may leave fewer.

        Returns:
            Token ids, best first, and their values: (logit − largest) / temperature + noise, at
            temperature 0 logit − largest.

        Raises:
            SamplingError: as in `choose`.
            UsageError: as in `choose`, or a k outside 1 to the size of the vocabulary.
        """
        return super().candidates(logits, position, path, k)

    def draw(self, weights: NDArray[np.float64], position: int, stream: int) -> int:
        """A token drawn with this completion's noise, but not from its logits.

        The smallest of exponential noise / weight wins: the Gumbel-max trick without its outer
        logarithm.

        Args:
            weights: float64[vocab_size], not negative; they need not sum to one.
            position: absolute index of the token to be drawn.
            stream: the `StreamId` of what the noise is used for.

        Raises:
            SamplingError: no weight is positive.
            UsageError: weights of the wrong size.
        """
        return super().draw(weights, position, stream)

    def uniforms(self, position: int, count: int, stream: int) -> NDArray[np.float64]:
        """Uniform noise of a position, one number for each of `count` uses, float64[count]."""
        return uniform(hash_noise(self.seed, self.index, stream, position, np.arange(count)))

    def noise(self, position: int, tokens: Sequence[int]) -> NDArray[np.float64]:
        """The Gumbel noise of some tokens at a position, float64[len(tokens)]."""
        return super().noise(position, tokens)

    def advance(self, tokens: Sequence[int]) -> None:
        """These tokens were chosen: penalties look back on them from now on."""
        super().advance(tokens)
