"""A llama forward pass in numpy float64, written from the papers and not from the engine.

Two ways to multiply by a matrix: exactly, and with the quantised arithmetic that the engine
documents: activations in 8 bits a group of 32, spread over the group's own range, weights as the
file has them (real-valued matrices in 8-bit groups with a 16-bit scale).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gguf import GGMLQuantizationType as Type

from synthetic import Array, Weights

GROUP = 32


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
    real = (Type.F16, Type.BF16, Type.F32)
    return {
        name: quantized_matrix(values)
        if values.ndim == 2 and weights.types[name] in real
        else values
        for name, values in weights.tensors.items()
    }


@dataclass
class Llama:
    """The model; `quantized` chooses the arithmetic of its products."""

    weights: Weights
    quantized: bool = False

    def __post_init__(self) -> None:
        self.tensors = quantized_weights(self.weights) if self.quantized else self.weights.tensors

    def product(self, name: str, x: Array) -> Array:
        """x · Wᵀ."""
        return (quantized_activations(x) if self.quantized else x) @ self.tensors[name].T

    def norm(self, name: str, x: Array) -> Array:
        """Root-mean-square normalisation (arXiv 1910.07467)."""
        epsilon = self.weights.shape.epsilon
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + epsilon) * self.tensors[name]

    def rotate(self, x: Array) -> Array:
        """Rotary embedding (arXiv 2104.09864) of neighbours; x is [positions, heads, head_dim]."""
        shape = self.weights.shape
        pairs = shape.turned // 2
        rates = shape.rope_base ** (-np.arange(pairs) / pairs)
        if shape.rope_freqs:
            rates = rates / self.tensors["rope_freqs.weight"]
        turn = np.exp(1j * np.arange(len(x))[:, None] * rates)[:, None, :]
        out = x.copy()
        turned = (x[..., 0 : 2 * pairs : 2] + 1j * x[..., 1 : 2 * pairs : 2]) * turn
        out[..., 0 : 2 * pairs : 2], out[..., 1 : 2 * pairs : 2] = turned.real, turned.imag
        return out

    def attend(self, layer: str, x: Array) -> Array:
        """Causal attention with grouped keys and values, both kept in 16 bits."""
        shape, n = self.weights.shape, len(x)
        heads = {
            name: self.product(f"{layer}{name}.weight", x).reshape(n, -1, shape.dim)
            for name in ("attn_q", "attn_k", "attn_v")
        }
        share = shape.heads // shape.kv_heads
        query = self.rotate(heads["attn_q"])
        key, value = (
            np.repeat(h.astype(np.float16).astype(np.float64), share, axis=1)
            for h in (self.rotate(heads["attn_k"]), heads["attn_v"])
        )
        scores = np.einsum("ihd,jhd->hij", query, key) / np.sqrt(shape.dim)
        scores[:, np.triu(np.ones((n, n), bool), 1)] = -np.inf
        attention = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attention /= attention.sum(axis=-1, keepdims=True)
        out = np.einsum("hij,jhd->ihd", attention, value).reshape(n, -1)
        return self.product(layer + "attn_output.weight", out)

    def feed_forward(self, layer: str, x: Array) -> Array:
        """SwiGLU (arXiv 2002.05202)."""
        gate = self.product(layer + "ffn_gate.weight", x)
        inner = gate / (1 + np.exp(-gate)) * self.product(layer + "ffn_up.weight", x)
        return self.product(layer + "ffn_down.weight", inner)

    def states(self, tokens: Sequence[int]) -> list[Array]:
        """The hidden states: the embedding, then after each layer; each [tokens, width]."""
        x = self.tensors["token_embd.weight"][list(tokens)]
        states = [x]
        for i in range(self.weights.shape.layers):
            layer = f"blk.{i}."
            x = x + self.attend(layer, self.norm(layer + "attn_norm.weight", x))
            x = x + self.feed_forward(layer, self.norm(layer + "ffn_norm.weight", x))
            states.append(x)
        return states

    def logits(self, tokens: Sequence[int]) -> Array:
        """The logits of every position, [tokens, vocab]."""
        return self.product(
            self.weights.head, self.norm("output_norm.weight", self.states(tokens)[-1])
        )
