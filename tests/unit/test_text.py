from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import tokenizer_cases as cases
from fixtures.boundary_vocabulary import boundary_vocabulary
from fixtures.tokenizer_answers import (
    differences,
    hexadecimals,
    read_fixture,
    recorded_strings,
    strings_digest,
)
from gguf_metadata import read_metadata
from outrider.errors import ModelFileError, UsageError
from outrider.text import (
    ChatTemplate,
    IncrementalText,
    StopStrings,
    TextStream,
    Tokenizer,
    TokenType,
    encode_chat,
)
from outrider.text.pretokenizers import SCHEMES, Scheme, byte_alphabet
from outrider.types import Message

CONTROL = ("<|im_start|>", "<|im_end|>", "<s>", "[INST]")
USER_DEFINED = ("<think>", "</think>", "  ")
MERGED = ("he", "ll", "hell", "hello", "Ġw", "or", "orld")
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r"]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + "
    "'<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def small_metadata(**changes: Any) -> dict[str, Any]:
    """A byte-level vocabulary of every byte, a few merges, control and user-defined tokens.

    Keywords change keys of `tokenizer.ggml`; None removes one.
    """
    tokens = [*byte_alphabet(), *MERGED, *CONTROL, *USER_DEFINED]
    types = [TokenType.NORMAL] * (256 + len(MERGED))
    types += [TokenType.CONTROL] * len(CONTROL) + [TokenType.USER_DEFINED] * len(USER_DEFINED)
    values = {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tokens,
        "token_type": list(map(int, types)),
        "merges": MERGES,
        "bos_token_id": tokens.index("<s>"),
        "eos_token_id": tokens.index("<|im_end|>"),
        **changes,
    }
    return {f"tokenizer.ggml.{k}": v for k, v in values.items() if v is not None}


def small_tokenizer(**changes: Any) -> Tokenizer:
    return Tokenizer.from_metadata(small_metadata(**changes))


SMALL = small_tokenizer()


def names(tokens: Sequence[int], tokenizer: Tokenizer = SMALL) -> list[str]:
    return [tokenizer.token_name(token) for token in tokens]


@pytest.fixture(scope="session")
def metadata(model_path: Path) -> dict[str, Any]:
    return read_metadata(model_path)


@pytest.fixture(scope="session")
def tokenizer(metadata: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_metadata(metadata)


@pytest.fixture(scope="session")
def fixture() -> dict[str, Any]:
    return read_fixture(cases.BYTE_LEVEL_FIXTURE)


@pytest.fixture(scope="session")
def texts(fixture: dict[str, Any]) -> list[str]:
    return recorded_strings(fixture, cases.CONTROL_TOKENS)


# Equal to llama.cpp


@pytest.mark.parametrize("mode", ["plain", "special"])
def test_ids_equal_llama_cpp(
    tokenizer: Tokenizer, texts: list[str], fixture: dict[str, Any], mode: str
) -> None:
    assert len(texts) >= 10_000
    special = mode == "special"
    assert differences(tokenizer, texts, fixture[mode], parse_special=special) == []


@pytest.mark.parametrize("pre", cases.OTHER_PRES)
def test_every_scheme_equals_llama_cpp(
    metadata: dict[str, Any], texts: list[str], fixture: dict[str, Any], pre: str
) -> None:
    # Some schemes add BOS, which the file's own key forbids here.
    other = Tokenizer.from_metadata({**metadata, "tokenizer.ggml.pre": pre})
    some = texts[: cases.COUNT_OTHERS]
    assert differences(other, some, fixture[pre], parse_special=True) == []


@pytest.fixture(scope="session")
def boundaries() -> dict[str, Any]:
    return read_fixture(cases.BOUNDARIES_FIXTURE)


@cache
def boundary_metadata() -> dict[str, Any]:
    return boundary_vocabulary(cases.boundary_strings())


@cache
def boundary_digests(scheme: Scheme) -> list[str]:
    pre = next(name for name, named in SCHEMES.items() if named == scheme)
    tokenizer = Tokenizer.from_metadata({**boundary_metadata(), "tokenizer.ggml.pre": pre})
    return [cases.digest(tokenizer.encode(text)) for text in cases.boundary_strings()]


@pytest.mark.parametrize("pre", SCHEMES)
def test_every_scheme_cuts_where_llama_cpp_cuts(boundaries: dict[str, Any], pre: str) -> None:
    texts = cases.boundary_strings()
    assert strings_digest(texts) == boundaries["strings"]
    group, add_bos = boundaries["names"][pre]
    assert SCHEMES[pre].add_bos == add_bos
    expected = hexadecimals(boundaries["digests"][group])
    made = boundary_digests(SCHEMES[pre])
    assert [t for t, a, b in zip(texts, made, expected, strict=True) if a != b] == []


def test_user_defined_tokens_equal_llama_cpp(
    metadata: dict[str, Any], texts: list[str], fixture: dict[str, Any]
) -> None:
    tokens = metadata["tokenizer.ggml.tokens"]
    types = list(metadata["tokenizer.ggml.token_type"])
    for name in cases.USER_DEFINED:
        types[tokens.index(name)] = int(TokenType.USER_DEFINED)
    retyped = Tokenizer.from_metadata({**metadata, "tokenizer.ggml.token_type": types})
    some = [*cases.USER_DEFINED_STRINGS, *texts[: cases.COUNT_OTHERS]]
    assert differences(retyped, some, fixture["user-defined"], parse_special=False) == []


def test_every_text_without_missing_bytes_comes_back(
    tokenizer: Tokenizer, texts: list[str]
) -> None:
    whole = [t for t in texts if tokenizer.missing_bytes.isdisjoint(t.encode())]
    assert len(whole) > 8_000
    assert [tokenizer.decode(tokenizer.encode(text)) for text in whole] == whole


def test_the_default_model(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 49_152
    assert (tokenizer.bos, tokenizer.eos, tokenizer.add_bos) == (1, 2, False)
    assert names(sorted(tokenizer.stop_ids), tokenizer) == ["<|endoftext|>", "<|im_end|>"]
    assert tokenizer.missing_bytes >= {0x04, 0x06, 0xC0, 0xC1, 0xFF}
    assert tokenizer.encode_prompt("Hi") == tokenizer.encode("Hi")


# Encoding


def test_words_are_merged_by_rank() -> None:
    assert names(SMALL.encode("hello world")) == ["hello", "Ġw", "or", "l", "d"]
    assert SMALL.encode("") == []


def test_control_tokens_are_plain_text_unless_asked() -> None:
    plain = SMALL.encode("<s>hello<|im_end|>")
    assert not any(SMALL.token_type(token) == TokenType.CONTROL for token in plain)
    assert SMALL.decode(plain) == "<s>hello<|im_end|>"
    special = SMALL.encode("<s>hello<|im_end|>", parse_special=True)
    assert names(special) == ["<s>", "hello", "<|im_end|>"]


def test_user_defined_tokens_are_always_tokens() -> None:
    assert names(SMALL.encode("<think>hello</think>")) == ["<think>", "hello", "</think>"]


def test_a_whole_word_that_spells_a_control_token_is_still_merged_from_text() -> None:
    # "llama-bpe" takes a word that is in the vocabulary as it is.
    tokens = [*byte_alphabet(), "END"]
    types = [1] * 256 + [int(TokenType.CONTROL)]
    changed = small_tokenizer(
        pre="llama-bpe", tokens=tokens, token_type=types, merges=[], bos_token_id=256,
        eos_token_id=None,
    )  # fmt: skip
    assert names(changed.encode("END"), changed) == ["E", "N", "D"]


def test_whole_words_of_the_vocabulary_need_no_merges_where_the_scheme_says_so() -> None:
    assert names(SMALL.encode("orld")) == ["or", "l", "d"]
    changed = small_tokenizer(pre="llama-bpe")
    assert names(changed.encode("orld"), changed) == ["orld"]


def test_bos_is_added_once_and_only_where_wanted() -> None:
    wanting = small_tokenizer(add_bos_token=True)
    assert names(wanting.encode_prompt("hello")) == ["<s>", "hello"]
    assert names(wanting.encode_prompt("<s>hello", parse_special=True)) == ["<s>", "hello"]
    assert names(wanting.encode("hello")) == ["hello"]
    assert names(SMALL.encode_prompt("hello")) == ["hello"]


def test_llama_bpe_adds_bos_unless_the_file_says_no() -> None:
    assert small_tokenizer(pre="llama-bpe").add_bos
    assert not small_tokenizer(pre="llama-bpe", add_bos_token=False).add_bos


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UsageError, match="surrogate"):
        SMALL.encode("a\ud83d")


def test_arrays_may_be_numpy() -> None:
    metadata = small_metadata()
    types = np.array(metadata["tokenizer.ggml.token_type"], dtype=np.int32)
    tokenizer = Tokenizer.from_metadata({**metadata, "tokenizer.ggml.token_type": types})
    assert tokenizer.encode("hello") == SMALL.encode("hello")


# Decoding


@given(st.binary(max_size=40))
def test_decoding_is_pythons_own(data: bytes) -> None:
    assert SMALL.decode(bytes_to_tokens(data)) == data.decode(errors="replace")


def test_bytes_of_tokens() -> None:
    content = {name: SMALL.token_bytes(t) for t, name in enumerate(names(range(SMALL.vocab_size)))}
    assert [content[character] for character in byte_alphabet()] == [bytes([b]) for b in range(256)]
    assert content["Ġw"] == b" w"
    assert content["<|im_end|>"] == b""
    assert content["</think>"] == b"</think>"
    assert content["  "] == b"  "


def test_a_token_outside_the_byte_alphabet_stands_for_itself() -> None:
    metadata = small_metadata()
    tokens = [*metadata["tokenizer.ggml.tokens"], "語Ġ", "a b\u00a0"]
    types = [*metadata["tokenizer.ggml.token_type"], 1, 1]
    tokenizer = small_tokenizer(tokens=tokens, token_type=types)
    assert tokenizer.token_bytes(len(tokens) - 2) == "語Ġ".encode()
    assert tokenizer.token_bytes(len(tokens) - 1) == "a b\u00a0".encode()


@pytest.mark.parametrize("token", [-1, SMALL.vocab_size])
def test_ids_outside_the_vocabulary_are_refused(token: int) -> None:
    for ask in (SMALL.token_bytes, SMALL.token_name, SMALL.token_type):
        with pytest.raises(UsageError, match=f"{token} lies outside"):
            ask(token)
    with pytest.raises(UsageError, match=f"{token} lies outside"):
        TextStream(SMALL).push([token])


# Files that are not right


def test_stop_ids_come_from_keys_and_from_names() -> None:
    tokens = [*byte_alphabet(), "<eos>", "<|eot_id|>", "<|end|>", "<turn>", "<other>"]
    types = [1] * 256 + [3, 3, 4, 3, 3]
    changed = small_tokenizer(
        tokens=tokens, token_type=types, merges=[], eos_token_id=256, eot_token_id=259,
        bos_token_id=None,
    )  # fmt: skip
    assert names(sorted(changed.stop_ids), changed) == ["<eos>", "<|eot_id|>", "<|end|>", "<turn>"]
    # An end of turn is a control token even if the file calls it user-defined.
    assert changed.decode(changed.encode("<|end|>")) == "<|end|>"
    assert changed.encode("<|end|>", parse_special=True) == [258]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "no tokenizer.ggml.model"),
        ({"model": ["gpt2"]}, "tokenizer.ggml.model has to be a string, not list"),
        ({"model": "t5"}, "tokenizer.ggml.model is 't5'.*known: gpt2, llama"),
        ({"pre": None}, "no tokenizer.ggml.pre"),
        ({"pre": "new-one"}, "tokenizer.ggml.pre is 'new-one'.*smollm"),
        ({"tokens": None}, "no tokenizer.ggml.tokens"),
        ({"tokens": 7}, "tokenizer.ggml.tokens has to be an array of strings"),
        ({"tokens": "abc"}, "tokenizer.ggml.tokens has to be an array of strings"),
        ({"tokens": [1, 2]}, "tokenizer.ggml.tokens has to be an array of strings"),
        ({"tokens": ["a", "b", "a"]}, "tokenizer.ggml.tokens holds 'a' 2 times"),
        ({"tokens": ["a", "\udcff"]}, "tokenizer.ggml.tokens holds a string that is not UTF-8"),
        ({"token_type": None}, "no tokenizer.ggml.token_type"),
        ({"token_type": 1}, "tokenizer.ggml.token_type has to be an array of numbers"),
        ({"token_type": ["x"] * SMALL.vocab_size}, "token_type has to be an array of numbers"),
        ({"token_type": [1.5] * SMALL.vocab_size}, "tokenizer.ggml.token_type holds 1.5"),
        ({"token_type": [1, 1]}, "tokenizer.ggml.token_type has 2 entries"),
        ({"token_type": [9] * SMALL.vocab_size}, "tokenizer.ggml.token_type holds 9"),
        ({"merges": None}, "no tokenizer.ggml.merges"),
        ({"merges": ["h e", "x yz"]}, r"tokenizer.ggml.merges joins 'x' and 'yz' \(entry 1\)"),
        ({"merges": ["h x"]}, "tokenizer.ggml.merges joins 'h' and 'x'"),
        ({"merges": ["he"]}, "tokenizer.ggml.merges joins 'he' and ''"),
        ({"eos_token_id": SMALL.vocab_size}, "tokenizer.ggml.eos_token_id is"),
        ({"eos_token_id": "2"}, "tokenizer.ggml.eos_token_id is '2'"),
        ({"add_bos_token": "yes"}, "tokenizer.ggml.add_bos_token has to be true or false"),
        ({"padding_token_id": -1}, "tokenizer.ggml.padding_token_id is -1"),
        ({"add_bos_token": True, "bos_token_id": None}, "no tokenizer.ggml.bos_token_id"),
    ],
)
def test_inconsistent_files_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        small_tokenizer(**changes)


def test_merges_never_make_a_control_token() -> None:
    tokens = [*byte_alphabet(), "<s"]
    with pytest.raises(ModelFileError, match="joins '<' and 's'"):
        small_tokenizer(
            tokens=tokens, token_type=[1] * 256 + [3], merges=["< s"], bos_token_id=None,
            eos_token_id=None,
        )  # fmt: skip


# Chat templates


@cache
def chat(source: str | None) -> ChatTemplate:
    return ChatTemplate(source, bos_token="<s>", eos_token="<|im_end|>")


def test_the_default_models_template(metadata: dict[str, Any], tokenizer: Tokenizer) -> None:
    template = ChatTemplate.from_metadata(metadata)
    messages = [Message("system", "Be brief."), Message("user", "Hi")]
    expected = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert template.render(messages) == expected
    ids = encode_chat(tokenizer, template, messages)
    assert ids == tokenizer.encode(expected, parse_special=True)
    assert template.render(messages[1:]).startswith("<|im_start|>system\nYou are a helpful AI")


def test_a_partial_answer_is_continued_exactly() -> None:
    messages = [Message("user", "Count."), Message("assistant", " One, two, ")]
    rendered = chat(CHATML).render(messages, continue_last=True)
    assert rendered.endswith("<|im_start|>assistant\n One, two, ")
    ids = encode_chat(SMALL, chat(CHATML), messages, continue_last=True)
    assert ids == SMALL.encode(rendered, parse_special=True)


def test_a_partial_answer_may_be_empty_and_may_recur() -> None:
    messages = [Message("user", "Count."), Message("assistant", "")]
    rendered = chat(CHATML).render(messages, continue_last=True)
    assert rendered.endswith("<|im_start|>assistant\n")
    twice = chat("{{ messages[-1].content }}|{{ messages[-1].content }}!")
    assert twice.render([Message("assistant", "a")], continue_last=True) == "a|a"


def test_only_the_assistants_turn_is_continued() -> None:
    with pytest.raises(UsageError, match="ends with the assistant"):
        chat(CHATML).render([Message("user", "Hi")], continue_last=True)
    with pytest.raises(UsageError, match="cannot be continued"):
        chat("{{ messages | length }}").render([Message("assistant", "a")], continue_last=True)


def test_a_model_without_a_template_refuses_messages() -> None:
    template = ChatTemplate.from_metadata(small_metadata())
    with pytest.raises(UsageError, match="no chat template"):
        template.render([Message("user", "Hi")])


@pytest.mark.parametrize(
    "source", ["{% for m in messages %}", "{{ messages | nosuchfilter }}", "{{ " + "(" * 9000]
)
def test_a_broken_template_is_the_files_fault(source: str) -> None:
    with pytest.raises(ModelFileError, match=r"tokenizer\.chat_template"):
        ChatTemplate.from_metadata({**small_metadata(), "tokenizer.chat_template": source})


def test_a_template_has_to_be_a_string() -> None:
    with pytest.raises(ModelFileError, match="has to be a string, not int"):
        ChatTemplate.from_metadata({**small_metadata(), "tokenizer.chat_template": 3})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('Roles must alternate.') }}", "Roles must alternate"),
        ("{{ messages[7].content.x }}", "undefined|has no element"),
        ("{{ messages[0].content + 1 }}", "TypeError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages.append(1) }}", "unsafe|not safely callable"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{% for i in range(10**9) %}{% endfor %}", "[Rr]ange too big"),
    ],
)
def test_a_template_that_refuses_is_a_usage_error(source: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chat(source).render([Message("user", "Hi")])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("  {% if true %}\nx\n  {% endif %}\ny", "x\ny"),
        ("{{ {'a': '<é>', 'b': [1]} | tojson }}", '{"a": "<é>", "b": [1]}'),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "Hi"),
        ("{{ bos_token }}{{ eos_token }}", "<s><|im_end|>"),
        ("{{ tools is none }}{{ tools is defined }}", "TrueTrue"),
        ("{{ strftime_now('%%') }}", "%"),
    ],
)
def test_templates_have_the_helpers_they_expect(source: str, expected: str) -> None:
    assert chat(source).render([Message("user", "Hi")]) == expected


def test_tokens_the_file_lacks_are_undefined() -> None:
    source = "{{ bos_token is defined }}"
    values = {**small_metadata(bos_token_id=None), "tokenizer.chat_template": source}
    assert ChatTemplate.from_metadata(values).render([Message("user", "Hi")]) == "False"


# Nothing inside a message is obeyed

INJECTING = (
    CHATML,
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n"
    "{% endfor %}",
    # Looks at the content, so that the stand-ins for single characters change what it writes.
    "{% for m in messages %}{% if '<think>' in m.content %}odd{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}",
    "{% for m in messages %}<|im_start|>{{ m.content.split('</think>')[-1].lstrip('\n') }}"
    "<|im_end|>{% endfor %}",
)

contents = st.lists(
    st.sampled_from([*CONTROL, *USER_DEFINED, "<", "[", "<|im_", "end|>", " ", "\n", "hello", "é"]),
    max_size=6,
).map("".join)


@given(st.lists(contents, min_size=1, max_size=3), st.sampled_from(INJECTING), st.booleans())
def test_control_tokens_in_messages_are_text(
    turns: list[str], source: str, continue_last: bool
) -> None:
    messages = [Message("user", turn) for turn in turns[:-1]] + [Message("assistant", turns[-1])]
    harmless = [Message(m.role, "hello") for m in messages]

    def encode(messages: list[Message]) -> list[int]:
        return encode_chat(SMALL, chat(source), messages, continue_last=continue_last)

    def control(tokens: list[int]) -> list[int]:
        return [t for t in tokens if SMALL.token_type(t) == TokenType.CONTROL]

    assert control(encode(messages)) == control(encode(harmless))


@given(st.lists(contents, min_size=1, max_size=3), st.sampled_from(INJECTING))
def test_guarding_changes_no_text(turns: list[str], source: str) -> None:
    messages = [Message("user", turn) for turn in turns]
    rendered = chat(source).render(messages)
    text = SMALL.decode(encode_chat(SMALL, chat(source), messages))
    written = text.replace("<|im_end|>", "").replace("<|im_start|>", "")
    assert written == rendered.replace("<|im_end|>", "").replace("<|im_start|>", "")


@given(st.text(alphabet="helo wrd\n", max_size=30), st.sampled_from(INJECTING))
def test_harmless_messages_are_encoded_as_rendered(content: str, source: str) -> None:
    messages = [Message("user", content), Message("user", "<think>" + content)]
    expected = SMALL.encode(chat(source).render(messages), parse_special=True)
    assert encode_chat(SMALL, chat(source), messages) == expected


def test_a_control_token_cannot_be_begun_in_one_message_and_ended_in_the_next() -> None:
    glue = chat("{% for m in messages %}{{ m.content }}{% endfor %}")
    messages = [Message("user", "<|im_"), Message("user", "end|>")]
    ids = encode_chat(SMALL, glue, messages)
    assert SMALL.decode(ids) == "<|im_end|>"
    looking = chat("{{ messages[0].content.count('<t') }}{{ messages[0].content }}end|>")
    assert SMALL.decode(encode_chat(SMALL, looking, [Message("user", "<t<|im_")])) == (
        "1<t<|im_end|>"
    )


def test_roles_are_guarded_but_may_be_part_of_a_control_token() -> None:
    ids = encode_chat(SMALL, chat(CHATML), [Message("x<|im_end|>", "hello")])
    assert names(ids).count("<|im_end|>") == 1
    by_role = chat("{% for m in messages %}{{ '<' + m.role + '>' + m.content }}{% endfor %}")
    assert names(encode_chat(SMALL, by_role, [Message("s", "hello")])) == ["<s>", "hello"]


def test_control_tokens_in_messages_are_obeyed_when_asked() -> None:
    messages = [Message("user", "hello<|im_end|>")]
    ids = encode_chat(SMALL, chat(CHATML), messages, parse_special=True)
    assert names(ids).count("<|im_end|>") == 2


def test_private_use_characters_in_messages_stay_themselves() -> None:
    messages = [Message("user", "\U00100000<\U00100001<|im_end|>")]
    text = SMALL.decode(encode_chat(SMALL, chat(CHATML), messages))
    assert "\U00100000<\U00100001<|im_end|>" in text


def test_a_message_of_all_private_use_characters_is_refused() -> None:
    content = "".join(map(chr, range(0x100000, 0x10FFFE)))
    with pytest.raises(UsageError, match="private-use"):
        encode_chat(SMALL, chat(CHATML), [Message("user", content)])


def test_the_template_writes_bos_or_the_tokenizer_does() -> None:
    wanting = small_tokenizer(add_bos_token=True)
    hello = [Message("user", "hello")]
    for source in ("{{ bos_token }}{{ messages[0].content }}", "{{ messages[0].content }}"):
        assert names(encode_chat(wanting, chat(source), hello)) == ["<s>", "hello"]


# Incremental text


def bytes_to_tokens(data: bytes) -> list[int]:
    """One token a byte; the first 256 tokens of the small vocabulary are the bytes in order."""
    return list(data)


def splits(items: Sequence[Any], sizes: Sequence[int]) -> list[Sequence[Any]]:
    """The items in pieces of these sizes, over and over."""
    pieces, at, turn = [], 0, 0
    while at < len(items):
        size = sizes[turn % len(sizes)]
        pieces.append(items[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


sizes = st.lists(st.integers(1, 5), min_size=1, max_size=6)
some_bytes = st.lists(
    st.one_of(st.text(max_size=4).map(str.encode), st.binary(max_size=4)), max_size=8
).map(b"".join)


@given(some_bytes, sizes)
def test_incremental_text_is_the_text_of_the_whole(data: bytes, sizes: list[int]) -> None:
    text = IncrementalText(SMALL)
    pieces = [text.push(piece) for piece in splits(bytes_to_tokens(data), sizes)]
    assert "".join(pieces) + text.finish() == data.decode(errors="replace")


@given(st.text(max_size=20))
def test_a_character_appears_with_its_last_byte(expected: str) -> None:
    text = IncrementalText(SMALL)
    for character in expected:
        *first, last = bytes_to_tokens(character.encode())
        assert text.push(first) == ""
        assert text.push([last]) == character
    assert text.finish() == ""


# Stop strings


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the stop string that starts first starts."""
    return min((text.find(s) for s in stop if s in text), default=None)


def is_certain(text: str, stop: Sequence[str]) -> bool:
    """A stop string is in the text, and no other that began before it can still come."""
    start = first_stop(text, stop)
    return start is not None and not any(s.startswith(text[i:]) for i in range(start) for s in stop)


stop_strings = st.lists(st.text(alphabet="ab€", min_size=1, max_size=4), max_size=4)
few_letters = st.text(alphabet="ab€", max_size=30)


@given(few_letters, stop_strings, sizes)
def test_stop_strings_cut_where_the_whole_text_is_cut(
    text: str, stop: list[str], sizes: list[int]
) -> None:
    stops = StopStrings(stop)
    pieces = [stops.push(piece) for piece in splits(text, sizes)] + [stops.finish()]
    assert "".join(pieces) == text[: first_stop(text, stop)]
    assert stops.stopped == (first_stop(text, stop) is not None)


@given(few_letters, stop_strings, sizes)
def test_stop_strings_hold_back_no_more_than_they_must(
    text: str, stop: list[str], sizes: list[int]
) -> None:
    stops, seen, out = StopStrings(stop), "", ""
    for piece in splits(text, sizes):
        if stops.stopped:
            return
        seen += piece
        out += stops.push(piece)
        held = len(seen) - len(out)
        if held and not stops.stopped:
            assert any(s.startswith(seen[-held:]) for s in stop)


@given(few_letters, stop_strings, sizes)
def test_a_stream_ends_with_the_token_that_makes_the_stop_certain(
    text: str, stop: list[str], sizes: list[int]
) -> None:
    tokens = bytes_to_tokens(text.encode())
    prefixes = [bytes(tokens[:k]).decode(errors="ignore") for k in range(len(tokens) + 1)]
    certain = next((k for k, prefix in enumerate(prefixes) if is_certain(prefix, stop)), None)

    stream, out, kept = TextStream(SMALL, stop), "", 0
    for piece in splits(tokens, sizes):
        pushed = stream.push(piece)
        out += pushed.text
        kept += pushed.kept_tokens
        assert pushed.stopped == stream.stopped
        if pushed.stopped:
            break
    assert stream.stopped == (certain is not None)
    assert kept == (len(tokens) if certain is None else certain)
    out += stream.finish()
    assert out == text[: first_stop(text, stop)]
    assert stream.stopped == (first_stop(text, stop) is not None)


@given(some_bytes, st.lists(st.sampled_from(["\ufffd", "a", "\ufffd\ufffd"]), max_size=2), sizes)
def test_stop_strings_see_replacement_characters(
    data: bytes, stop: list[str], sizes: list[int]
) -> None:
    stream = TextStream(SMALL, stop)
    out = "".join(stream.push(piece).text for piece in splits(bytes_to_tokens(data), sizes))
    text = data.decode(errors="replace")
    assert out + stream.finish() == text[: first_stop(text, stop)]


def test_a_stop_string_over_token_borders() -> None:
    stream = TextStream(SMALL, ["\nUser:"])
    assert stream.push(SMALL.encode("hello\nUs")) == ("hello", False, 4)
    assert stream.push(SMALL.encode("er: hello")) == ("", True, 3)
    assert stream.push(SMALL.encode("hello")) == ("", True, 0)
    assert stream.finish() == ""


def test_held_text_comes_with_the_token_that_frees_it() -> None:
    stream = TextStream(SMALL, ["hello world"])
    assert stream.push(SMALL.encode("hello w")).text == ""
    assert stream.push(SMALL.encode("x")).text == "hello wx"
    assert stream.push(SMALL.encode("hell")).text == ""
    assert stream.finish() == "hell"
    assert not stream.stopped


def test_a_stop_that_waited_for_an_earlier_one_stands_at_the_end() -> None:
    stream = TextStream(SMALL, ["abcd", "bc"])
    assert stream.push(bytes_to_tokens(b"xabc")) == ("x", False, 4)
    assert stream.finish() == "a"
    assert stream.stopped


def test_control_tokens_bring_no_text() -> None:
    stream = TextStream(SMALL, ["<|im_end|>"])
    end = SMALL.encode("<|im_end|>", parse_special=True)
    assert stream.push([*SMALL.encode("hello"), *end]) == ("hello", False, 2)


@pytest.mark.parametrize("stop", ["ab", ("a", ""), (1,)])
def test_stop_has_to_be_strings(stop: Any) -> None:
    with pytest.raises(UsageError, match="stop has to be non-empty strings"):
        TextStream(SMALL, stop)
