"""Prompt lookup: what followed the same few tokens earlier in this very text.

Costs next to nothing and pays wherever an answer repeats what stands before it: quoting, editing,
code, lists, tables.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from outrider.drafters.base import DraftEntry, Drafter, Observation
from outrider.engines.base import Pass, TargetModel
from outrider.errors import UsageError
from outrider.tree import EMPTY, ROOT, Tree

PRIOR: Final = {1: 0.15, 2: 0.4, 3: 0.6}
"""How often a guess is right before anything was observed, by length of the match; longer
matches start like the longest one here. Only a beginning: observations take over."""

PRIOR_WEIGHT: Final = 8.0
"""Observations that the prior is worth."""

REQUEST_WEIGHT: Final = 8.0
"""Observations of one request after which it counts as much as all requests together."""

MEMORY: Final = 1000.0
"""Observations after which the sums over all requests begin to forget."""

Bin = tuple[int, int, int]
"""Length of the match, how much of what followed it agrees (0 to 2), and first or second guess."""


@dataclass(slots=True)
class Followers:
    """What has followed one n-gram so far.

    Attributes:
        counts: how often each token did.
        best: the most frequent one, the latest of equals.
        latest: the latest.
        total: how often anything did.
    """

    counts: dict[int, int]
    best: int
    latest: int
    total: int = 1

    def add(self, token: int) -> None:
        """`token` has followed once more."""
        count = self.counts.get(token, 0) + 1
        self.counts[token] = count
        self.latest = token
        self.total += 1
        if count >= self.counts[self.best]:
            self.best = token


@dataclass(slots=True)
class Hits:
    """How often guesses of one kind were tried and right."""

    tried: float = 0.0
    right: float = 0.0

    def add(self, right: bool) -> None:
        """One more observation."""
        if self.tried >= MEMORY:
            self.tried /= 2
            self.right /= 2
        self.tried += 1
        self.right += right


@dataclass(slots=True)
class Index:
    """The n-grams of one entry's tokens, and how well guesses from them did.

    Attributes:
        followers: what followed each n-gram.
        length: tokens read so far.
        guesses: of the last draft, what was guessed after each path of tokens, and of which kind.
        hits: this entry's share of the observations.
    """

    followers: dict[tuple[int, ...], Followers] = field(default_factory=dict)
    length: int = 0
    guesses: dict[tuple[int, ...], list[tuple[int, Bin]]] = field(default_factory=dict)
    hits: dict[Bin, Hits] = field(default_factory=dict)


class NgramDrafter(Drafter):
    """Looks up the longest n-gram that ends the text so far, and proposes what followed it.

    Of each match it takes the most frequent follower and, where the engine takes trees, the
    latest one as a second guess; the tree grows where it is likeliest to be accepted.

    Args:
        target: says whether drafts may branch.
        min_match: the shortest match that is worth a guess.
        max_match: the longest that is looked up.

    Raises:
        UsageError: the match lengths are not 1 ≤ min_match ≤ max_match.
    """

    def __init__(self, target: TargetModel, *, min_match: int = 1, max_match: int = 4) -> None:
        super().__init__(target)
        if not 1 <= min_match <= max_match:
            raise UsageError(
                f"The match lengths have to be 1 ≤ min_match ≤ max_match, "
                f"not {min_match} and {max_match}."
            )
        self._min_match = min_match
        self._max_match = max_match
        self._width = 2 if target.capabilities.trees else 1
        self._hits: dict[Bin, Hits] = {}
        self._indices: dict[int, Index] = {}

    def begin(self, entry: DraftEntry) -> None:
        """Index the prompt."""
        self._indices[entry.id] = Index()
        self._read(entry)

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        """One tree an entry; empty where nothing matches."""
        return [self._draft(entry) for entry in batch]

    def observe(self, batch: Sequence[Observation], outcome: Pass) -> None:
        """Count which kinds of guesses were right, those included that were given no row."""
        for observation in batch:
            index = self._indices[observation.entry.id]
            tree, verdict = observation.tree, observation.verdict
            came = [*(tree.tokens[node] for node in verdict.accepted), verdict.token]
            if index.length + len(came) != len(observation.entry.tokens):
                continue  # this step was drafted without us, and the guesses are old ones
            for i, token in enumerate(came):
                for guess, kind in index.guesses.get(tuple(came[:i]), ()):
                    index.hits.setdefault(kind, Hits()).add(guess == token)
                    self._hits.setdefault(kind, Hits()).add(guess == token)
                    if guess == token:
                        break

    def end(self, entry: DraftEntry) -> None:
        """Forget the entry."""
        self._indices.pop(entry.id, None)

    def _read(self, entry: DraftEntry) -> Index:
        """The entry's index, brought up to its last token."""
        index, tokens = self._indices[entry.id], entry.tokens
        for i in range(max(index.length, self._min_match), len(tokens)):
            token = tokens[i]
            for n in range(self._min_match, min(self._max_match, i) + 1):
                gram = tuple(tokens[i - n : i])
                known = index.followers.get(gram)
                if known is None:
                    index.followers[gram] = Followers({token: 1}, token, token)
                else:
                    known.add(token)
        index.length = len(tokens)
        return index

    def _draft(self, entry: DraftEntry) -> Tree:
        """Grow the tree best first: the likeliest candidate becomes a node and is looked up."""
        index = self._read(entry)
        index.guesses.clear()
        suffix = tuple(entry.tokens[-self._max_match :])
        tokens: list[int] = []
        parents: list[int] = []
        probabilities: list[float] = []
        # (−path probability, order, token, parent, probability, path)
        heap: list[tuple[float, int, int, int, float, tuple[int, ...]]] = []
        order = 0

        def offer(node: int, path: tuple[int, ...], reached: float) -> None:
            nonlocal order
            guesses = index.guesses[path] = []
            for token, kind, probability in self._guess(index, suffix + path):
                guesses.append((token, kind))
                if reached * probability < entry.min_path_probability:
                    continue
                heapq.heappush(
                    heap, (-reached * probability, order, token, node, probability, (*path, token))
                )
                order += 1

        if entry.max_nodes > 0 and entry.max_depth > 0:
            offer(ROOT, (), 1.0)
        while heap and len(tokens) < entry.max_nodes:
            negative, _, token, parent, probability, path = heapq.heappop(heap)
            tokens.append(token)
            parents.append(parent)
            probabilities.append(probability)
            if len(path) < entry.max_depth:
                offer(len(tokens) - 1, path, -negative)
        return Tree(tuple(tokens), tuple(parents), tuple(probabilities)) if tokens else EMPTY

    def _guess(self, index: Index, context: Sequence[int]) -> Iterator[tuple[int, Bin, float]]:
        """At most two followers of the longest match, with their kinds and probabilities."""
        for n in range(min(self._max_match, len(context)), self._min_match - 1, -1):
            found = index.followers.get(tuple(context[-n:]))
            if found is None:
                continue
            share = found.counts[found.best] / found.total
            agreement = 2 if share == 1.0 else 1 if share >= 0.5 else 0
            first = (n, agreement, 0)
            probability = self._probability(index, first)
            yield found.best, first, probability
            if self._width > 1 and found.latest != found.best:
                second = (n, agreement, 1)
                yield found.latest, second, (1 - probability) * self._probability(index, second)
            return

    def _probability(self, index: Index, kind: Bin) -> float:
        """How often guesses of this kind are right: the prior, then all requests, then this one.

        Each is shrunk towards the one before it. A second guess's is given that the first was
        wrong.
        """
        n, agreement, rank = kind
        prior = PRIOR[min(n, max(PRIOR))] * (0.5 + 0.25 * agreement) * (0.5 if rank else 1.0)
        everywhere = self._hits.get(kind, Hits())
        common = (PRIOR_WEIGHT * prior + everywhere.right) / (PRIOR_WEIGHT + everywhere.tried)
        here = index.hits.get(kind, Hits())
        return (REQUEST_WEIGHT * common + here.right) / (REQUEST_WEIGHT + here.tried)
