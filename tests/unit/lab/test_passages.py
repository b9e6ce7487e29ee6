"""Texts of our own, and documents of a given length made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab.toy_model import Letters

from outrider.errors import UsageError
from outrider.lab.passages import Passage, document, read_passages

TEXTS = (Passage("a", "abcabc"), Passage("b", "xyz"), Passage("c", "KLMN"))


def test_there_are_passages_of_at_least_13_kinds() -> None:
    passages = read_passages()

    assert len({passage.kind for passage in passages}) >= 13
    assert all(len(passage.text) > 200 for passage in passages)


@pytest.mark.parametrize("length", [1, 5, 8, 40, 200])
def test_a_document_has_as_many_tokens_as_asked_for(length: int) -> None:
    text = document(Letters(), TEXTS, length, 0)

    assert len(Letters().encode(text)) == length


def test_documents_begin_with_the_passage_of_their_number() -> None:
    assert document(Letters(), TEXTS, 6, 0).startswith("abcabc")
    assert document(Letters(), TEXTS, 4, 2).startswith("KLMN")
    assert document(Letters(), TEXTS, 4, 5) == document(Letters(), TEXTS, 4, 2)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The file of passages .*none.jsonl cannot be read"):
        read_passages(tmp_path / "none.jsonl")
