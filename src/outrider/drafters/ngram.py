"""Prompt lookup: what followed the last time these words were said.

Free of charge, and strong where text is copied: summaries, code edits, retrieval. (Saxena 2023,
"Prompt Lookup Decoding".)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from outrider.drafters.base import DraftEntry, Drafter, Observation
from outrider.engines.base import Pass, TargetModel
from outrider.tree import EMPTY, ROOT, Tree

MAX_MATCH = 5
MIN_MATCH = 2
PRIOR_WEIGHT = 8.0
PRIORS = {2: 0.35, 3: 0.5, 4: 0.6, 5: 0.7}
"""Acceptance to expect of a match of this length before anything has been observed, and how many
observations that belief is worth. Longer matches than the table's count as its longest."""


@dataclass(slots=True)
class _Index:
    """Where the n-grams of one completion ended, by length; kept up to date token by token."""

    latest: dict[tuple[int, ...], int] = field(default_factory=dict)
    previous: dict[tuple[int, ...], int] = field(default_factory=dict)
    successors: dict[tuple[int, ...], dict[int, int]] = field(default_factory=dict)
    indexed: int = 0

    def extend(self, tokens: Sequence[int], longest: int, shortest: int) -> None:
        for end in range(self.indexed + 1, len(tokens) + 1):
            for length in range(shortest, min(longest, end) + 1):
                gram = tuple(tokens[end - length : end])
                if gram in self.latest:
                    self.previous[gram] = self.latest[gram]
                self.latest[gram] = end
                if end > length:
                    before = tuple(tokens[end - length - 1 : end - 1])
                    counts = self.successors.setdefault(before, {})
                    counts[tokens[end - 1]] = counts.get(tokens[end - 1], 0) + 1
        self.indexed = len(tokens)


class NgramDrafter(Drafter):
    """Copies what followed an earlier occurrence of the last few tokens.

    The longest match wins. Its latest continuation is drafted as a chain; where another token
    followed the same match more often, that one is drafted beside the first.

    Args:
        target: the model drafted for.
        max_match: tokens compared at most.
        min_match: tokens that have to match at least.
    """

    def __init__(
        self, target: TargetModel, max_match: int = MAX_MATCH, min_match: int = MIN_MATCH
    ) -> None:
        super().__init__(target)
        self._max = max_match
        self._min = min_match
        self._indices: dict[int, _Index] = {}
        self._matched: dict[int, int] = {}
        self._accepted: dict[int, float] = {}
        self._tried: dict[int, float] = {}

    def begin(self, entry: DraftEntry) -> None:
        """Index the prompt."""
        self._indices[entry.id] = _Index()

    def end(self, entry: DraftEntry) -> None:
        """Forget the completion."""
        self._indices.pop(entry.id, None)
        self._matched.pop(entry.id, None)

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        """A chain from the longest match, and the commonest other first token beside it."""
        return [self._draft(entry) for entry in batch]

    def _draft(self, entry: DraftEntry) -> Tree:
        index = self._indices[entry.id]
        index.extend(entry.tokens, self._max, self._min)
        if entry.max_nodes < 1:
            return EMPTY
        tokens = entry.tokens
        for length in range(min(self._max, len(tokens) - 1), self._min - 1, -1):
            gram = tuple(tokens[-length:])
            # The latest occurrence is the one just said; the one before it has a continuation.
            if (end := index.previous.get(gram)) is None:
                continue
            self._matched[entry.id] = length
            return self._grow(entry, index, gram, tokens[end : end + entry.max_nodes])
        return EMPTY

    def _grow(
        self, entry: DraftEntry, index: _Index, gram: tuple[int, ...], copied: Sequence[int]
    ) -> Tree:
        probability = self.probability(len(gram))
        counts = index.successors.get(gram, {})
        total = sum(counts.values())
        share = counts.get(copied[0], 0) / total if total else 1.0
        nodes, parents = list(copied), list(range(ROOT, len(copied) - 1))
        probabilities = [probability] * len(copied)
        probabilities[0] = probability * share if total else probability
        rival = max(counts, key=lambda t: (counts[t], -t), default=copied[0])
        if (
            self.target.capabilities.trees
            and rival != copied[0]
            and counts[rival] > counts.get(copied[0], 0)
        ):
            nodes, parents = nodes[: entry.max_nodes - 1], parents[: entry.max_nodes - 1]
            probabilities = probabilities[: entry.max_nodes - 1]
            nodes.append(rival)
            parents.append(ROOT)
            probabilities.append(probability * counts[rival] / total)
        keep = self._above(parents, probabilities, entry.min_path_probability)
        tree = Tree(tuple(nodes), tuple(parents), tuple(probabilities))
        return tree if len(keep) == len(nodes) else tree.pick(keep)

    @staticmethod
    def _above(parents: list[int], probabilities: list[float], least: float) -> list[int]:
        reach: list[float] = []
        for parent, probability in zip(parents, probabilities, strict=True):
            reach.append(probability * (1.0 if parent == ROOT else reach[parent]))
        return [node for node, value in enumerate(reach) if value >= least]

    def probability(self, length: int) -> float:
        """Acceptance to expect of a match of this length: the prior, moved by what was seen."""
        prior = PRIORS.get(length, PRIORS[max(PRIORS)] if length > max(PRIORS) else 0.25)
        tried = self._tried.get(length, 0.0)
        return (prior * PRIOR_WEIGHT + self._accepted.get(length, 0.0)) / (PRIOR_WEIGHT + tried)

    def observe(self, batch: Sequence[Observation], outcome: Pass) -> None:
        """Count how often a node was accepted, given that its parent was."""
        for seen in batch:
            length = self._matched.pop(seen.entry.id, None)
            if length is None or not len(seen.tree):
                continue
            accepted = len(seen.verdict.accepted)
            last = seen.verdict.accepted[-1] if accepted else ROOT
            rejected = 1 if any(True for _ in seen.tree.children(last)) else 0
            self._accepted[length] = self._accepted.get(length, 0.0) + accepted
            self._tried[length] = self._tried.get(length, 0.0) + accepted + rejected
