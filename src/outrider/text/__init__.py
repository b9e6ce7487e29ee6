"""Between text and tokens: tokenizer, chat template, incremental text, stop strings."""

from outrider.text.chat import ChatTemplate, encode_chat
from outrider.text.stream import IncrementalText, StopStrings, TextPiece, TextStream
from outrider.text.tokenizer import Tokenizer
from outrider.text.vocabulary import TokenType

__all__ = [
    "ChatTemplate",
    "IncrementalText",
    "StopStrings",
    "TextPiece",
    "TextStream",
    "TokenType",
    "Tokenizer",
    "encode_chat",
]
