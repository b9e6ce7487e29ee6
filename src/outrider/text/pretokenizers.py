"""How byte-level BPE cuts text into words before it merges, for each `tokenizer.ggml.pre`.

The names are GGUF's. A scheme is a list of patterns applied one after the other: each isolates its
matches within the pieces that the ones before have left. The patterns are those llama.cpp uses for
these names, so that both cut every text alike; where the original tokenizer also normalises (Qwen2
composes to NFC), llama.cpp does not, and neither do we.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Regex, pre_tokenizers

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_SUFFIX = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS_AND_SPACE = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_SUFFIX}|{_WORD}|\p{{N}}{{1,3}}|{_SIGNS_AND_SPACE}"
_QWEN2 = rf"{_SUFFIX}|{_WORD}|\p{{N}}|{_SIGNS_AND_SPACE}"


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way of cutting text, with what llama.cpp takes for granted about its vocabularies.

    Attributes:
        patterns: regular expressions in Oniguruma's syntax, applied in this order.
        ignore_merges: a whole word that is in the vocabulary is taken without merging.
        add_bos: prompts begin with the BOS token unless the file says otherwise.
    """

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False


_GPT2_SCHEME = Scheme((_GPT2,))
_DIGITS_SCHEME = Scheme((r"\p{N}", _GPT2))
_LLAMA3_SCHEME = Scheme((_LLAMA3,), ignore_merges=True, add_bos=True)
_LLAMA3_MERGING_SCHEME = Scheme((_LLAMA3,))
_QWEN2_SCHEME = Scheme((_QWEN2,))
_DEFAULT_SCHEME = Scheme((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"))
_FALCON_SCHEME = Scheme((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, r"[0-9][0-9][0-9]"))

SCHEMES: dict[str, Scheme] = {
    "default": _DEFAULT_SCHEME,
    "falcon": _FALCON_SCHEME,
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "exaone4", "mellum"), _GPT2_SCHEME),
    **dict.fromkeys(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
        _DIGITS_SCHEME,
    ),
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2"),
        _LLAMA3_SCHEME,
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe"), _LLAMA3_MERGING_SCHEME),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"), _QWEN2_SCHEME),
}
"""Every `tokenizer.ggml.pre` that is supported."""


def byte_alphabet() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary, 256 of them.

    Printable Latin-1 characters stand for themselves; the other bytes take the characters from
    U+0100 on, in order (Radford et al. 2019, GPT-2).
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    stand_in = {byte: 0x100 + i for i, byte in enumerate(others)}
    return [chr(stand_in.get(byte, byte)) for byte in range(256)]


def pre_tokenizer(scheme: Scheme, missing: Sequence[str]) -> pre_tokenizers.PreTokenizer:
    """The scheme's patterns, then bytes as characters.

    Args:
        scheme: how to cut.
        missing: characters of the byte alphabet that the vocabulary lacks. They are left out, and
            what stands on either side of one is not merged across it.
    """
    steps: list[pre_tokenizers.PreTokenizer] = [
        pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in scheme.patterns
    ]
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    if missing:
        members = "".join(rf"\x{{{ord(character):x}}}" for character in missing)
        steps.append(pre_tokenizers.Split(Regex(f"[{members}]"), "removed"))
    return pre_tokenizers.Sequence(steps)
