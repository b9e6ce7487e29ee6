"""What has been said so far, and what ends within it."""

from __future__ import annotations

from collections.abc import Sequence

from outrider.text import StopStrings


def ends_in(before: str, text: str, wanted: Sequence[str]) -> bool:
    """Whether one of the wanted texts ends within a text, however much of it stands before."""
    return any(
        (before + text).find(each, max(0, len(before) - len(each) + 1)) >= 0 for each in wanted
    )


class Said:
    """The text, as far as it has been said, whoever wrote it.

    Attributes:
        tokens: that it has.
        thought: characters up to the end of the reasoning; None as long as that goes on.

    Args:
        stop: the text ends before the first of these.
        think_end: the text that ends the reasoning; empty for none.
        triggers: texts that may be looked for.
    """

    def __init__(self, stop: Sequence[str], think_end: str, triggers: Sequence[str]) -> None:
        self.tokens = 0
        self.thought: int | None = None
        self._stop = StopStrings(stop)
        self._think_end = think_end
        self._length = 0
        self._tail = ""
        self._kept = max(map(len, (*triggers, think_end)), default=1) - 1

    @property
    def tail(self) -> str:
        """Its end, within which a text that is looked for may begin."""
        return self._tail

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended it."""
        return self._stop.stopped

    def cut(self, text: str) -> str:
        """The end of another text, likewise."""
        return text[-self._kept :] if self._kept else ""

    def add(self, text: str, tokens: int, until: Sequence[str] = ()) -> tuple[str, bool]:
        """Go on.

        Args:
            text: more of it.
            tokens: that it has.
            until: texts to look for.

        Returns:
            What of the text is final, and whether one of the texts ends in it and the reasoning
            has not.
        """
        seen, found = self._tail + text, ends_in(self._tail, text, until)
        if self.thought is None and self._think_end and self._think_end in seen:
            end = seen.index(self._think_end) + len(self._think_end)
            self.thought = self._length - len(self._tail) + end
        self.tokens += tokens
        self._length += len(text)
        self._tail = self.cut(seen)
        return self._stop.push(text), found and self.thought is None

    def finish(self) -> str:
        """What was held back, now that nothing more comes."""
        return self._stop.finish()
