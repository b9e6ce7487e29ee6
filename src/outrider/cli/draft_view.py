"""`--show-drafts`: each token in the colour of the drafter that proposed it."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import groupby

import typer

from outrider.cli.acceptance import picture
from outrider.cli.draft_debug import DraftDebug, why_nothing
from outrider.cli.output import AnswerWriter, has_colours
from outrider.cli.palette import Palette
from outrider.text import IncrementalText, Tokenizer
from outrider.types import Completion, Event, summed

Part = tuple[str, str | None]
"""A piece of text and the drafter that proposed it; None for the model's own."""


class Origins:
    """Tells which part of an answer's text came from where.

    The text of an event may lag behind its tokens, so the tokens are turned into text once more,
    one by one, and dealt out as the answer's text comes.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._text = IncrementalText(tokenizer)
        self._ahead: deque[Part] = deque()

    def take(self, event: Event) -> list[Part]:
        """The text of the next event, in parts."""
        for token, origin in zip(event.tokens, event.origins, strict=True):
            self._ahead.append((self._text.push((token,)), origin))
        if event.finish_reason is not None:
            self._ahead.append((self._text.finish(), None))
        parts, left = [], len(event.text)
        while left:
            text, origin = self._ahead.popleft()
            if len(text) > left:
                self._ahead.appendleft((text[left:], origin))
            parts.append((text[:left], origin))
            left -= len(parts[-1][0])
        return parts


class DraftView:
    """Answers as they come, with what `--draft-debug` and `--show-drafts` add to them.

    Args:
        tokenizer: the model's.
        debug: say how much of each draft was accepted.
        show: show where each token came from, and at the end what drafting brought.
    """

    def __init__(self, tokenizer: Tokenizer, *, debug: bool, show: bool) -> None:
        self._tokenizer = tokenizer
        self._debug = DraftDebug(debug)
        self._shows = show
        self._palette = Palette(show and has_colours())
        self._origins: dict[int, Origins] = {}
        self._kept: dict[int, list[Part]] = {}
        self._sources: Counter[str | None] = Counter()

    def take(self, event: Event, writer: AnswerWriter | None = None) -> None:
        """An event of the answer; without a writer its text is kept for `write_kept`."""
        parts = self._parts(event) if self._shows else [(event.text, None)]
        if writer is None:
            self._kept.setdefault(event.index, []).extend(parts)
        else:
            self._write(writer, parts)
        self._debug.take(event, writer)

    def write_kept(self, index: int) -> None:
        """The text of an answer's completion that has come; the next answer may follow."""
        writer = AnswerWriter()
        self._write(writer, self._kept.pop(index))
        writer.finish()

    def finish(self, completions: Sequence[Completion]) -> None:
        """What drafting brought to all answers."""
        self._debug.finish(completions)
        if not self._shows:
            return
        usage = summed(choice.usage for done in completions for choice in done.choices)
        typer.echo()
        if not usage.draft_tokens:
            typer.echo(f"nothing was drafted: {why_nothing(completions)}")
            return
        block = "█" if "utf" in (sys.stdout.encoding or "").lower() else "#"
        for line in picture(usage, self._sources, self._palette, block=block):
            sys.stdout.write(f"{line}\n")

    def _parts(self, event: Event) -> list[Part]:
        self._sources.update(event.origins)
        origins = self._origins.setdefault(event.index, Origins(self._tokenizer))
        if event.finish_reason is not None:
            del self._origins[event.index]
        return origins.take(event)

    def _write(self, writer: AnswerWriter, parts: Iterable[Part]) -> None:
        for origin, group in groupby(parts, key=lambda part: part[1]):
            text = "".join(text for text, _ in group)
            if origin is None or not text:
                writer.write(text)
            elif self._palette.colours:
                writer.write(text, self._palette.colour(origin))
            else:
                writer.write(self._palette.marked(origin, text))
