"""From a draft model's confidence to the probability that the target agrees.

A model that is sure of itself need not be right about another model. So its score is put into a
bin, and what counts is how often drafts of that bin were accepted: before anything was observed
the score itself, then all requests together, then more and more the request at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

PRIOR_WEIGHT: Final = 4.0
"""Observations that the score itself is worth."""

REQUEST_WEIGHT: Final = 16.0
"""Observations of one request after which it counts as much as all requests together."""

MEMORY: Final = 1000.0
"""Observations of a bin after which its sums begin to forget."""

TEMPERATURES: Final = (0.0, 0.5, 0.9)
"""Upper ends of the bins of temperature; one more lies above them."""

Key = tuple[int, int, int]
"""Bins of temperature and score, and the rank among siblings."""


@dataclass(slots=True)
class Count:
    """How often drafts of one kind were judged, and accepted."""

    judged: float = 0.0
    right: float = 0.0

    def add(self, right: bool) -> None:
        """One more."""
        if self.judged >= MEMORY:
            self.judged /= 2
            self.right /= 2
        self.judged += 1
        self.right += right

    def shrunk(self, towards: float, weight: float) -> float:
        """The rate, as if `weight` observations more had brought the rate `towards`."""
        return (weight * towards + self.right) / (weight + self.judged)


@dataclass(slots=True)
class Calibration:
    """Acceptance by temperature, score and rank.

    Attributes:
        bins: of the score, one unit of log-odds wide but for the two outermost.
        overall: counts of all requests.
        requests: counts of each running request, by its id.
    """

    bins: int = 10
    overall: dict[Key, Count] = field(default_factory=dict)
    requests: dict[int, dict[Key, Count]] = field(default_factory=dict)

    def probability(self, request: int, temperature: float, score: float, rank: int = 0) -> float:
        """The probability that the target picks a node, given that it picked its parent.

        Args:
            request: whose node it is.
            temperature: of its sampler.
            score: what the draft model gives the node, from 0 to 1.
            rank: 0 for the first among its siblings.
        """
        key = self._key(temperature, score, rank)
        common = self.overall.get(key, Count()).shrunk(score, PRIOR_WEIGHT)
        own = self.requests.get(request, {}).get(key, Count())
        return own.shrunk(common, REQUEST_WEIGHT)

    def add(
        self, request: int, temperature: float, score: float, right: bool, rank: int = 0
    ) -> None:
        """A node whose parent the target picked was judged; see `probability`."""
        key = self._key(temperature, score, rank)
        for counts in (self.overall, self.requests.setdefault(request, {})):
            counts.setdefault(key, Count()).add(right)

    def end(self, request: int) -> None:
        """Forget what only this request has shown."""
        self.requests.pop(request, None)

    def _key(self, temperature: float, score: float, rank: int) -> Key:
        warmth = sum(temperature > end for end in TEMPERATURES)
        inner = min(max(score, 1e-9), 1.0 - 1e-9)
        place = math.floor(math.log(inner / (1.0 - inner)) + self.bins / 2)
        return warmth, min(max(place, 0), self.bins - 1), rank
