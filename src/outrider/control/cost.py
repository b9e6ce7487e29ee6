"""The controller that spends rows where they bring most tokens a millisecond."""

from __future__ import annotations

from collections.abc import Sequence

from outrider import _native
from outrider.control.base import Controller, PassReport, Room
from outrider.control.passes import PassTimes, only_decoding
from outrider.control.prefix import picked
from outrider.drafters.base import DraftEntry, Observation
from outrider.engines.base import Cost
from outrider.errors import UsageError
from outrider.tree import Tree


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
    asked for no node that is not worth drafting. The account of what it saves is the cumulative sum
    of Page 1954, held between two limits.

    The arithmetic is done in the extension, in one call each: a pass leaves nothing of the
    interpreter in the caches, so that what a step does in Python takes three times as long as by
    itself.

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
        most = max_nodes if num_draft_tokens is None else num_draft_tokens
        self._rule = _native.CostRule(PassTimes(cost), most, 1.0 + margin)

    def limit(self, batch: Sequence[DraftEntry], room: Room) -> None:
        """As many nodes as may pay; none at steps at which the drafter is not to be asked."""
        most, prices = self._rule.limit(
            [entry.id for entry in batch],
            [len(entry.tokens) for entry in batch],
            room.rows,
            room.decoding,
            room.budget,
        )
        for entry, price in zip(batch, prices, strict=True):
            entry.max_nodes = min(entry.max_nodes, most)
            entry.min_path_probability = price

    def choose(self, batch: Sequence[DraftEntry], trees: Sequence[Tree], room: Room) -> list[Tree]:
        """The best prefix of all nodes, likeliest first."""
        chosen = self._rule.choose(
            [tree.parents for tree in trees],
            [tree.probabilities for tree in trees],
            [entry.max_nodes for entry in batch],
            room.decoding,
            room.budget,
        )
        return [picked(tree, nodes) for tree, nodes in zip(trees, chosen, strict=True)]

    def observe(self, batch: Sequence[Observation], report: PassReport) -> None:
        """Correct the times of passes, and see whether the drafter pays."""
        if self._rule.passed(len(report.rows)) and only_decoding(batch, report):
            self._rule.observe(
                report.rows,
                sum(len(observation.verdict.accepted) for observation in batch),
                report.draft_ms,
                report.pass_ms,
                report.sampling_ms,
                report.rest_ms,
            )
