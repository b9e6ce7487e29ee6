"""Drafts made to be both right and wrong, so that few tokens put verification to the test.

A drafter that is seldom right, or nearly always, would need long answers before enough of its nodes
were accepted and rejected. So half of the rows go to salt: a chain of what plain decoding is known
to say, with some of its tokens replaced at random. A verifier has to cope with any draft.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Final

from outrider.drafters.base import DraftEntry, Drafter, Observation
from outrider.engines.base import Pass
from outrider.sampling import derive_seed
from outrider.tree import ROOT, Tree
from outrider.types import Verdict

SALT: Final = "salt"
"""The origin of the nodes that are not the drafter's own."""

LENGTH: Final = 4
WRONG: Final = 0.3
"""Probability that a token of the salt is replaced."""


class Guide:
    """What plain decoding has said after each prompt.

    Attributes:
        round: another one gives other salt.
    """

    def __init__(self) -> None:
        self.round = 0
        self._answers: dict[tuple[int, ...], list[tuple[int, ...]]] = {}

    def add(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        """One more answer."""
        self._answers.setdefault(tuple(prompt), []).append(tuple(answer))

    def follow(self, entry: DraftEntry, random: Random) -> tuple[int, ...]:
        """How one of the answers that begin with the entry's output goes on; empty for none."""
        said = tuple(entry.tokens[entry.prompt_length :])
        known = self._answers.get(tuple(entry.tokens[: entry.prompt_length]), ())
        ways = [answer[len(said) :] for answer in known if answer[: len(said)] == said]
        return random.choice(ways) if ways else ()


class SaltedDrafter(Drafter):
    """Another drafter whose drafts get salt.

    What is drawn from a distribution stays as it is: it may only be judged as it was drawn. The
    salt depends on the tokens so far alone: not on the noise of the choice, and alike for every
    seed, so that a distribution test sees what becomes of one and the same draft.

    Args:
        inner: the drafter; it hears of its own nodes only.
        name: the origin of the nodes that `inner` does not name the origins of.
        guide: where the salt comes from.
    """

    def __init__(self, inner: Drafter, name: str, guide: Guide) -> None:
        super().__init__(inner.target)
        self.draws = inner.draws
        self._inner = inner
        self._name = name
        self._guide = guide

    def begin(self, entry: DraftEntry) -> None:
        """See `Drafter.begin`."""
        self._inner.begin(entry)

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        """The drafter's own trees, and below their roots the salt."""
        limits = [entry.max_nodes for entry in batch]
        salt = [self._salt(entry) for entry in batch]
        for entry, chain in zip(batch, salt, strict=True):
            entry.max_nodes -= len(chain)
        own = self._inner.draft(batch)
        for entry, limit in zip(batch, limits, strict=True):
            entry.max_nodes = limit
        return [
            self._mix(entry, tree, chain)
            for entry, tree, chain in zip(batch, own, salt, strict=True)
        ]

    def observe(self, batch: Sequence[Observation], outcome: Pass) -> None:
        """Pass on what came of the drafter's own nodes."""
        self._inner.observe([self._own_view(observation) for observation in batch], outcome)

    def end(self, entry: DraftEntry) -> None:
        """See `Drafter.end`."""
        self._inner.end(entry)

    def _salt(self, entry: DraftEntry) -> list[int]:
        """A chain of at most half of the entry's nodes."""
        if self.draws or entry.max_nodes < 2:
            return []
        random = self._random(entry)
        chain = list(self._guide.follow(entry, random)[: min(LENGTH, entry.max_nodes // 2)])
        return [
            random.randrange(self.target.vocab_size) if random.random() < WRONG else token
            for token in chain[: entry.max_depth]
        ]

    def _random(self, entry: DraftEntry, use: str = "salt") -> Random:
        return Random(derive_seed(self._guide.round, use, *entry.tokens))

    def _mix(self, entry: DraftEntry, own: Tree, chain: Sequence[int]) -> Tree:
        origins = own.origins or (self._name,) * len(own)
        named = Tree(own.tokens, own.parents, own.probabilities, own.distributions, origins)
        if not chain or own.distributions:
            return named
        if not self.target.capabilities.trees and len(own):
            if self._random(entry, "which").random() < 0.5:
                return named
            named = Tree()
        return _graft(named, chain)

    @staticmethod
    def _own_view(observation: Observation) -> Observation:
        """The observation without salt, which stands behind the drafter's own nodes."""
        tree, verdict = observation.tree, observation.verdict
        own = sum(origin != SALT for origin in tree.origins)
        if own == len(tree):
            return observation
        came = [*(tree.tokens[node] for node in verdict.accepted), verdict.token]
        accepted = [node for node in verdict.accepted if node < own]
        heard = Verdict(tuple(accepted), came[len(accepted)])
        return Observation(
            observation.entry, tree.pick(range(own)), heard, observation.root, observation.asked
        )


def _graft(tree: Tree, chain: Iterable[int]) -> Tree:
    """The tree with a chain from its root; nodes that it has already are not repeated."""
    tokens, parents = list(tree.tokens), list(tree.parents)
    probabilities, origins = list(tree.probabilities), list(tree.origins)
    node = ROOT
    for token in chain:
        same = (i for i, p in enumerate(parents) if p == node and tokens[i] == token)
        found = next(same, None)
        if found is None:
            found = len(tokens)
            tokens.append(token)
            parents.append(node)
            probabilities.append(1.0 - WRONG)
            origins.append(SALT)
        node = found
    return Tree(tuple(tokens), tuple(parents), tuple(probabilities), {}, tuple(origins))
