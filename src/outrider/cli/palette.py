"""How a drafter's tokens look."""

from __future__ import annotations

from collections import deque
from string import ascii_letters
from typing import Final

COLOURS: Final = {
    "ngram": "cyan",
    "suffix": "green",
    "recycle": "yellow",
    "model": "magenta",
    "early_exit": "blue",
    "quantized": "red",
}
OTHERS: Final = ("bright_green", "bright_magenta", "bright_cyan", "bright_red", "bright_yellow")
"""Colours of drafters that are not ours, in the order in which they turn up."""


class Palette:
    """Shows a drafter's tokens: in its colour, or where there are none, between marks.

    Args:
        colours: whether there are.
    """

    def __init__(self, colours: bool) -> None:
        self.colours = colours
        self._letters: dict[str, str] = {}
        self._free = deque(OTHERS)
        self._found: dict[str, str] = {}

    def colour(self, drafter: str) -> str | None:
        """A drafter's colour; None where there are none."""
        if not self.colours:
            return None
        if drafter not in COLOURS and drafter not in self._found:
            self._found[drafter] = self._free[0]
            self._free.rotate(-1)
        return COLOURS.get(drafter) or self._found[drafter]

    def letter(self, drafter: str) -> str:
        """The letter of a drafter's marks: the first of its name that no other has, or another."""
        if drafter not in self._letters:
            free = (c for c in drafter + ascii_letters if c not in self._letters.values())
            self._letters[drafter] = next(free, drafter)
        return self._letters[drafter]

    def marked(self, drafter: str, text: str) -> str:
        """The text between a drafter's marks."""
        return f"[{self.letter(drafter)}|{text}]"
