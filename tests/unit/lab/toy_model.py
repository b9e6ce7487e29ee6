"""An `LLM` over the toy engine, with a tokenizer of single letters."""

from __future__ import annotations

from collections.abc import Iterable

from outrider.engines.toy import ToyEngine
from outrider.llm import LLM, Model

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"


class Letters:
    """Token i is the i-th letter; whatever else a text has is the first."""

    stop_ids = frozenset({47})
    bos = None
    space_prefix = False

    def encode(self, text: str) -> list[int]:
        return [max(LETTERS.find(letter), 0) for letter in text]

    def encode_prompt(self, text: str, *, parse_special: bool = False) -> list[int]:
        return self.encode(text)

    def token_bytes(self, token: int) -> bytes:
        return LETTERS[token].encode()

    def token_name(self, token: int) -> str:
        return LETTERS[token]

    def decode(self, tokens: Iterable[int], *, continues: bool = False) -> str:
        return "".join(map(self.token_name, tokens))


def toy_llm(engine: ToyEngine | None = None, **options) -> LLM:
    return LLM(Model("toy", "0", engine or ToyEngine(context=256), Letters(), None), **options)
