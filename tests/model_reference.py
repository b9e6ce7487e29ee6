"""A forward pass in numpy float64, written from the papers and not from the engine.

Two ways to multiply by a matrix: exactly, and with the quantised arithmetic that the engine
documents: activations in 8 bits a group of 32, spread over the group's own range, weights as the
file has them (real-valued matrices in 8-bit groups with a 16-bit scale).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from synthetic import Array, Weights

GROUP = 32


def distance(a: Array | NDArray[np.float32], b: Array) -> Array:
    """The relative error of each row of `a`, whose true value is in `b`."""
    return np.asarray(np.linalg.norm(a - b, axis=-1) / np.linalg.norm(b, axis=-1))


def in_groups(x: Array) -> Array:
    """Split the last axis into groups of 32."""
    return x.reshape(*x.shape[:-1], -1, GROUP)


def quantized_activations(x: Array) -> Array:
    """Each group as its middle and whole multiples, −127 to 127, of a 254th of its spread."""
    groups = in_groups(x)
    high, low = groups.max(axis=-1, keepdims=True), groups.min(axis=-1, keepdims=True)
    middle, scale = (high + low) / 2, (high - low) / 254
    codes = np.rint((groups - middle) / np.where(scale > 0, scale, 1))
    return (middle + codes * scale).reshape(x.shape)


def quantized_matrix(matrix: Array) -> Array:
    """A real-valued matrix as 8-bit groups, their scale rounded to 16 bits before the codes."""
    groups = in_groups(matrix)
    peak = np.abs(groups).max(axis=-1, keepdims=True).astype(np.float32)
    scale = (peak / np.float32(127)).astype(np.float16).astype(np.float64)
    codes = np.clip(np.rint(groups / np.where(scale > 0, scale, 1)), -127, 127)
    return (codes * scale).reshape(matrix.shape)


def quantized_weights(weights: Weights) -> dict[str, Array]:
    """The matrices as the quantised engine holds them."""
    real = (Type.F16, Type.BF16, Type.F32, Type.Q6_K)
    return {
        name: quantized_matrix(values)
        if values.ndim == 2 and weights.types[name] in real
        else values
        for name, values in weights.tensors.items()
    }


@dataclass
class Model:
    """The model; `quantized` chooses the arithmetic of its products.

    With `half_cache`, keys and values are rounded to 16 bits, as the engine's cache keeps them.
    """

    weights: Weights
    quantized: bool = False
    half_cache: bool = True

    def __post_init__(self) -> None:
        self.tensors = quantized_weights(self.weights) if self.quantized else self.weights.tensors

    def product(self, name: str, x: Array) -> Array:
        """x · Wᵀ."""
        return (quantized_activations(x) if self.quantized else x) @ self.tensors[name].T

    def norm(self, name: str, x: Array) -> Array:
        """Root-mean-square normalisation (arXiv 1910.07467)."""
        epsilon = self.weights.shape.epsilon
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + epsilon) * self.tensors[name]

    def optional_norm(self, name: str, x: Array) -> Array:
        """The same where the family has it."""
        return self.norm(name, x) if name in self.tensors else x

    def is_local(self, layer: int) -> bool:
        """Gemma 3 (arXiv 2503.19786): five layers with a window, then one without."""
        return self.weights.shape.family == "gemma3" and layer % 6 != 5

    def rotate(self, x: Array, local: bool) -> Array:
        """Rotary embedding (arXiv 2104.09864); x is [positions, heads, head_dim].

        Llama's files have the pairs as neighbours, the others' as halves of the rotated part.
        """
        shape = self.weights.shape
        pairs = shape.turned // 2
        rates = (10000.0 if local else shape.rope_base) ** (-np.arange(pairs) / pairs)
        if shape.rope_freqs:
            rates = rates / self.tensors["rope_freqs.weight"]
        turn = np.exp(1j * np.arange(len(x))[:, None] * rates)[:, None, :]
        neighbours = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        halves = slice(0, pairs), slice(pairs, 2 * pairs)
        first, second = neighbours if shape.family == "llama" else halves
        turned = (x[..., first] + 1j * x[..., second]) * turn
        out = x.copy()
        out[..., first], out[..., second] = turned.real, turned.imag
        return out

    def heads(self, layer: str, name: str, x: Array) -> Array:
        """Queries, keys or values as [positions, heads, head_dim]."""
        out = self.product(f"{layer}{name}.weight", x) + self.tensors.get(f"{layer}{name}.bias", 0)
        heads = out.reshape(len(x), -1, self.weights.shape.dim)
        return self.optional_norm(f"{layer}{name}_norm.weight", heads)

    def cached(self, x: Array) -> Array:
        """Keys or values as attention reads them."""
        return x.astype(np.float16).astype(np.float64) if self.half_cache else x

    def attend(self, number: int, x: Array) -> Array:
        """Causal attention with grouped keys and values."""
        layer, local = f"blk.{number}.", self.is_local(number)
        shape, n = self.weights.shape, len(x)
        share = shape.heads // shape.kv_heads
        query = self.rotate(self.heads(layer, "attn_q", x), local)
        key, value = (
            np.repeat(self.cached(h), share, axis=1)
            for h in (
                self.rotate(self.heads(layer, "attn_k", x), local),
                self.heads(layer, "attn_v", x),
            )
        )
        scores = np.einsum("ihd,jhd->hij", query, key) / np.sqrt(shape.dim)
        distance = np.arange(n)[:, None] - np.arange(n)
        scores[:, (distance < 0) | (local & (distance >= shape.window))] = -np.inf
        attention = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attention /= attention.sum(axis=-1, keepdims=True)
        out = np.einsum("hij,jhd->ihd", attention, value).reshape(n, -1)
        return self.product(layer + "attn_output.weight", out)

    def feed_forward(self, layer: str, x: Array) -> Array:
        """SwiGLU, for Gemma GEGLU with the tanh form of GELU (arXiv 2002.05202, 1606.08415)."""
        gate = self.product(layer + "ffn_gate.weight", x)
        if self.weights.shape.family == "gemma3":
            inner = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
        else:
            inner = gate / (1 + np.exp(-gate))
        inner = inner * self.product(layer + "ffn_up.weight", x)
        return self.product(layer + "ffn_down.weight", inner)

    def states(self, tokens: Sequence[int]) -> list[Array]:
        """The hidden states: the embedding, then after each layer; each [tokens, width]."""
        x = self.tensors["token_embd.weight"][list(tokens)]
        if self.weights.shape.family == "gemma3":
            x = x * np.sqrt(self.weights.shape.width)
        states = [x]
        for i in range(self.weights.shape.layers):
            layer = f"blk.{i}."
            change = self.attend(i, self.norm(layer + "attn_norm.weight", x))
            x = x + self.optional_norm(layer + "post_attention_norm.weight", change)
            change = self.feed_forward(layer, self.norm(layer + "ffn_norm.weight", x))
            x = x + self.optional_norm(layer + "post_ffw_norm.weight", change)
            states.append(x)
        return states

    def logits(self, tokens: Sequence[int]) -> Array:
        """The logits of every position, [tokens, vocab]."""
        return self.product(
            self.weights.head, self.norm("output_norm.weight", self.states(tokens)[-1])
        )
