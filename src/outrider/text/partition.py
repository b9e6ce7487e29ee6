"""Finding tokens that are spelled out in a text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping


class NamedTokens:
    """Tokens that a text is cut at, wherever it has their names.

    Attributes:
        names: of the tokens.
    """

    def __init__(self, tokens: Mapping[str, int]) -> None:
        """Index the names.

        Args:
            tokens: names and ids; an empty name is never found.
        """
        # Longest in bytes first, in the order given among equals.
        names = sorted(filter(None, tokens), key=lambda name: len(name.encode()), reverse=True)
        self.names = frozenset(names)
        self._tokens = tokens
        self._order = {name: place for place, name in enumerate(names)}
        self._by_first: dict[str, list[str]] = defaultdict(list)
        for name in names:
            self._by_first[name[0]].append(name)
        self._lengths = {
            first: sorted({len(name) for name in group}) for first, group in self._by_first.items()
        }

    def cut(self, text: str) -> list[str | int]:
        """The text as an alternation of stretches without names and ids of tokens.

        Names take their places longest first, so that of two that overlap the longer is found,
        wherever it starts.
        """
        pieces: list[str | int] = [text] if text else []
        for name in sorted(self._found(text), key=self._order.__getitem__):
            token = self._tokens[name]
            pieces = [part for piece in pieces for part in _cut(piece, name, token)]
        return pieces

    def _found(self, text: str) -> set[str]:
        """The names that stand in the text.

        There may be thousands of names and few places where one can begin, or the other way
        round; whichever is fewer is gone through.
        """
        found = set[str]()
        for first, group in self._by_first.items():
            lengths = self._lengths[first]
            if text.count(first) * len(lengths) > len(group):
                found.update(name for name in group if name in text)
                continue
            start = text.find(first)
            while start >= 0:
                found.update(text[start : start + length] for length in lengths)
                start = text.find(first, start + 1)
        return found & self.names


def _cut(piece: str | int, name: str, token: int) -> Iterator[str | int]:
    if isinstance(piece, int):
        yield piece
        return
    first, *rest = piece.split(name)
    if first:
        yield first
    for part in rest:
        yield token
        if part:
            yield part
