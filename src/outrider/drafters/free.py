"""Drafters that cost next to nothing: they look up what stands there already.

`ngram` and `suffix` propose what followed the same tokens earlier in this very text, and pay
wherever an answer repeats what stands before it: quoting, editing, code, lists, tables. `recycle`
proposes what the target itself thought likely the last time it stood behind the same tokens, and
pays everywhere once it has seen some text.

The work is done in the extension, by one `Grower`: sources guess tokens and say how good their
evidence is, counting turns evidence into probability, and the tree grows where it is likeliest to
be accepted. Every step that a draft was asked for is judged, whether anything of it was verified or
not, so that what does not pay now is noticed when it does. One call of the extension drafts for a
whole batch, and one learns from it: beside a pass each line of Python is dear.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from outrider import _native
from outrider.drafters.base import DraftEntry, Drafter, Observation
from outrider.engines.base import Pass, TargetModel
from outrider.tree import EMPTY, Tree

RECYCLE: Final = "recycle"
SOURCES: Final = ("ngram", "suffix", RECYCLE)
NO_ROWS: Final = np.zeros((0, 0), np.int32)
NO_LOGITS: Final = np.zeros((0, 0), np.float32)


class FreeDrafter(Drafter):
    """Drafts from any of the free sources; the registered drafters below name theirs.

    Args:
        target: says whether drafts may branch, and how large the vocabulary is.
        sources: of `SOURCES`.
        min_match: tokens that have to match for n-grams and suffixes to guess.
        max_match: the longest n-gram that is looked up.
        past: the suffix index remembers the outputs of finished requests too, the latest
            `PAST_TOKENS` tokens.
        k: continuations recycled of every row, at most 64.

    Raises:
        UsageError: an option is out of its range.
    """

    def __init__(
        self,
        target: TargetModel,
        sources: Iterable[str],
        *,
        min_match: int = 1,
        max_match: int = 4,
        past: bool = False,
        k: int = 8,
    ) -> None:
        super().__init__(target)
        names = tuple(sources)
        self._recycles = RECYCLE in names
        self._mixes = len(names) > 1
        self._grower = _native.Grower(
            names, target.vocab_size, target.capabilities.trees, min_match, max_match, past, k
        )

    def begin(self, entry: DraftEntry) -> None:
        """Index the prompt."""
        sampler = entry.sampler
        self._grower.begin(entry.id, entry.prompt_length, sampler.sampling.temperature, sampler)
        self._grower.extend(entry.id, entry.tokens)

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        """One tree an entry; empty where nothing is guessed or asked for.

        Raises:
            UsageError: an entry never began.
        """
        if not any(entry.max_nodes for entry in batch):
            return [EMPTY] * len(batch)
        drafted = self._grower.draft(
            [entry.id for entry in batch],
            [entry.tokens for entry in batch],
            [entry.max_nodes for entry in batch],
            [entry.max_depth for entry in batch],
            [entry.min_path_probability for entry in batch],
        )
        return [
            Tree(tokens, parents, probabilities, origins=origins if self._mixes else ())
            if tokens
            else EMPTY
            for tokens, parents, probabilities, origins in drafted
        ]

    def observe(self, batch: Sequence[Observation], outcome: Pass) -> None:
        """Judge what would have been guessed for each token that came, then learn from the rows.

        Steps that are not to be learned from are skipped; their tokens are read with the next.

        Raises:
            UsageError: an entry never began.
        """
        batch = [observation for observation in batch if observation.asked]
        if not batch:
            return
        continuations, logits = NO_ROWS, NO_LOGITS
        if self._recycles:
            rows = [row for o in batch for row in range(o.root, o.root + 1 + len(o.tree))]
            continuations, logits = outcome.best(rows, self._grower.k)
        self._grower.observe(
            [o.entry.id for o in batch],
            [o.entry.tokens for o in batch],
            [len(o.verdict.accepted) + 1 for o in batch],
            [o.tree.tokens for o in batch],
            [o.tree.parents for o in batch],
            continuations,
            logits,
        )

    def end(self, entry: DraftEntry) -> None:
        """Forget the entry; with `past` its output is remembered."""
        self._grower.end(entry.id, entry.tokens)

    def reset(self) -> None:
        """Forget probabilities, recycled rows and past outputs."""
        self._grower.reset()


class NgramDrafter(FreeDrafter):
    """Prompt lookup: what followed the longest n-gram that ends the text, earlier in it.

    Of each match it takes the most frequent follower and, where the engine takes trees, the
    latest one as a second guess.

    Args:
        target: see `FreeDrafter`.
        min_match: the shortest match that is worth a guess.
        max_match: the longest that is looked up.

    Raises:
        UsageError: the match lengths are not 1 ≤ min_match ≤ max_match.
    """

    def __init__(self, target: TargetModel, *, min_match: int = 1, max_match: int = 4) -> None:
        super().__init__(target, ("ngram",), min_match=min_match, max_match=max_match)


class SuffixDrafter(FreeDrafter):
    """What followed the longest matches with the end of the text, up to 24 tokens long.

    Args:
        target: see `FreeDrafter`.
        min_match: the shortest match that is worth a guess.
        past: look in the outputs of finished requests too.

    Raises:
        UsageError: min_match is less than 1, or longer than the longest match.
    """

    def __init__(self, target: TargetModel, *, min_match: int = 1, past: bool = False) -> None:
        super().__init__(
            target, ("suffix",), min_match=min_match, max_match=max(min_match, 4), past=past
        )


class RecycleDrafter(FreeDrafter):
    """Token recycling: the likeliest continuations of rows that were computed before.

    Every verified row is remembered, those of rejected drafts included.

    Args:
        target: see `FreeDrafter`.
        k: continuations remembered of a row.

    Raises:
        UsageError: k does not lie between 1 and 64.
    """

    def __init__(self, target: TargetModel, *, k: int = 8) -> None:
        super().__init__(target, (RECYCLE,), k=k)
