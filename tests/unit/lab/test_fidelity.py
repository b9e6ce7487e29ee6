"""Distributions beside a reference's, held to the formulas of one distribution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.engines.toy import ToyEngine
from outrider.lab.fidelity import fidelity, log_softmax, teacher_forced
from outrider.theory import rejection_acceptance

VOCAB = 7


def logits(seed: int, rows: int, spread: float) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return (spread * chance.standard_normal((rows, VOCAB))).astype(np.float32)


def text(seed: int, rows: int) -> list[int]:
    return np.random.default_rng(seed).integers(VOCAB, size=rows).tolist()


@given(st.integers(0, 1 << 30), st.integers(2, 9), st.floats(0.1, 20.0), st.integers(1, 4))
def test_sums_are_those_of_every_position(seed: int, rows: int, spread: float, chunk: int) -> None:
    given_, other, tokens = (
        logits(seed, rows, spread),
        logits(seed + 1, rows, spread),
        text(2, rows),
    )
    chunks = [
        [log_softmax(values[start : start + chunk]) for start in range(0, rows, chunk)]
        for values in (given_, other)
    ]

    found = fidelity(*chunks, tokens)

    p, q = (np.exp(values - values.max(axis=1, keepdims=True), dtype=np.float64)
            for values in (given_, other))  # fmt: skip
    p, q = (each / each.sum(axis=1, keepdims=True) for each in (p, q))
    p, q = p[:-1], q[:-1]
    assert found.tokens == rows - 1
    assert found.kl == pytest.approx(float((p * np.log(p / q)).sum()), rel=1e-4, abs=1e-5)
    assert found.overlap == pytest.approx(
        sum(rejection_acceptance(*each) for each in zip(p, q, strict=True)), abs=1e-4
    )
    assert found.same_top == int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
    assert found.surprisal == pytest.approx(
        -sum(np.log(row[token]) for row, token in zip(q, tokens[1:], strict=True)), rel=1e-4
    )


@given(st.integers(0, 1 << 30), st.integers(2, 9))
def test_a_model_does_not_diverge_from_itself(seed: int, rows: int) -> None:
    same = [log_softmax(logits(seed, rows, 3.0))]

    found = fidelity(same, same, text(seed, rows))

    assert found.kl == 0.0
    assert found.same_top == found.tokens
    assert found.overlap == pytest.approx(found.tokens, abs=1e-5)


def test_a_text_of_one_token_says_nothing() -> None:
    same = [log_softmax(logits(0, 1, 1.0))]

    assert fidelity(same, same, [3]).tokens == 0


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_a_text_is_read_alike_in_any_chunks(chunk: int) -> None:
    engine, tokens = ToyEngine(), [5, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    free = engine.free_tokens

    found = np.vstack(list(teacher_forced(engine, tokens, chunk)))

    whole = np.vstack(list(teacher_forced(engine, tokens)))
    assert found.shape == (len(tokens), engine.vocab_size)
    assert (found == whole).all()
    assert engine.free_tokens == free
