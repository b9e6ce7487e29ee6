"""What came of thinking with two models: who wrote what, what was rejected, and what it took."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from outrider.strategies.thinking.authors import Work
from outrider.strategies.thinking.rule import Author, Why
from outrider.types import Event, FinishReason, Usage, summed

EndedBy = Literal["stop", "length", "time_out", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class ThinkingEvent(Event):
    """A piece of the answer with its author.

    Attributes:
        author: who wrote it; None on the last event, which only says how it ended.
        why: what the stretch is for, of which this is a piece.
    """

    author: Author | None = None
    why: Why | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A stretch of the answer.

    Attributes:
        author: who wrote it.
        why: what it is for.
        text: of it.
        tokens: that it has, in its author's tokens.
        nominal: tokens that it was to have at most; 0 where there was no such number.
    """

    author: Author
    why: Why
    text: str
    tokens: int
    nominal: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What the large model was asked about something that the small one wrote.

    Attributes:
        at: tokens of the answer before it.
        small: what the small model wrote.
        large: the large model's own version, where it wrote one.
        grade: its grade, where it gave one.
        taken: whose version stands.
    """

    at: int
    small: str
    large: str | None
    grade: int | None
    taken: Author


@dataclass(slots=True)
class ThinkingRecord:
    """Counters of one answer; rates are derived.

    Attributes:
        policy: that decided who writes.
        stretches: the answer, in order, as it was written: a stop string is in the last of them,
            and in no text.
        decisions: where the large model was asked, in order.
        validations: how often it was called: to write, or to grade.
        small: what the small model did.
        large: what the large one did.
        seconds: from the question to the end.
        ended_by: why the answer ends.
        thought: characters of the answer up to the end of the reasoning; None where that was not
            reached.
        error: what went wrong, where that is why.
        notes: what was not as asked.
    """

    policy: str
    stretches: list[Written] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    validations: int = 0
    small: Work = field(default_factory=Work)
    large: Work = field(default_factory=Work)
    seconds: float = 0.0
    ended_by: EndedBy = "cancelled"
    thought: int | None = None
    error: str | None = None
    notes: list[str] = field(default_factory=list)

    def tokens(self, author: Author | None = None) -> int:
        """Tokens of the answer, by one author or by all, each in its own."""
        return sum(s.tokens for s in self.stretches if author in (None, s.author))

    @property
    def large_ratio(self) -> float:
        """The share of the answer's tokens that the large model wrote, as counted."""
        total = self.tokens()
        return self.tokens("large") / total if total else 0.0

    @property
    def nominal_large_tokens(self) -> int:
        """The large model's tokens with each stretch as long as it was to be at most.

        This is how the published benchmark counts; it overstates stretches that ended early.
        """
        return sum(s.nominal or s.tokens for s in self.stretches if s.author == "large")

    @property
    def nominal_large_ratio(self) -> float:
        """Their share of the answer's tokens."""
        total = self.tokens()
        return self.nominal_large_tokens / total if total else 0.0

    @property
    def rejected_share(self) -> float:
        """The share of all tokens generated, by either model, that are not in the answer."""
        generated = self.small.tokens + self.large.tokens
        rejected = self.small.rejected_tokens + self.large.rejected_tokens
        return rejected / generated if generated else 0.0

    @property
    def orchestration_seconds(self) -> float:
        """What is in `seconds` beside waiting for either model."""
        return self.seconds - self.small.seconds - self.large.seconds

    @property
    def finish_reason(self) -> FinishReason:
        """Why the answer ends, in the words of every generator."""
        return "cancelled" if self.ended_by == "time_out" else self.ended_by

    def usage(self, first_token_ms: float) -> Usage:
        """The counters of both models, with the times of the whole.

        Args:
            first_token_ms: from the question to the first piece of the answer.
        """
        total = self.seconds * 1000
        return replace(
            summed((self.small.usage, self.large.usage)),
            completion_tokens=self.tokens(),
            first_token_ms=first_token_ms,
            decode_ms=total - first_token_ms,
            total_ms=total,
        )

    def record(self) -> dict[str, Any]:
        """Counters and derived rates, as JSON takes them."""
        return {
            **asdict(self),
            "tokens": {a: self.tokens(a) for a in ("small", "large", "inserted")},
            "total_tokens": self.tokens(),
            "large_ratio": self.large_ratio,
            "nominal_large_ratio": self.nominal_large_ratio,
            "rejected_share": self.rejected_share,
            "orchestration_seconds": self.orchestration_seconds,
        }
