"""How byte-level BPE cuts text into words before it merges, for each `tokenizer.ggml.pre`.

The names are GGUF's. A scheme is a list of patterns applied one after the other: each isolates its
matches within the pieces that the ones before have left. The patterns are those llama.cpp uses for
these names, so that both cut every text alike; where the original tokenizer also normalises (Qwen2
composes to NFC), llama.cpp does not, and neither do we. Only characters that came into Unicode
after version 15 may be cut differently, as the two libraries know different versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Regex, pre_tokenizers

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_SUFFIX = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_SIGNS_AND_SPACE = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACE}"
_LLAMA3 = rf"{_SUFFIX}|{_WORD}|\p{{N}}{{1,3}}|{_SIGNS_AND_SPACE}"
_QWEN2 = rf"{_SUFFIX}|{_WORD}|\p{{N}}|{_SIGNS_AND_SPACE}"
_QWEN35 = (
    rf"{_SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACE}"
)
_SEED_CODER = rf"{_SUFFIX}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACE}"

# Words end where a small letter is followed by a capital one; only ASCII tells the two apart.
_CAPITALS, _SMALLS = r"[\p{L}&&[^a-z]]", r"[\p{L}&&[^A-Z]]"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_CASED_WORD = rf"{_BEFORE}{_CAPITALS}*{_SMALLS}+"
_CAPITAL_WORD = rf"{_BEFORE}{_CAPITALS}+{_SMALLS}*"
_SIGNS_SLASH_AND_SPACE = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACE}"
_TEKKEN = rf"{_CASED_WORD}|{_CAPITAL_WORD}|\p{{N}}|{_SIGNS_SLASH_AND_SPACE}"
_GPT4O = (
    rf"{_CASED_WORD}{_SUFFIX}?|{_CAPITAL_WORD}{_SUFFIX}?|\p{{N}}{{1,3}}|{_SIGNS_SLASH_AND_SPACE}"
)

_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"

# Spaces lie within these ranges, but llama.cpp has made them all one by then.
_EAST_ASIAN = r"[\x{800}-\x{9FA5}\x{AC00}-\x{D7FF}&&[^\s]]+"
_CASED_LETTERS = (
    r"A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ"
    r"Ḁ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ\x{1F5F}-\x{1F7D}ᾀ-ᾴᾶ-\x{1FBC}\x{1FBE}ῂ-ῄῆ-ῌ\x{1FD0}-\x{1FD3}"
    r"\x{1FD6}-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝ\x{2124}\x{2126}\x{2128}\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎ"
    r"ↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
_DEEPSEEK_SIGNS = r"\s?[!-/:-~！-／：-～‘-‟\x{3001}-。]+"
_DEEPSEEK3 = (
    r"[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACE}"
)


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
_BLOOM_SCHEME = Scheme((_BLOOM,))
_GPT4O_SCHEME = Scheme((_GPT4O,))
_DEEPSEEK_SCHEME = Scheme(
    (r"[\r\n]", rf"\s?[{_CASED_LETTERS}]+", _DEEPSEEK_SIGNS, r"\s+$", _EAST_ASIAN, r"\p{N}+")
)
_DEEPSEEK_CODER_SCHEME = Scheme((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _EAST_ASIAN, r"\p{N}"))
_DEEPSEEK3_SCHEME = Scheme((r"\p{N}{1,3}", r"[\x{4E00}-\x{9FA5}\x{3040}-\x{30FF}]+", _DEEPSEEK3))

_NAMES: tuple[tuple[Scheme, tuple[str, ...]], ...] = (
    (_DEFAULT_SCHEME, ("default",)),
    (_FALCON_SCHEME, ("falcon",)),
    (_GPT2_SCHEME, ("gpt-2", "phi-2", "mpt", "olmo", "exaone4", "mellum", "trillion")),
    (_GPT2_SCHEME, ("granite-docling", "gigachat", "a.x-4.0", "jais")),
    (_DIGITS_SCHEME, ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone")),
    (_DIGITS_SCHEME, ("minerva-7b", "mellum2")),
    (_LLAMA3_SCHEME, ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral")),
    (_LLAMA3_SCHEME, ("lfm2", "midm-2.0")),
    (_LLAMA3_MERGING_SCHEME, ("dbrx", "smaug-bpe", "chatglm-bpe")),
    (Scheme((_LLAMA3,), ignore_merges=True), ("glm4",)),
    (_QWEN2_SCHEME, ("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan")),
    (_QWEN2_SCHEME, ("solar-open", "grok-2")),
    (Scheme((_QWEN35,)), ("qwen35",)),
    (Scheme((_SEED_CODER,)), ("seed-coder",)),
    (Scheme((_TEKKEN,), ignore_merges=True, add_bos=True), ("tekken",)),
    (_GPT4O_SCHEME, ("gpt-4o", "llama4", "kanana2", "minimax-m2")),
    (_BLOOM_SCHEME, ("bloom", "poro-chat", "gpt3-finnish")),
    (Scheme((_BLOOM, r"\p{N}")), ("viking",)),
    (_DEEPSEEK_SCHEME, ("deepseek-llm",)),
    (_DEEPSEEK_CODER_SCHEME, ("deepseek-coder",)),
    (_DEEPSEEK3_SCHEME, ("deepseek-v3", "hunyuan-dense")),
)

SCHEMES: dict[str, Scheme] = {name: scheme for scheme, names in _NAMES for name in names}
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
