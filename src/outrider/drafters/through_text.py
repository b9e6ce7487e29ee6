"""A draft model of another tokenizer: what it drafts crosses over as text.

Its guesses are only of use where the target would cut the text so far and the draft together into
the tokens that it has so far, and new ones behind them; where it would not, nothing is drafted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outrider import models
from outrider.drafters.base import DraftEntry
from outrider.drafters.cached import CATCH_UP, CachedDrafter, native_target, open_draft
from outrider.drafters.growth import Growth, Guess
from outrider.drafters.passes import Lead
from outrider.engines.base import Pass, TargetModel
from outrider.sampling import logprob
from outrider.text import Tokenizer
from outrider.tree import EMPTY, ROOT, Tree

LONGEST_WORD: Final = 256
"""Bytes without a boundary between words after which one is made up."""

LOOK_BACK: Final = 32
"""Tokens of the target among which the last word has to begin."""


def starts_word(text: bytes) -> bool:
    """Whether it begins with a space before a letter, where every tokenizer here cuts."""
    return len(text) > 1 and text[:1] == b" " and (text[1:2].isalpha() or text[1] >= 0x80)


def last_word(text: bytes) -> int:
    """Where the last word begins, its space included; 0 if there is no boundary."""
    for i in range(len(text) - 2, 0, -1):
        if starts_word(text[i : i + 2]) and not text[i - 1 : i].isspace():
            return i
    return 0


def encode(tokenizer: Tokenizer, text: bytes) -> list[int]:
    """The tokens of a piece of text that begins at a boundary, without an unfinished character."""
    whole = text.decode("utf-8", errors="ignore")
    # A tokenizer that puts a space in front would make it two.
    return tokenizer.encode(whole.removeprefix(" ") if tokenizer.space_prefix else whole)


@dataclass(slots=True)
class Translation:
    """The target's text in the draft model's tokens.

    Attributes:
        read: tokens of the target that are in it.
        settled: tokens of the draft model up to the last boundary between words.
        open: the text behind it, whose tokens may change as it goes on.
    """

    read: int = 0
    settled: list[int] = field(default_factory=list)
    open: bytes = b""


class Alignment:
    """Two tokenizers, and how their texts go together.

    Args:
        target: of the target.
        draft: of the draft model.
    """

    def __init__(self, target: Tokenizer, draft: Tokenizer) -> None:
        self.target = target
        self.draft = draft

    def read(self, translation: Translation, tokens: Sequence[int]) -> None:
        """Bring a translation up to the target's last token."""
        if not translation.read and self.draft.add_bos and self.draft.bos is not None:
            translation.settled.append(self.draft.bos)
        for token in tokens[translation.read :]:
            if self._is_control(token):
                self._settle(translation, len(translation.open))
                translation.settled += self._control(token)
            else:
                translation.open += self.target.token_bytes(token)
        translation.read = len(tokens)
        boundary = last_word(translation.open)
        if not boundary and len(translation.open) > LONGEST_WORD:
            text = translation.open.decode("utf-8", errors="ignore")
            boundary = len(text.encode())
        self._settle(translation, boundary)

    def _settle(self, translation: Translation, end: int) -> None:
        if end:
            translation.settled += encode(self.draft, translation.open[:end])
            translation.open = translation.open[end:]

    def _is_control(self, token: int) -> bool:
        return self.target.token_name(token) in self.target.control_names

    def _control(self, token: int) -> list[int]:
        """The draft model's control token of the same name, if it has one."""
        name = self.target.token_name(token)
        begins = token == self.target.bos and self.draft.add_bos  # the draft model's is there
        if begins or name not in self.draft.control_names:
            return []
        return self.draft.encode(name, parse_special=True)

    def continuation(self, tokens: Sequence[int], draft: bytes) -> list[int]:
        """The target's tokens for a drafted text behind its own; none where they do not align.

        Args:
            tokens: the target's so far.
            draft: the text drafted behind them.
        """
        start = self._word(tokens)
        if start is None:
            return []
        known = list(tokens[start:])
        text = b"".join(map(self.target.token_bytes, known))
        found = encode(self.target, text + draft)
        return found[len(known) :] if found[: len(known)] == known else []

    def _word(self, tokens: Sequence[int]) -> int | None:
        """Where the last word begins among the target's tokens, or a text behind a control."""
        for i in range(len(tokens), max(len(tokens) - LOOK_BACK, 0), -1):
            if self._is_control(tokens[i - 1]):
                return i
            if starts_word(self.target.token_bytes(tokens[i - 1])):
                return i - 1
        return 0 if len(tokens) <= LOOK_BACK else None


class TextDrafter(CachedDrafter):
    """Drafts with a model of another tokenizer, likeliest tokens first, in chains.

    The noise of a position belongs to the target's tokens, so it cannot be shared, and the
    likeliest token is the best guess. A node's score is the product of what the draft model gave
    the tokens that begin within the node's text.

    Args:
        target: the model whose choices are guessed.
        draft_model: a name of the catalogue, `hf:owner/repo/file.gguf`, or a GGUF file.
        threads: of the draft model; None takes the target's.
        cache_budget: bytes for the draft model's keys and values.

    Raises:
        UsageError: an argument cannot be had.
        ModelFileError: a file is damaged or not supported.
        DownloadError: the model is not here and cannot be fetched.
        CapacityError: there is not enough memory for it.
    """

    def __init__(
        self,
        target: TargetModel,
        *,
        draft_model: str,
        threads: int | None = None,
        cache_budget: int | None = None,
    ) -> None:
        native = native_target(target, "model")
        engine = open_draft(
            native, models.ensure(draft_model), threads=threads, cache_budget=cache_budget
        )
        super().__init__(target, engine)
        self._alignment = Alignment(
            Tokenizer.from_metadata(native.file.metadata),
            Tokenizer.from_metadata(engine.file.metadata),
        )
        self._translations: dict[int, Translation] = {}

    def begin(self, entry: DraftEntry) -> None:
        """Nothing yet: how long the prompt is in the draft model's tokens shows with a draft."""

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        """One chain an entry."""
        self._grow(batch)
        trees = []
        for entry in batch:
            growth = self._drafts.pop(entry.id, None)
            crossed = None if growth is None else self._cross(growth)
            if crossed is not None:
                self._drafts[entry.id] = crossed
            trees.append(EMPTY if crossed is None else crossed.tree())
        return trees

    def end(self, entry: DraftEntry) -> None:
        """Forget the entry."""
        super().end(entry)
        self._translations.pop(entry.id, None)

    def _lead(self, entry: DraftEntry, room: int) -> Lead | None:
        """Settled tokens become history; the last of them and the open word are computed anew."""
        translation = self._translations.setdefault(entry.id, Translation())
        self._alignment.read(translation, entry.tokens)
        again = translation.settled[-1:] + encode(self._alignment.draft, translation.open)
        settled = translation.settled[:-1]
        # The answer may take more of the draft model's tokens than of the target's.
        needed = len(settled) + len(again) + entry.max_nodes
        wanted = needed + 2 * entry.max_depth
        if not again or len(again) > room or needed > self._longest:
            return None
        seat = self._seat(entry, settled, needed, min(wanted, self._longest))
        if seat is None:
            return None
        missing = settled[seat.computed :]
        commit = missing[: min(room - len(again), CATCH_UP)]
        seat.computed += len(commit)
        return Lead(seat.sequence, commit, again, ready=len(commit) == len(missing))

    def _deepest(self, entry: DraftEntry) -> int:
        """As many as there may be nodes, for which `_lead` has found room."""
        return entry.max_nodes

    def _logits(self, outcome: Pass, rows: Sequence[int]) -> NDArray[np.float32]:
        """Logits over the draft model's own vocabulary."""
        return outcome.numpy(rows)

    def _guess(self, growth: Growth, node: int, logits: NDArray[np.float32]) -> list[Guess]:
        """The likeliest token, unless the text ends with it."""
        token = int(logits.argmax())
        if not self._alignment.draft.token_bytes(token):
            return []
        probability = min(1.0, float(np.exp(logprob(logits, token))))
        return [Guess(token, probability, probability)]

    def _cross(self, growth: Growth) -> Growth | None:
        """A draft in the target's tokens; None where there is none."""
        entry, pieces = growth.entry, list(map(self._alignment.draft.token_bytes, growth.tokens))
        tokens = self._alignment.continuation(entry.tokens, b"".join(pieces)) if pieces else []
        tokens = tokens[: min(entry.max_nodes, entry.max_depth)]
        if not tokens:
            return None
        crossed = Growth(entry, len(tokens), len(tokens), 1, growth.start)
        scores = self._scores(growth, pieces, tokens)
        for node, (token, score) in enumerate(zip(tokens, scores, strict=True), start=ROOT):
            crossed.grow([(node, [self._scored(entry, token, score)])])
            if not crossed.frontier:
                break
        return crossed

    def _scores(
        self, growth: Growth, pieces: Sequence[bytes], tokens: Sequence[int]
    ) -> list[float]:
        """What the draft model gave the tokens that begin within each of the target's."""
        scores, piece, start, end = list[float](), 0, 0, 0
        for token in tokens:
            end += len(self._alignment.target.token_bytes(token))
            score = 1.0
            while piece < len(pieces) and start < end:
                score *= growth.guesses[piece].score
                start += len(pieces[piece])
                piece += 1
            scores.append(score)
        return scores
