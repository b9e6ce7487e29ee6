"""Text as it streams: whole characters only, and nothing of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from outrider.errors import UsageError
from outrider.text.tokenizer import Tokenizer

_Utf8Decoder = codecs.getincrementaldecoder("utf-8")


class IncrementalText:
    """Turns tokens into text without ever splitting a character.

    Bytes that cannot become a character turn into U+FFFD, just as Python decodes the whole with
    errors="replace".
    """

    def __init__(self, tokenizer: Tokenizer, *, continues: bool = True) -> None:
        """Start a text.

        Args:
            tokenizer: whose tokens come.
            continues: as in `Tokenizer.decode`; what a model writes goes on from its prompt.
        """
        self._token_bytes = tokenizer.token_bytes
        self._decoder = _Utf8Decoder(errors="replace")
        self._drops_space = tokenizer.space_prefix and not continues

    def push(self, tokens: Iterable[int]) -> str:
        """The characters that these tokens complete.

        Raises:
            UsageError: an id outside the vocabulary.
        """
        pieces = list(map(self._token_bytes, tokens))
        if self._drops_space and pieces:
            pieces[0] = pieces[0].removeprefix(b" ")
            self._drops_space = False
        return self._decoder.decode(b"".join(pieces))

    def finish(self) -> str:
        """What an unfinished character leaves: U+FFFD, or nothing."""
        return self._decoder.decode(b"", final=True)


class StopStrings:
    """Lets text through up to the first stop string.

    The stop string that starts first in the whole text wins, however the text arrives in pieces.
    Text that may turn out to belong to a stop string is held back.

    Attributes:
        stopped: a stop string was found; all text from its start on is dropped.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        if isinstance(stop, str) or not all(isinstance(s, str) and s for s in stop):
            raise UsageError(f"stop has to be non-empty strings, not {stop!r}.")
        self.stopped = False
        self._stop = tuple(dict.fromkeys(stop))
        self._first_characters = tuple({s[0] for s in self._stop})
        self._held = ""

    def push(self, text: str) -> str:
        """The text that is now final."""
        if self.stopped:
            return ""
        held = self._held + text
        for character in self._first_characters:
            if character in held:
                break
        else:
            self._held = ""
            return held
        match, beginning = self._first_match(held), self._first_beginning(held)
        # A stop string that began before the match may still be completed, and would win.
        self.stopped = match <= beginning and match < len(held)
        final = min(match, beginning)
        self._held = "" if self.stopped else held[final:]
        return held[:final]

    def finish(self) -> str:
        """The text that was held back and, now that no more comes, is final."""
        held, self._held = self._held, ""
        match = self._first_match(held)
        self.stopped = self.stopped or match < len(held)
        return held[:match]

    def _first_match(self, text: str) -> int:
        """Where the first whole stop string starts; the text's length if there is none."""
        found = (text.find(stop) for stop in self._stop)
        return min((start for start in found if start >= 0), default=len(text))

    def _first_beginning(self, text: str) -> int:
        """Where the text's end first is a proper beginning of a stop string; else its length."""
        longest = 0
        for stop in self._stop:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return len(text) - longest


class TextPiece(NamedTuple):
    """What some tokens brought.

    Attributes:
        text: text that is final.
        stopped: a stop string was found.
        kept_tokens: how many of the pushed tokens it took until the stop string was certain, all
            of them where none was found.
    """

    text: str
    stopped: bool
    kept_tokens: int


class TextStream:
    """Incremental text that ends before the first stop string.

    Where stop strings overlap, one that is complete has to wait while another that began before
    it may still be completed; the tokens of that wait count as kept.

    Attributes:
        stopped: a stop string was found.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._text = IncrementalText(tokenizer)
        self._stop = StopStrings(stop)
        self._stops = bool(stop)

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self._stop.stopped

    def push(self, tokens: Sequence[int]) -> TextPiece:
        """The text that these tokens make final; nothing once a stop string was found.

        Raises:
            UsageError: an id outside the vocabulary.
        """
        if not self._stops:
            return TextPiece(self._text.push(tokens), False, len(tokens))
        if self._stop.stopped:
            return TextPiece("", True, 0)
        text = ""
        for kept, token in enumerate(tokens, start=1):
            text += self._stop.push(self._text.push((token,)))
            if self._stop.stopped:
                return TextPiece(text, True, kept)
        return TextPiece(text, False, len(tokens))

    def finish(self) -> str:
        """The rest of the text, now that no more tokens come; may set `stopped`."""
        if self._stop.stopped:
            return ""
        return self._stop.push(self._text.finish()) + self._stop.finish()
