"""Lengths by thresholds: of the acceptance that was, or of the confidence that the drafter has."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from outrider.control.base import PassReport, Room
from outrider.control.lengths import LengthController, check_at_least, check_share
from outrider.drafters.base import DraftEntry, Observation
from outrider.engines.base import Cost
from outrider.errors import unknown_name
from outrider.tree import ROOT, Tree

MODES: Final = ("acceptance", "confidence")

LONGEST: Final = 20
"""Nodes at most in the mode of confidence, where nobody says."""

SAMPLES: Final = 512
"""Drafted tokens that the confidence is tuned on."""

FEWEST_SAMPLES: Final = 6

MISSED_WEIGHT: Final = 3.0
"""How much worse it is to stop before a right token than to go on to a wrong one."""


@dataclass(slots=True)
class Recent:
    """One completion's K and the steps since it last changed, as (accepted, drafted)."""

    length: int
    steps: deque[tuple[int, int]] = field(default_factory=deque)


class ThresholdController(LengthController):
    """K follows the acceptance rate of recent steps, or drafts end where the drafter doubts.

    In the mode `acceptance`, each completion has a K. After a window of steps with drafts it rises
    by 1 where more than `raise_above` of the drafted tokens were accepted, and falls by 1, down to
    1, where fewer than `lower_below` were.

    In the mode `confidence`, a node is the last on its path if its probability is below a
    threshold. The threshold is tuned on what came of the drafted tokens: false positives are tokens
    above it that were wrong, false negatives tokens below it that were right, and three times the
    rate of these plus the rate of those is made smallest. The rule of Hugging Face's assisted
    generation, `assistant_confidence_threshold`.

    Args:
        cost: not looked at.
        num_draft_tokens: the greatest K.
        mode: "acceptance" or "confidence".
        start: the first K.
        window: steps with drafts after which K may change.
        raise_above: in [0, 1], at least `lower_below`.
        lower_below: in [0, 1].
        confidence: the first threshold, in [0, 1].

    Raises:
        UsageError: an option is out of range.
    """

    def __init__(
        self,
        cost: Cost,
        num_draft_tokens: int | None = None,
        *,
        mode: str = "acceptance",
        start: int = 4,
        window: int = 4,
        raise_above: float = 0.8,
        lower_below: float = 0.5,
        confidence: float = 0.4,
    ) -> None:
        super().__init__(cost, num_draft_tokens)
        if mode not in MODES:
            raise unknown_name("mode of the controller 'threshold':", mode, MODES)
        check_at_least("start", start, 1)
        check_at_least("window", window, 1)
        check_share("lower_below", lower_below)
        check_share("raise_above", raise_above)
        check_share("raise_above less lower_below", raise_above - lower_below)
        check_share("confidence", confidence)
        self._confident = mode == "confidence"
        self._start = start
        self._window = window
        self._raise_above = raise_above
        self._lower_below = lower_below
        self._recent: dict[int, Recent] = {}
        self.confidence = confidence
        self._samples: deque[tuple[float, bool]] = deque(maxlen=SAMPLES)

    def lengths(self, batch: Sequence[DraftEntry]) -> list[int]:
        """Each completion's K; those that have ended are forgotten."""
        if self._confident:
            return [LONGEST] * len(batch)
        self._recent = {
            entry.id: self._recent.get(entry.id) or Recent(self._start) for entry in batch
        }
        return [recent.length for recent in self._recent.values()]

    def choose(self, batch: Sequence[DraftEntry], trees: Sequence[Tree], room: Room) -> list[Tree]:
        """The likeliest nodes; with the mode of confidence none behind a node below it."""
        if self._confident:
            trees = [self._until_doubt(tree) for tree in trees]
        return super().choose(batch, trees, room)

    def _until_doubt(self, tree: Tree) -> Tree:
        """The node that falls below the threshold stays, as the one that has been drafted.

        So whether a node is verified depends on those before it alone, and the threshold is tuned
        on tokens from both of its sides.
        """
        open_at = {ROOT}
        kept = []
        for node, (parent, probability) in enumerate(
            zip(tree.parents, tree.probabilities, strict=True)
        ):
            if parent in open_at:
                kept.append(node)
                if probability >= self.confidence:
                    open_at.add(node)
        return tree if len(kept) == len(tree) else tree.pick(kept)

    def observe(self, batch: Sequence[Observation], report: PassReport) -> None:
        """A step without a draft says nothing."""
        for seen in batch:
            if not len(seen.tree):
                continue
            if self._confident:
                self._samples.extend(tried(seen))
            elif (recent := self._recent.get(seen.entry.id)) is not None:
                recent.steps.append((len(seen.verdict.accepted), len(seen.tree)))
                if len(recent.steps) == self._window:
                    self._adapt(recent)
        if self._confident and len(self._samples) >= FEWEST_SAMPLES:
            self.confidence = best_threshold(self._samples, self.confidence)

    def _adapt(self, recent: Recent) -> None:
        accepted, drafted = map(sum, zip(*recent.steps, strict=True))
        recent.steps.clear()
        if accepted > self._raise_above * drafted:
            recent.length += 1
        elif accepted < self._lower_below * drafted:
            recent.length -= 1
        most = recent.length if self.num_draft_tokens is None else self.num_draft_tokens
        recent.length = max(min(recent.length, most), 1)


def tried(seen: Observation) -> list[tuple[float, bool]]:
    """The nodes whose parent was accepted: their probability, and whether they were right."""
    right = set(seen.verdict.accepted)
    reached = right | {ROOT}
    return [
        (probability, node in right)
        for node, (parent, probability) in enumerate(
            zip(seen.tree.parents, seen.tree.probabilities, strict=True)
        )
        if parent in reached
    ]


def best_threshold(samples: Sequence[tuple[float, bool]], otherwise: float) -> float:
    """The probability t for which false positives + 3 · false negatives is smallest, as rates.

    Positive is a token of probability t or more; of equals the greatest t is taken.

    Args:
        samples: (probability, whether the token was right).
        otherwise: what is returned where all were right, or all wrong.
    """
    probabilities = np.array([probability for probability, _ in samples])
    right = np.array([was_right for _, was_right in samples])
    if right.all() or not right.any():
        return otherwise
    candidates = np.unique(probabilities)[::-1]
    above = probabilities[None, :] >= candidates[:, None]
    false_positives = above[:, ~right].mean(axis=1)
    false_negatives = 1.0 - above[:, right].mean(axis=1)
    return float(candidates[np.argmin(false_positives + MISSED_WEIGHT * false_negatives)])
