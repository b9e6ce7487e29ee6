"""The controller that spends rows where they bring most tokens a millisecond."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outrider.control.base import Controller, PassReport, Room
from outrider.control.calls import Calls
from outrider.control.passes import PassTimes, only_decoding
from outrider.control.prefix import best_prefix
from outrider.drafters.base import DraftEntry, Observation
from outrider.engines.base import Cost
from outrider.errors import UsageError
from outrider.tree import Tree

RATE_MEMORY: Final = 16.0
"""Calls after which the rate of tokens with drafts is forgotten by 1 / e."""

REST_MEMORY: Final = 16.0
"""Steps after which what a step takes beside pass and drafting is forgotten by 1 / e."""

FEW_NODES: Final = 4
"""Nodes that a drafter is asked for in any case."""

FORGET: Final = 0.95
"""What is kept, a step, of the largest draft found worth verifying: no drafter is asked for more
than twice as much, because nodes that are not verified take time too."""

LOOK_EVERY: Final = 8
"""Where drafting is cheap, one step in so many is learned from, and times are looked up anew: a
step is short, and Python's part of it is not to be noticed. With several sequences it is one in as
many fewer, for their steps are longer, and what drafts cost them decides more narrowly."""

LOOK_LEAST: Final = 2
"""One step in so many at the most."""


class CostController(Controller):
    """Verifies the nodes of all drafts that make the whole batch fastest; none is a choice too.

    Of the nodes of all drafts, in the order of the probability that they are reached and accepted,
    it takes as many as make

        (sequences + Σ probabilities) / (drafting + the pass over that many rows + all else)

    greatest. The time of a pass is the measured curve, corrected by the passes that are made; the
    sequences' contexts and the rows that others have in the pass are part of it, but for what a
    prompt's rows take: that time passes whatever is drafted, and beside it any draft would seem
    cheap. All else is what steps have taken beside: verifying, text.

    A drafter that takes a noticeable part of a pass is asked only while that saves time, and is
    asked for no node that is not worth drafting.

    Args:
        cost: what passes of this model cost.
        num_draft_tokens: rows of each draft at most.
        max_nodes: nodes that a drafter is asked for at most.
        margin: by which share a draft has to promise more than plain decoding; what a step with a
            draft takes outside of pass and drafting.

    Raises:
        UsageError: max_nodes is less than 1, or the margin negative.
    """

    def __init__(
        self,
        cost: Cost,
        num_draft_tokens: int | None = None,
        *,
        max_nodes: int = 24,
        margin: float = 0.01,
    ) -> None:
        super().__init__(cost, num_draft_tokens)
        if max_nodes < 1:
            raise UsageError(
                f"max_nodes has to be at least 1, not {max_nodes}; num_draft_tokens may be 0."
            )
        if not margin >= 0.0:
            raise UsageError(f"The margin has to be at least 0, not {margin}.")
        self._max_nodes = max_nodes if num_draft_tokens is None else num_draft_tokens
        self._gain = 1.0 + margin
        self._passes = PassTimes(cost)
        self._calls = Calls()
        self._called = False
        self._nodes = 0
        self._rate = 0.0
        self._ids: set[int] = set()
        self._rest_ms = 0.0
        self._rests = 0
        self._looked_up = (0, 0, 0)
        self._steps = 0
        self._times: NDArray[np.float64] = np.zeros(0)
        self._row_ms = 0.0
        self._worth = float(self._max_nodes)

    def _due(self, sequences: int) -> bool:
        if self._calls.paused:
            return self._called or self._steps % LOOK_EVERY == 0
        return not self._calls.cheap or self._steps % max(LOOK_EVERY // sequences, LOOK_LEAST) == 0

    def limit(self, batch: Sequence[DraftEntry], room: Room) -> None:
        """As many nodes as may pay; none at steps at which the drafter is not to be asked."""
        ids = {entry.id for entry in batch}
        self._called = self._max_nodes > 0 and self._calls.due(not ids <= self._ids)
        self._ids = ids
        most = 0
        if self._called:
            usual = max(FEW_NODES, math.ceil(2.0 * self._worth))
            most = int(min(self._max_nodes, self._calls.most_nodes, usual))
        further = min(self._max_nodes * len(batch), room.budget)
        price, rate = self._price(batch, room, further) if most and further else (0.0, 0.0)
        for entry in batch:
            entry.max_nodes = min(entry.max_nodes, most)
            entry.min_path_probability = price + rate * self._passes.row_ms(len(entry.tokens))

    def _price(self, batch: Sequence[DraftEntry], room: Room, further: int) -> tuple[float, float]:
        """What a node has to gain at least, and the tokens a millisecond that it has to keep up.

        If the best choice ends with a node of probability p, it is no worse than the same without
        that node, and no worse than none at all. So p is at least the rate of a pass without drafts
        times what the last row adds to the pass: at least the least that any row adds. Where some
        row is free that is 0, and rightly so. Where drafting takes time, each node is due its
        share of it, at the rate that is reached with drafts.
        """
        self._look_up(room, further)
        rate = room.decoding / float(self._times[0])
        row_ms = self._row_ms
        node_ms = self._calls.node_ms
        if node_ms:
            rate = max(rate, self._rate)
            row_ms += node_ms / len(batch)
        return rate * row_ms, rate

    def _look_up(self, room: Room, further: int) -> None:
        """Find what steps with 0, 1, … `further` drafted rows take, and the least a row adds."""
        key, others = (len(room.rows), room.decoding, further), len(room.rows) > room.decoding
        if self._due(room.decoding) or key != self._looked_up or others:
            self._looked_up = key
            times = self._passes.ms(room.rows, further)
            if others:
                times += self._passes.pass_ms(room.rows[: room.decoding]) - times[0]
            self._row_ms = max(float((times[1:] - times[:-1]).min()), 0.0)
            times += self._calls.ms + self._rest_ms
            self._times = times

    def choose(self, batch: Sequence[DraftEntry], trees: Sequence[Tree], room: Room) -> list[Tree]:
        """The best prefix of all nodes, likeliest first."""
        self._nodes = max(map(len, trees), default=0)
        if not self._nodes:
            return list(trees)
        most = [entry.max_nodes for entry in batch]
        further = min(
            sum(min(n, len(tree)) for n, tree in zip(most, trees, strict=True)), room.budget
        )
        chosen = best_prefix(
            trees,
            most,
            [self._passes.row_ms(len(entry.tokens)) for entry in batch],
            self._times[: further + 1],
            room.decoding,
            self._gain,
        )
        self._worth = max(FORGET * self._worth, *map(len, chosen))
        return chosen

    def observe(self, batch: Sequence[Observation], report: PassReport) -> None:
        """Correct the times of passes, and see whether the drafter pays."""
        self._steps += 1
        if not self._due(len(report.rows)) or not only_decoding(batch, report):
            return
        if report.rest_ms is not None:
            self._rests += 1
            rest_ms = report.sampling_ms + report.rest_ms
            self._rest_ms += (rest_ms - self._rest_ms) / min(self._rests, REST_MEMORY)
        self._passes.observe(report.rows, report.pass_ms)
        tokens = len(report.rows) + sum(len(o.verdict.accepted) for o in batch)
        if self._called:
            plain_ms = self._passes.pass_ms([(context, 1) for context, _ in report.rows])
            pass_ms = self._passes.pass_ms(report.rows)
            rate = tokens / (pass_ms + report.draft_ms)
            self._rate += (rate - self._rate) / RATE_MEMORY if self._rate else rate
            saved_ms = tokens * plain_ms / len(report.rows) - pass_ms
            self._calls.record(report.draft_ms, self._nodes, saved_ms, plain_ms)
