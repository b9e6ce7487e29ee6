"""Passages as a model's formats read them, each beside float32's reading and the given file's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outrider.engines.native import NativeEngine
from outrider.lab.fidelity import fidelity, log_softmax, teacher_forced
from outrider.lab.passages import Passage, read_passages
from outrider.lab.variants import OWN, Variant, Variants
from outrider.llm import LLM
from outrider.prompts import take_evenly

Chunks = Sequence[NDArray[np.float32]]
"""Log-probabilities of a text's tokens, float32[chunk, vocab_size] each."""


class Reading:
    """Some passages, of as many kinds as can be.

    What float32 and the file as given make of a passage is kept until another one is read.

    Args:
        llm: the file as given.
        variants: of it.
        most: passages.

    Raises:
        OutriderError: float32 cannot be had.
    """

    def __init__(self, llm: LLM, variants: Variants, most: int) -> None:
        self._llm = llm
        self._variants = variants
        self._exact = variants.exact
        self._passages: list[Passage] = take_evenly(
            read_passages(), most, category=attrgetter("kind")
        )
        self._number = -1
        self._tokens: list[int] = []
        self._by_exact: Chunks = []
        self._by_given: Chunks = []

    def compare(self, variant: Variant, number: int) -> dict[str, Any]:
        """How a variant reads a passage; nothing where there is none of that number."""
        if number >= len(self._passages):
            return {}
        if number != self._number:
            tokenizer = self._llm.tokenizer
            text = self._passages[number].text
            self._tokens = tokenizer.with_bos(tokenizer.encode(text))[: self._llm.context]
            self._by_exact = _read(self._exact, self._tokens)
            self._by_given = self._read_by(self._llm)
            self._number = number
        own = self._by_given
        if variant != OWN:
            own = self._read_by(self._variants.llm(variant))
        return {
            "passage": self._passages[number].kind,
            "exact": asdict(fidelity(self._by_exact, own, self._tokens)),
            "given": asdict(fidelity(self._by_given, own, self._tokens)),
        }

    def _read_by(self, llm: LLM) -> Chunks:
        engine = llm.engine
        assert isinstance(engine, NativeEngine)
        with llm.fresh(drafters=False):  # nothing else drives the engine meanwhile
            return _read(engine, self._tokens)


def _read(engine: NativeEngine, tokens: Sequence[int]) -> Chunks:
    return [log_softmax(logits) for logits in teacher_forced(engine, tokens)]
