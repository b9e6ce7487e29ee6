"""The desk at which two models write one text: what is said, kept and rejected.

A policy says who writes what; the desk does it and counts it. The small model's stream
stays open while nobody else writes: its paragraphs and the probes between them are read from one
answer, so a probe that is kept costs nothing and is generated once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from outrider.errors import OutriderError
from outrider.strategies.thinking.authors import Author
from outrider.strategies.thinking.config import ThinkingConfig
from outrider.strategies.thinking.grades import digits, read_grade
from outrider.strategies.thinking.record import (
    Decision,
    EndedBy,
    ThinkingEvent,
    ThinkingRecord,
    Written,
)
from outrider.strategies.thinking.rule import Why
from outrider.strategies.thinking.said import Said, ends_in
from outrider.strategies.thinking.transcript import Atom, Text, whole
from outrider.strategies.thinking.turns import OverError, Turns
from outrider.types import Sampling

Events = Iterator[ThinkingEvent]


@dataclass(slots=True)
class Draft:
    """What a model has written that may yet be rejected.

    Attributes:
        author: the model.
        why: what it is for.
        atoms: as they came.
        nominal: how many there were to be at most.
        ended: the model has ended the text with it.
    """

    author: Author
    why: Why
    nominal: int
    atoms: list[Atom] = field(default_factory=list)
    ended: bool = False

    @property
    def piece(self) -> Text:
        """The text with its tokens."""
        piece = Text()
        for atom in self.atoms:
            piece.add(atom)
        return piece

    @property
    def text(self) -> str:
        """The text."""
        return "".join(atom.text for atom in self.atoms)


class Desk:
    """Where the text is written.

    Attributes:
        record: what has been done.
        closer: the model that ended the reasoning.

    Args:
        small: the small model.
        large: the large one.
        config: how they think together.
        max_tokens: of the whole text; None takes what both contexts leave.
        stop: the text ends before the first of these strings.
    """

    def __init__(
        self,
        small: Author,
        large: Author,
        config: ThinkingConfig,
        *,
        max_tokens: int | None,
        stop: Sequence[str] = (),
    ) -> None:
        self.small = small
        self.large = large
        self.config = config
        self.record = ThinkingRecord(config.policy, small=small.work, large=large.work)
        self.closer = small
        self._said = Said(stop, config.think_end, config.triggers)
        self._turns = Turns(small, large, self.record, self._said, max_tokens)

    @property
    def thought(self) -> bool:
        """Whether the reasoning has ended."""
        return self._said.thought is not None

    # ------------------------------------------------------------------------- for the policy

    def write(
        self, author: Author, why: Why, tokens: int | None = None, until: Sequence[str] = ()
    ) -> Generator[ThinkingEvent, None, Text]:
        """A model goes on, and what it writes is said as it comes.

        Args:
            author: the model.
            why: what it is for.
            tokens: at most; None goes on to the end of the text.
            until: texts behind which the stretch ends, unless the reasoning has.

        Returns:
            The stretch.

        Raises:
            OverError: the text is at its end.
        """
        pen = self._turns.hand(author, tokens)
        piece = Text()
        ended = False
        try:
            for atom in self._turns.read(pen, tokens):
                piece.add(atom)
                if (yield from self._say(author, why, atom, until)):
                    break
            ended = pen.ended is not None and not pen.waiting
        finally:
            self._keep(author, why, piece, 0 if until or tokens is None else tokens)
        if ended:
            self._turns.finish(pen, author, bounded=tokens is not None and piece.count >= tokens)
        return piece

    def draft(self, author: Author, why: Why, tokens: int, until: Sequence[str] = ()) -> Draft:
        """A model goes on, and nothing of it is said yet.

        Raises:
            OverError: the text is at its end.
        """
        pen = self._turns.hand(author, tokens if author is self.large else None)
        draft = Draft(author, why, tokens)
        tail = self._said.tail
        for atom in self._turns.read(pen, tokens):
            draft.atoms.append(atom)
            if ends_in(tail, atom.text, until):
                break
            tail = self._said.cut(tail + atom.text)
        if pen.ended is not None and not pen.waiting:
            draft.ended = pen.ended == "stop"
            if pen.ended == "error":
                self._turns.finish(pen, author, bounded=False)
        return draft

    def take(self, draft: Draft, until: Sequence[str] = ()) -> Generator[ThinkingEvent, None, bool]:
        """A draft stands.

        Args:
            draft: it.
            until: only up to the first of these texts, where its author still has the pen: the
                rest is read again.

        Returns:
            Whether one of them ends it.

        Raises:
            OverError: the text is at its end.
        """
        author, pen = draft.author, draft.author.pen
        piece, found = Text(), False
        atoms = list(draft.atoms)
        try:
            while atoms and not found:
                atom = atoms.pop(0)
                piece.add(atom)
                wanted = until if pen is not None else ()
                found = yield from self._say(author, draft.why, atom, wanted)
        finally:
            if pen is not None:
                pen.unread(atoms)
            self._keep(author, draft.why, piece, draft.nominal)
        if draft.ended and not atoms:
            self._turns.end("stop")
        return found

    def drop(self, draft: Draft) -> None:
        """A draft is rejected; its author's stream, which goes on from it, ends."""
        draft.author.put_down()
        draft.author.work.rejected_tokens += draft.piece.count

    def insert(self, words: str, why: Why) -> Events:
        """Fixed words that neither model has chosen."""
        tokenizer = self.small.tokenizer or self.large.tokenizer
        count = len(tokenizer.encode(words, continues=True)) if tokenizer is not None else 0
        piece = Text(words, [], count)
        self.record.stretches.append(Written("inserted", why, words, count))
        for author in (self.small, self.large):
            author.hear(piece)
        text, _ = self._said.add(words, count)
        yield ThinkingEvent(text=text, author="inserted", why=why)
        if self._said.stopped:
            self._turns.end("stop")

    def grade(self, draft: Draft) -> int:
        """The large model's grade of a draft, 0 to 9: the single token it writes behind it.

        A model that runs here can only answer with a digit; a server that answers otherwise has
        given 0.

        Raises:
            OverError: the text is at its end.
            UsageError: the large model has no token for some digit.
        """
        self.small.put_down()
        transcript = self.large.transcript.copy()
        transcript.append_foreign(draft.piece, same_ids=self.large.same_ids)
        transcript.append_foreign(Text(self.config.grade_prompt), same_ids=False)
        constraint = None if self.large.tokenizer is None else digits(self.large.tokenizer)
        pen = self.large.ask(
            transcript, max_tokens=1, sampling=Sampling(), stop=(), constraint=constraint
        )
        try:
            atoms = list(self._turns.read(pen, 1))
            text = "".join(atom.text for atom in atoms)
            self.large.work.rejected_tokens += sum(atom.count for atom in atoms)
        finally:
            self.large.work.rejected_tokens += pen.close()
        if pen.ended == "error":
            self._turns.finish(pen, self.large, bounded=False)
        return read_grade(text)

    def consulted(
        self,
        draft: Draft,
        *,
        taken: Author,
        large: str | None = None,
        grade: int | None = None,
    ) -> None:
        """Note what the large model was asked, and what came of it."""
        self.record.validations += 1
        at = self.record.tokens()
        self.record.decisions.append(Decision(at, draft.text, large, grade, taken.name))

    # --------------------------------------------------------------------------- for the stream

    def run(self, work: Events) -> Events:
        """What a policy does, and at last how it ended.

        Args:
            work: the policy at this desk.

        Raises:
            OutriderError: a model refuses or fails before anything is said.
        """
        start = time.perf_counter()
        first_token, timer = 0.0, None
        if self.config.time_out is not None:
            timer = threading.Timer(self.config.time_out, self.interrupt, ["time_out"])
            timer.daemon = True
            timer.start()
        try:
            for event in work:
                first_token = first_token or (time.perf_counter() - start) * 1000
                yield event
        except OverError:
            pass
        except OutriderError as error:
            if not self.record.stretches:
                raise
            self.record.ended_by, self.record.error = "error", str(error)
        finally:
            if timer is not None:
                timer.cancel()
            self.small.put_down()
            self.large.put_down()
            self.record.seconds = time.perf_counter() - start
        yield self._last(first_token)

    def interrupt(self, why: EndedBy = "cancelled") -> None:
        """End the text where it is, from any thread."""
        self._turns.interrupt(why)

    # ------------------------------------------------------------------------------------ inside

    def _say(
        self, author: Author, why: Why, atom: Atom, until: Sequence[str]
    ) -> Generator[ThinkingEvent, None, bool]:
        """Say an atom; whether one of the texts ends in it, and the reasoning has not."""
        reasons = not self.thought
        text, found = self._said.add(atom.text, atom.count, until)
        if reasons and self.thought:
            self.closer, self.record.thought = author, self._said.thought
        tokens = () if atom.token is None else (atom.token,)
        if text or tokens:
            yield ThinkingEvent(
                text=text, tokens=tokens, origins=(None,) * len(tokens), author=author.name, why=why
            )
        if self._said.stopped:
            self._turns.end("stop")
        return found

    def _keep(self, author: Author, why: Why, piece: Text, nominal: int) -> None:
        """What was said becomes part of the text, for both models."""
        if author.pen is None or author.pen.ended is not None:
            piece = whole(piece, author.tokenizer)
        if not piece.count and not piece.text:
            return
        self.record.stretches.append(Written(author.name, why, piece.text, piece.count, nominal))
        author.transcript.append_own(piece)
        (self.large if author is self.small else self.small).hear(piece)

    def _last(self, first_token_ms: float) -> ThinkingEvent:
        return ThinkingEvent(
            text=self._said.finish(),
            finish_reason=self.record.finish_reason,
            error=self.record.error,
            usage=self.record.usage(first_token_ms),
        )
