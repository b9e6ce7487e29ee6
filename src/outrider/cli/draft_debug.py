"""`--draft-debug`: how much of each draft was accepted, a line a pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from outrider.cli.output import AnswerWriter, note

if TYPE_CHECKING:
    from outrider.types import Completion, Event


def draft_line(event: Event) -> str | None:
    """What a pass made of a completion's draft; None where it had none."""
    if not event.draft_tokens:
        return None
    accepted = sum(origin is not None for origin in event.origins)
    share = accepted / event.draft_tokens
    return f"draft: accepted {accepted}/{event.draft_tokens} tokens ({share:.1%})"


class DraftDebug:
    """`--draft-debug`: a line on standard error for each draft, when its pass has judged it.

    Args:
        on: False says nothing.
    """

    def __init__(self, on: bool) -> None:
        self._on = on

    def take(self, event: Event, writer: AnswerWriter | None = None) -> None:
        """Tell of the pass that an event came from; `writer` is what writes the answer."""
        line = draft_line(event) if self._on else None
        if line is not None and writer is not None:
            writer.aside(line)
        elif line is not None:
            note(line)

    def finish(self, completions: Sequence[Completion]) -> None:
        """Say why there was no line, where there was none."""
        usages = [choice.usage for done in completions for choice in done.choices]
        if self._on and usages and not any(usage.draft_tokens for usage in usages):
            note(f"draft: nothing was drafted: {why_nothing(completions)}")


def why_nothing(completions: Sequence[Completion]) -> str:
    """Why no draft was verified."""
    for completion in completions:
        if completion.record["why_plain"] is not None:
            return str(completion.record["why_plain"])
        for choice in completion.choices:
            if choice.usage.note is not None:
                return choice.usage.note
    return "no draft was worth its rows"
