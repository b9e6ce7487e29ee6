"""Drafters to measure with: how much a draft brings that is right so often, and costs so much.

They ride behind the same contract as the others and change nothing of what the target says, but
nothing is answered faster with them. `perturbed` agrees with the target as often as is wanted,
which no drafter that costs less than the target does on demand; `random` never does but by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from outrider.drafters.base import DraftEntry, Drafter
from outrider.drafters.growth import Growth, Guess
from outrider.drafters.passes import Lead, PassDrafter
from outrider.engines.base import TargetModel
from outrider.errors import UsageError
from outrider.sampling import derive_seed
from outrider.tree import Tree

INSTRUMENTS: Final = ("perturbed", "random")
"""What they are registered as; commands that try every drafter leave them out."""


class PerturbedDrafter(PassDrafter):
    """Guesses with the target's own logits plus Gaussian noise.

    Each logit gets noise of its own, which depends on the request's seed, the position and the
    token before it: the same context is misjudged in the same way however often it is asked about.

    Every drafted token takes a whole pass of the target, so that it is always slower than plain
    decoding. What a drafter of that agreement would be worth if it cost less is a calculation: the
    lab replaces the time that drafting took by the cost declared here, and calls what comes of it
    simulated.

    Args:
        target: the model, whose passes it needs.
        noise: the standard deviation of what is added to a logit, at least 0.
        cost: what drafting a token is declared to cost, in passes of the target over one row. It
            is told in records and changes nothing.
        draws: as in `PassDrafter`.
        branch: as in `PassDrafter`.

    Raises:
        UsageError: noise or cost is negative or not finite.
    """

    def __init__(
        self,
        target: TargetModel,
        *,
        noise: float = 1.0,
        cost: float = 0.1,
        draws: bool = False,
        branch: int = 1,
    ) -> None:
        for name, value in (("noise", noise), ("cost", cost)):
            if not 0.0 <= value < math.inf:
                raise UsageError(
                    f"{name} of the drafter 'perturbed' has to be a finite number of at least 0, "
                    f"not {value!r}."
                )
        super().__init__(target, target, draws=draws, branch=branch)
        self._noise = noise
        self._cost = cost

    @property
    def facts(self) -> Mapping[str, Any]:
        """The size of the noise, and the declared cost."""
        return {"draft_noise": self._noise, "declared_draft_cost": self._cost}

    def _lead(self, entry: DraftEntry, room: int) -> Lead | None:
        """The pending token, which goes into the target's cache with the step's own pass."""
        if entry.sequence is None or room < 1:
            return None
        return Lead(entry.sequence, again=entry.tokens[-1:])

    def _guess(self, growth: Growth, node: int, logits: NDArray[np.float32]) -> list[Guess]:
        """What the target lets follow a node, misjudged."""
        if self._noise > 0.0:
            sampler, path = growth.entry.sampler, growth.path_tokens(node)
            before = path[-1] if path else growth.entry.tokens[-1]
            place = (sampler.index, growth.start + len(path), before)
            chance = np.random.default_rng(derive_seed(sampler.seed, "perturbed", *place))
            noise = chance.standard_normal(len(logits), np.float32)
            logits = logits + np.float32(self._noise) * noise
        return super()._guess(growth, node, logits)


class RandomDrafter(Drafter):
    """Guesses tokens of the vocabulary at random, each with its true chance of being right.

    What it costs is what any draft costs that is never right.
    """

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        """A chain an entry, where one so unlikely is asked for at all."""
        return [self._chain(entry) for entry in batch]

    def _chain(self, entry: DraftEntry) -> Tree:
        size, length = self.target.vocab_size, min(entry.max_nodes, entry.max_depth)
        chance = 1.0 / size
        # The n-th of a chain is reached and right with probability 1 / size to the power of n.
        while length > 0 and chance**length < entry.min_path_probability:
            length -= 1
        seed = derive_seed(entry.sampler.seed, "random", entry.sampler.index, len(entry.tokens))
        tokens = np.random.default_rng(seed).integers(size, size=length)
        return Tree.chain(tokens.tolist(), [chance] * length)
