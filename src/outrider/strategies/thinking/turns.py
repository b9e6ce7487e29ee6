"""Whose turn it is to write, how far, and what ends the text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from outrider.strategies.thinking.authors import Author, Pen
from outrider.strategies.thinking.record import EndedBy, ThinkingRecord
from outrider.strategies.thinking.said import Said
from outrider.strategies.thinking.transcript import Atom


class OverError(Exception):
    """The text is at its end; the record says why."""


class Turns:
    """Hands the pen to one model at a time, and ends the text when its time has come.

    Args:
        small: the small model.
        large: the large one.
        record: is told why the text ends.
        said: the text so far.
        max_tokens: of the whole text; None takes what both contexts leave.
    """

    def __init__(
        self,
        small: Author,
        large: Author,
        record: ThinkingRecord,
        said: Said,
        max_tokens: int | None,
    ) -> None:
        self._small, self._large = small, large
        self._record, self._said = record, said
        self._max_tokens = max_tokens
        self._active: Pen | None = None
        self._interrupted: EndedBy | None = None

    def hand(self, author: Author, tokens: int | None) -> Pen:
        """The author's pen; the other's is put down, since two engines share one machine.

        Args:
            author: the model.
            tokens: that it may write at most; None as far as the text may go.

        Raises:
            OverError: no token may be written any more.
        """
        (self._large if author is self._small else self._small).put_down()
        if author.pen is not None and author.pen.ended is not None and not author.pen.waiting:
            author.put_down()
        limits = [n for n in (tokens, author.room(), self._left()) if n is not None]
        if limits and min(limits) < 1:
            self.end("length")
        if author.pen is None:
            author.pen = author.ask(author.transcript, max_tokens=min(limits) if limits else None)
        return author.pen

    def read(self, pen: Pen, tokens: int | None) -> Iterator[Atom]:
        """Atoms as they come, up to so many tokens, or to what may still be said.

        Raises:
            OverError: the text was interrupted.
        """
        limit = min(n for n in (tokens, self._left(), 2**63) if n is not None)
        count = 0
        self._active = pen
        try:
            while count < limit:
                self._check()
                atom = pen.read()
                self._check()
                if atom is None:
                    return
                count += atom.count
                yield atom
            pen.hear_end()
        finally:
            self._active = None

    def interrupt(self, why: EndedBy) -> None:
        """End the text where it is, from any thread."""
        self._interrupted = self._interrupted or why
        pen = self._active
        if pen is not None:
            pen.cancel()

    def finish(self, pen: Pen, author: Author, *, bounded: bool) -> None:
        """A model has come to its end: so has the text, unless it was to write no more.

        Raises:
            OverError: the text has ended.
        """
        if pen.ended == "error":
            self._record.error = f"The {author.name} model: {pen.error}"
            self.end("error")
        elif pen.ended == "stop":
            self.end("stop")
        elif pen.ended == "cancelled":
            self.end(self._interrupted or "cancelled")
        elif not bounded:
            self.end("length")

    def end(self, why: EndedBy) -> NoReturn:
        """End the text.

        Raises:
            OverError: always.
        """
        self._record.ended_by = why
        raise OverError

    def _left(self) -> int | None:
        """Tokens that may still be said; None where nothing limits them."""
        return None if self._max_tokens is None else self._max_tokens - self._said.tokens

    def _check(self) -> None:
        if self._interrupted is not None:
            self.end(self._interrupted)
