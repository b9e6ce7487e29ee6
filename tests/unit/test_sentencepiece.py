from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import tokenizer_cases as cases
from fixtures.tokenizer_answers import differences, hexadecimals, read_fixture, recorded_strings
from gguf_metadata import read_metadata
from outrider.errors import ModelFileError, UsageError
from outrider.text import (
    ChatTemplate,
    IncrementalText,
    TextStream,
    Tokenizer,
    TokenType,
    encode_chat,
)
from outrider.text.sentencepiece import SPACE, merge
from outrider.types import Message

SPECIAL = {"<unk>": 2, "<bos>": 3, "<eos>": 3, "<start_of_turn>": 3, "<end_of_turn>": 3}
USER_DEFINED = ("\n\n", "\n", "  ", "<b>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
PIECES = {
    **{"▁": -20.0, "h": -21.0, "e": -22.0, "l": -23.0, "o": -24.0, "w": -25.0, "r": -26.0},
    **{"d": -27.0, "é": -28.0, "<": -29.0, ">": -30.0, "b": -31.0, "s": -32.0, "/": -33.0},
    **{"▁w": -1.0, "or": -2.0, "ll": -3.0, "he": -4.0, "hell": -5.0, "▁hell": -6.0},
    **{"hello": -7.0, "▁hello": -8.0, "▁wor": -9.0, "ld": -10.0, "▁world": -11.0},
}


def small_metadata(**changes: Any) -> dict[str, Any]:
    """A SentencePiece vocabulary with every byte; keywords change keys, None removes one."""
    names = [*SPECIAL, *USER_DEFINED, *BYTES, *PIECES]
    kinds = [*SPECIAL.values(), *[4] * len(USER_DEFINED), *[6] * 256, *[1] * len(PIECES)]
    values = {
        "model": "llama",
        "pre": "default",
        "tokens": names,
        "scores": [*[-1000.0] * (len(SPECIAL) + len(USER_DEFINED)), *[0.0] * 256, *PIECES.values()],
        "token_type": kinds,
        "unknown_token_id": names.index("<unk>"),
        "bos_token_id": names.index("<bos>"),
        "eos_token_id": names.index("<eos>"),
        "add_space_prefix": False,
        **changes,
    }
    return {f"tokenizer.ggml.{k}": v for k, v in values.items() if v is not None}


def small_tokenizer(**changes: Any) -> Tokenizer:
    return Tokenizer.from_metadata(small_metadata(**changes))


SMALL = small_tokenizer()
PREFIXING = small_tokenizer(add_space_prefix=None)


def names(tokens: Sequence[int], tokenizer: Tokenizer = SMALL) -> list[str]:
    return [tokenizer.token_name(token) for token in tokens]


@pytest.fixture(scope="session")
def metadata(gemma_path: Path) -> dict[str, Any]:
    return read_metadata(gemma_path)


@pytest.fixture(scope="session")
def gemma(metadata: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_metadata(metadata)


@pytest.fixture(scope="session")
def prefixing_gemma(metadata: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_metadata({**metadata, "tokenizer.ggml.add_space_prefix": True})


@pytest.fixture(scope="session")
def fixture() -> dict[str, Any]:
    return read_fixture(cases.SENTENCEPIECE_FIXTURE)


@pytest.fixture(scope="session")
def texts(fixture: dict[str, Any]) -> list[str]:
    return recorded_strings(fixture, cases.SENTENCEPIECE_TOKENS)


# Equal to llama.cpp


@pytest.mark.parametrize("mode", ["plain", "special"])
def test_ids_equal_llama_cpp(
    gemma: Tokenizer, texts: list[str], fixture: dict[str, Any], mode: str
) -> None:
    assert len(texts) >= 10_000
    assert differences(gemma, texts, fixture[mode], parse_special=mode == "special") == []


def test_ids_with_a_space_in_front_equal_llama_cpp(
    prefixing_gemma: Tokenizer, texts: list[str], fixture: dict[str, Any]
) -> None:
    some = texts[: cases.COUNT_OTHERS]
    assert differences(prefixing_gemma, some, fixture["prefix"], parse_special=True) == []


def test_decoding_equals_llama_cpp(
    gemma: Tokenizer, prefixing_gemma: Tokenizer, fixture: dict[str, Any]
) -> None:
    rows = cases.id_sequences(cases.COUNT_DECODED, cases.DECODED_RANGES)
    for tokenizer, mode in ((gemma, "decoded"), (prefixing_gemma, "decoded-prefix")):
        expected = hexadecimals(fixture[mode])
        assert [cases.text_digest(tokenizer.decode(row)) for row in rows] == expected


def test_every_text_comes_back(gemma: Tokenizer, texts: list[str]) -> None:
    # The character that stands for the space becomes one.
    whole = [text for text in texts if SPACE not in text]
    assert len(whole) > 9_000
    assert [gemma.decode(gemma.encode(text)) for text in whole] == whole


def test_gemma(gemma: Tokenizer, metadata: dict[str, Any]) -> None:
    assert gemma.vocab_size == 262_144
    assert (gemma.bos, gemma.eos, gemma.add_bos) == (2, 1, True)
    assert names(sorted(gemma.stop_ids), gemma) == ["<eos>", "<end_of_turn>"]
    assert gemma.missing_bytes == frozenset()
    assert names(gemma.encode_prompt("Hi"), gemma) == ["<bos>", "Hi"]
    assert gemma.encode_prompt("<bos>Hi", parse_special=True) == gemma.encode_prompt("Hi")
    # What closes struck-out text is no end of sequence in this vocabulary.
    assert names(gemma.encode("<s>Hi</s>"), gemma) == ["<s>", "Hi", "</s>"]
    with pytest.raises(UsageError, match="no chat template"):
        encode_chat(gemma, ChatTemplate.from_metadata(metadata), [Message("user", "Hi")])


# Merging


def naive_merge(text: str, tokens: Mapping[str, int], scores: Sequence[float]) -> list[str]:
    """Join the best pair of all, over and over."""
    symbols = list(text)
    while True:
        joined = [a + b for a, b in pairwise(symbols)]
        best = max((scores[tokens[pair]] for pair in joined if pair in tokens), default=None)
        if best is None:
            return symbols
        left = next(i for i, p in enumerate(joined) if p in tokens and scores[tokens[p]] == best)
        symbols[left : left + 2] = [joined[left]]


few_letters = st.text(alphabet=f"ab{SPACE}", min_size=1, max_size=6)
scored = st.dictionaries(few_letters, st.integers(-3, 3).map(float), max_size=24)


@given(scored, st.text(alphabet=f"abc{SPACE}", max_size=40))
def test_merging_is_joining_the_best_pair_over_and_over(
    pieces: dict[str, float], text: str
) -> None:
    tokens = {name: token for token, name in enumerate(pieces)}
    scores = list(pieces.values())
    assert list(merge(text, tokens, scores)) == naive_merge(text, tokens, scores)


@given(scored, st.text(alphabet=" ab\u2581é\U0001f600", max_size=80))
def test_texts_are_merged_as_a_whole(pieces: dict[str, float], text: str) -> None:
    known = [*SPECIAL, *BYTES]
    listed = [name for name in pieces if name not in known]
    tokenizer = small_tokenizer(
        tokens=[*known, *listed],
        token_type=[*SPECIAL.values(), *[6] * 256, *[1] * len(listed)],
        scores=[*[0.0] * len(known), *(pieces[name] for name in listed)],
    )
    ids = {name: len(known) + i for i, name in enumerate(listed)}
    scores = [0.0] * len(known) + [pieces[name] for name in listed]
    expected: list[str] = []
    for symbol in naive_merge(text.replace(" ", SPACE), ids, scores):
        spelled = [f"<0x{byte:02X}>" for byte in symbol.encode()]
        expected += [symbol] if symbol in ids else spelled
    assert names(tokenizer.encode(text), tokenizer) == expected


def test_the_highest_score_is_joined_first_and_the_leftmost_of_equals() -> None:
    assert list(merge("aaa", {"aa": 0}, [1.0])) == ["aa", "a"]
    assert list(merge("abc", {"ab": 0, "bc": 1}, [1.0, 2.0])) == ["a", "bc"]
    assert list(merge("abc", {"ab": 0, "bc": 1}, [2.0, 2.0])) == ["ab", "c"]
    assert list(merge("", {"ab": 0}, [1.0])) == []


def test_words_of_any_length_are_merged_alike() -> None:
    assert names(SMALL.encode("hello world")) == ["hello", "▁world"]
    assert names(SMALL.encode("hello" * 100)) == ["hello"] * 100
    assert names(SMALL.encode(" world" * 100)) == ["▁world"] * 100


# Special tokens and bytes


def test_control_tokens_are_plain_text_unless_asked() -> None:
    plain = SMALL.encode("<bos>hello<eos>")
    assert not any(SMALL.token_type(token) == TokenType.CONTROL for token in plain)
    assert SMALL.decode(plain) == "<bos>hello<eos>"
    special = SMALL.encode("<bos>hello<eos>", parse_special=True)
    assert names(special) == ["<bos>", "hello", "<eos>"]


def test_scores_never_make_a_control_token_or_a_byte_of_plain_text() -> None:
    values = small_metadata()
    added = {"<e": 1, "<e>": 3, "<0": 1, "<0x": 1, "<0x0": 1, "<0x0A": 1, "0": 1, "x": 1, "A": 1}
    tokenizer = small_tokenizer(
        tokens=[*values["tokenizer.ggml.tokens"], *added],
        scores=[*values["tokenizer.ggml.scores"], *[9.0] * len(added)],
        token_type=[*values["tokenizer.ggml.token_type"], *added.values()],
    )
    assert names(tokenizer.encode("<e>"), tokenizer) == ["<e", ">"]
    assert names(tokenizer.encode("<0x0A>"), tokenizer) == ["<0x0A", ">"]


def test_user_defined_tokens_are_always_tokens() -> None:
    assert names(SMALL.encode("hello\n\n\n<b>  hello")) == [
        "hello", "\n\n", "\n", "<b>", "  ", "hello",
    ]  # fmt: skip


def test_other_characters_are_spelled_in_bytes() -> None:
    assert names(SMALL.encode("éß")) == ["é", "<0xC3>", "<0x9F>"]
    assert SMALL.decode(SMALL.encode("éß\U0001f600\0")) == "éß\U0001f600\0"


def test_characters_without_bytes_are_unknown() -> None:
    values = small_metadata()
    names_ = [name for name in values["tokenizer.ggml.tokens"] if name != "<0x9F>"]
    lacking = small_tokenizer(
        tokens=names_,
        scores=[0.0] * len(names_),
        token_type=[*SPECIAL.values(), *[4] * len(USER_DEFINED), *[6] * 255, *[1] * len(PIECES)],
    )
    assert lacking.missing_bytes == {0x9F}
    assert names(lacking.encode("é日ß"), lacking) == ["é", "<0xE6>", "<0x97>", "<0xA5>", "<unk>"]
    assert lacking.decode(lacking.encode("ß")) == ""


def test_unused_tokens_bring_no_text() -> None:
    values = small_metadata()
    kinds = list(values["tokenizer.ggml.token_type"])
    token = values["tokenizer.ggml.tokens"].index("hello")
    kinds[token] = int(TokenType.UNUSED)
    assert small_tokenizer(token_type=kinds).token_bytes(token) == b""


def test_bos_is_added_once_unless_the_file_says_no() -> None:
    assert names(SMALL.encode_prompt("hello")) == ["<bos>", "hello"]
    assert names(SMALL.encode_prompt("<bos>hello", parse_special=True)) == ["<bos>", "hello"]
    assert not small_tokenizer(add_bos_token=False).add_bos
    turn = "<start_of_turn>{{ messages[0].content }}<end_of_turn>"
    for source in (turn, "{{ bos_token }}" + turn):
        template = ChatTemplate(source, bos_token="<bos>", eos_token="<eos>")
        ids = encode_chat(SMALL, template, [Message("user", "hello<end_of_turn><b>")])
        assert names(ids)[:3] == ["<bos>", "<start_of_turn>", "hello"]
        assert names(ids)[-2:] == ["<b>", "<end_of_turn>"]
        assert names(ids).count("<end_of_turn>") == 1


def test_turns_end_generation() -> None:
    assert names(sorted(SMALL.stop_ids)) == ["<eos>", "<end_of_turn>"]


# The space in front


def test_a_space_stands_in_front_of_texts_and_after_tokens() -> None:
    assert names(PREFIXING.encode("hello")) == ["▁hello"]
    assert names(PREFIXING.encode("hello<b>hello world")) == ["▁hello", "<b>", "▁hello", "▁world"]
    assert names(PREFIXING.encode_prompt("hello")) == ["<bos>", "▁hello"]
    assert PREFIXING.encode("") == []


@given(st.text(alphabet="helo wrdé", max_size=30))
def test_decoding_takes_the_space_away(text: str) -> None:
    assert SMALL.decode(SMALL.encode(text)) == text
    # Two spaces are a user-defined token here, and after every one of those stands a space.
    single = " ".join(filter(None, text.split(" ")))
    assert PREFIXING.decode(PREFIXING.encode(single)) == single


def test_a_text_that_goes_on_has_no_space_put_in_front() -> None:
    whole = PREFIXING.encode("hello")
    assert PREFIXING.decode(whole) == "hello"
    more = PREFIXING.encode("hello", continues=True)
    assert PREFIXING.decode(more, continues=True) == "hello"
    assert PREFIXING.decode(whole, continues=True) == " hello"


def test_ids_mean_the_same_where_the_names_do() -> None:
    other = small_tokenizer(add_space_prefix=None)
    assert PREFIXING.same_ids(PREFIXING)
    assert PREFIXING.same_ids(other)


def test_a_text_that_continues_keeps_its_space() -> None:
    ids = PREFIXING.encode("hello world")
    assert PREFIXING.decode(ids[1:]) == "world"
    assert PREFIXING.decode(ids[1:], continues=True) == " world"
    stream = TextStream(PREFIXING)
    assert stream.push(ids[1:]).text + stream.finish() == " world"


@given(
    st.lists(st.integers(0, SMALL.vocab_size - 1), max_size=12),
    st.sampled_from([SMALL, PREFIXING]),
    st.booleans(),
    st.integers(1, 4),
)
def test_incremental_text_is_the_text_of_the_whole(
    tokens: list[int], tokenizer: Tokenizer, continues: bool, size: int
) -> None:
    text = IncrementalText(tokenizer, continues=continues)
    pieces = [text.push([])]
    pieces += [text.push(tokens[i : i + size]) for i in range(0, len(tokens), size)]
    assert "".join(pieces) + text.finish() == tokenizer.decode(tokens, continues=continues)


# Files that are not right


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": None}, "no tokenizer.ggml.scores"),
        ({"scores": [1.0]}, "tokenizer.ggml.scores has 1 entries for the"),
        ({"scores": "high"}, "tokenizer.ggml.scores has to be an array of numbers"),
        ({"scores": ["a"] * SMALL.vocab_size}, "scores has to be an array of numbers"),
        ({"scores": np.full(SMALL.vocab_size, np.nan)}, "scores has to be an array of numbers"),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces is true, which is not"),
        ({"add_space_prefix": 1}, "add_space_prefix has to be true or false, not 1"),
        ({"token_type": [6] * SMALL.vocab_size}, "names a byte token '<unk>' instead of <0x00>"),
        ({"bos_token_id": None}, "no tokenizer.ggml.bos_token_id"),
    ],
)
def test_inconsistent_files_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        small_tokenizer(**changes)


def test_a_vocabulary_that_cannot_spell_a_character_is_refused() -> None:
    with pytest.raises(ModelFileError, match=r"tokens for 0 of the 256 bytes.*unknown_token_id"):
        small_tokenizer(
            token_type=[3] * SMALL.vocab_size, unknown_token_id=None, add_bos_token=False
        )
