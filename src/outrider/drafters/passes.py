"""What drafters that run a model have in common: one pass a level, for the whole batch.

A draft's nodes stand in scratch rows that the next pass forgets, so each pass computes the path
to the frontier again: a pass over a few rows costs what one row costs.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from outrider.drafters.base import DraftEntry, Drafter, Observation
from outrider.drafters.calibration import Calibration
from outrider.drafters.growth import Growth, Guess
from outrider.engines.base import CachedSequence, Pass, RowsBuilder, TargetModel
from outrider.errors import UsageError
from outrider.sampling import StreamId
from outrider.tree import EMPTY, ROOT, Tree

COMPARED = 8
"""Candidates among which a score is a share."""


@dataclass(slots=True)
class Lead:
    """What stands before a draft in the model's own cache.

    Attributes:
        sequence: where it stands.
        commit: tokens that become history in the first pass.
        again: tokens behind them that are computed again in every pass.
        ready: False where more is to be committed before anything can be drafted.
    """

    sequence: CachedSequence
    commit: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    ready: bool = True


class PassDrafter(Drafter):
    """Grows drafts with passes of a model, one level a pass for all entries together.

    It runs each entry's own sampler with its own noise on the model's logits, so that it guesses
    what the target, with the same noise, is likely to choose; second guesses are the next largest.
    Instead it can draw, for verification by rejection.

    Args:
        target: the model whose choices are guessed.
        engine: the model that guesses.
        draws: draw chains with noise of their own and hand over their distributions.
        branch: guesses that follow a node, and nodes of a level that are followed up.
        layers: the model's first layers only.

    Raises:
        UsageError: a branch below 1, or one above it that cannot be had.
    """

    def __init__(
        self,
        target: TargetModel,
        engine: TargetModel,
        *,
        draws: bool = False,
        branch: int = 1,
        layers: int | None = None,
    ) -> None:
        super().__init__(target)
        if branch < 1:
            raise UsageError(f"branch has to be at least 1, not {branch}.")
        if branch > 1 and draws:
            raise UsageError("Drafts that are drawn are chains: branch has to be 1 with draws.")
        if branch > 1 and not (target.capabilities.trees and engine.capabilities.trees):
            raise UsageError(f"This engine verifies chains only: branch has to be 1, not {branch}.")
        self.draws = draws
        self.engine = engine
        self.passes = 0
        self.computed_rows = 0
        self._branch = branch
        self._layers = layers
        self._calibration = Calibration()
        self._drafts: dict[int, Growth] = {}

    @property
    def chains(self) -> bool:
        """Whether its drafts do not branch."""
        return self._branch == 1

    # ---- what a drafter says of its model -------------------------------------------------------

    @abstractmethod
    def _lead(self, entry: DraftEntry, room: int) -> Lead | None:
        """What stands before an entry's draft, in at most `room` rows; None drafts nothing."""

    def _deepest(self, entry: DraftEntry) -> int:
        """Nodes on a path that the model has positions for."""
        return entry.max_depth

    def _logits(self, outcome: Pass, rows: Sequence[int]) -> NDArray[np.float32]:
        """Logits over the target's vocabulary, float32[len(rows), vocab_size]."""
        return outcome.numpy(rows)

    # ---- the contract ---------------------------------------------------------------------------

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        """One tree an entry; empty while the model still reads the entry's prompt."""
        self._grow(batch)
        return [
            self._drafts[entry.id].tree() if entry.id in self._drafts else EMPTY for entry in batch
        ]

    def observe(self, batch: Sequence[Observation], outcome: Pass) -> None:
        """Learn how often guesses were right, those included that were given no row."""
        for observation in batch:
            growth = self._drafts.pop(observation.entry.id, None)
            if growth is not None:
                self._learn(growth)

    def end(self, entry: DraftEntry) -> None:
        """Forget the entry."""
        self._drafts.pop(entry.id, None)
        self._calibration.end(entry.id)

    def reset(self) -> None:
        """Forget how often guesses were right."""
        self._calibration = Calibration()

    # ---- passes ---------------------------------------------------------------------------------

    def _grow(self, batch: Sequence[DraftEntry]) -> None:
        growing: list[tuple[Growth, Lead]] = []
        room = self.engine.capabilities.max_rows
        for entry in batch:
            self._drafts.pop(entry.id, None)
            if entry.max_nodes < 1 or entry.max_depth < 1:
                continue
            lead = self._lead(entry, room)
            if lead is None:
                continue
            room -= len(lead.commit) + len(lead.again)
            depth = min(self._deepest(entry), entry.max_nodes)
            growth = Growth(entry, entry.max_nodes, depth, self._branch, len(entry.tokens))
            if not lead.ready or depth < 1:
                growth.stop()
            growing.append((growth, lead))
            self._drafts[entry.id] = growth
        while growing:
            self._pass(growing)
            growing = [(growth, lead) for growth, lead in growing if growth.frontier]

    def _pass(self, growing: Sequence[tuple[Growth, Lead]]) -> None:
        """One level more of every draft."""
        rows, asked = RowsBuilder(), list[tuple[Growth, list[int]]]()
        for growth, lead in growing:
            needed = growth.needed()
            count = len(lead.commit) + len(lead.again) + len(needed)
            if len(rows) + count > self.engine.capabilities.max_rows:
                growth.stop()
                continue
            asked.append((growth, self._lay_out(rows, growth, lead, needed)))
        if not len(rows):
            return
        outcome = self.engine.forward(rows.rows(), self._layers)
        self.passes += 1
        self.computed_rows += len(rows)
        for growth, frontier in asked:
            growth.passed = self.passes
            if growth.frontier:
                logits = self._logits(outcome, frontier)
                growth.grow(
                    [
                        (node, self._guess(growth, node, logits[i]))
                        for i, node in enumerate(growth.frontier)
                    ]
                )

    def _lay_out(
        self, rows: RowsBuilder, growth: Growth, lead: Lead, needed: Sequence[int]
    ) -> list[int]:
        """Append an entry's rows; returns those of its frontier."""
        sequence = lead.sequence.id
        last = rows.chain(sequence, lead.commit, commit=True)
        last = rows.chain(sequence, lead.again, last)
        lead.commit = []
        growth.rows = {}
        for node in needed:
            parent = growth.parents[node]
            above = last if parent == ROOT else growth.rows[parent]
            growth.rows[node] = rows.row(sequence, growth.tokens[node], above)
        frontier = [last if node == ROOT else growth.rows[node] for node in growth.frontier]
        for row in frontier:
            rows.want_logits[row] = True
        return frontier

    # ---- guesses --------------------------------------------------------------------------------

    def _guess(self, growth: Growth, node: int, logits: NDArray[np.float32]) -> list[Guess]:
        """What the model lets follow a node."""
        entry, path = growth.entry, growth.path_tokens(node)
        sampler, position = entry.sampler, growth.start + len(path)
        if self.draws:
            q = sampler.probabilities(logits, path)
            # The score must not depend on the token drawn: it decides whether one is drawn at all.
            guess = self._scored(entry, -1, float(q.max()))
            before = 1.0 if node == ROOT else growth.reached[node]
            if before * guess.probability < entry.min_path_probability:
                return []
            growth.distributions[node] = q
            return [guess._replace(token=sampler.draw(q, position, StreamId.DRAFT))]
        compared = min(COMPARED + self._branch, len(logits))
        tokens, values = sampler.candidates(logits, position, path, compared)
        weights = [math.exp(value - values[0]) for value in values]
        total = sum(weights)
        return [
            self._scored(entry, tokens[rank], weights[rank] / total, rank)
            for rank in range(min(self._branch, len(tokens)))
        ]

    def _scored(self, entry: DraftEntry, token: int, score: float, rank: int = 0) -> Guess:
        temperature = entry.sampler.sampling.temperature
        return Guess(
            token, score, self._calibration.probability(entry.id, temperature, score, rank)
        )

    def _learn(self, growth: Growth) -> None:
        """Judge the guesses behind every node that the target has picked."""
        entry, node = growth.entry, ROOT
        children: dict[int, list[int]] = {}
        for child, parent in enumerate(growth.parents):
            children.setdefault(parent, []).append(child)
        for token in entry.tokens[growth.start :]:
            picked = None
            for child in children.get(node, ()):
                right = growth.tokens[child] == token
                self._calibration.add(
                    entry.id,
                    entry.sampler.sampling.temperature,
                    growth.guesses[child].score,
                    right,
                    growth.ranks[child],
                )
                picked = child if right else picked
            if picked is None:
                return
            node = picked
