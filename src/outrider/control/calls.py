"""Whether a drafter that takes time is asked at all.

A draft that is not verified costs no row, but drafting it may have cost a pass of a draft model.
Such a drafter is asked while that saves time; then ever more rarely, to see whether the text has
become easier.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Final

FREE: Final = 0.02
"""A drafter that takes less than this share of a plain pass is always asked."""

SHARE: Final = 0.01
"""The share of the time that looking in vain whether the drafter pays again may take in the long
run, and once more where short answers follow one another."""

FIRST_WAIT: Final = 8
"""Steps after which a drafter that does not pay is asked again for the first time."""

PROBE_NODES: Final = 4
"""Nodes at most, while it is not known whether the drafter pays."""

TRIAL: Final = 4
"""Calls after which a drafter may be found not to pay."""

LOSS: Final = 2.0
"""Plain passes that may be lost in the trial, however few the calls."""

TIMES_KEPT: Final = 16
"""Calls whose times count."""

SAVED_MEMORY: Final = 8
"""Calls after which what they saved is forgotten by 1 / e."""


class Calls:
    """When to call a drafter, from what calling it has saved.

    Attributes:
        paused: whether it is called only to see.
    """

    def __init__(self) -> None:
        self.paused = False
        self._times: deque[float] = deque(maxlen=TIMES_KEPT)
        self._times_per_node: deque[float] = deque(maxlen=TIMES_KEPT)
        self._free = False
        self._saved = 0.0
        self._calls = 0
        self._wait = FIRST_WAIT
        self._longest_wait = FIRST_WAIT
        self._left = 0
        self._since_new = 0

    @property
    def ms(self) -> float:
        """What a call takes: the median, for some calls wait for what else the machine does."""
        return median(self._times) if self._times else 0.0

    @property
    def node_ms(self) -> float:
        """What a further node takes, where a call is not next to free.

        It is what a node took on average in the call in which that was least: long drafts tell,
        because in short ones each node bears much of what a call takes in any case.
        """
        return 0.0 if self._free or not self._times_per_node else min(self._times_per_node)

    @property
    def most_nodes(self) -> float:
        """What a call may ask for: few nodes while it is not known whether it pays."""
        return PROBE_NODES if self.paused or self._calls < TRIAL else math.inf

    def due(self, new_text: bool) -> bool:
        """Whether to call the drafter at this step.

        Args:
            new_text: an answer has begun, so what was found of others may not hold.
        """
        self._left -= 1
        self._since_new += 1
        if not self.paused or self._left < 0:
            return True
        if new_text and self._since_new > self._longest_wait:
            self._since_new = 0
            return True
        return False

    def record(self, call_ms: float, nodes: int, saved_ms: float, plain_ms: float) -> None:
        """What came of a call.

        Args:
            call_ms: what it took.
            nodes: of the largest tree that it proposed.
            saved_ms: what the step saved against plain decoding, the call's own time aside.
            plain_ms: a pass without drafts.
        """
        self._times.append(call_ms)
        if nodes:
            self._times_per_node.append(call_ms / nodes)
        typical_ms = self.ms
        self._free = typical_ms < FREE * plain_ms
        self._longest_wait = math.ceil(typical_ms / (SHARE * plain_ms))
        saved_ms -= typical_ms
        self._calls += 1
        self._saved += (saved_ms - self._saved) / min(self._calls, SAVED_MEMORY)
        # Long success must not hide for long that it is over.
        self._saved = min(self._saved, plain_ms)
        if self._free or self._saved >= 0.0:
            self.paused = False
            self._wait = FIRST_WAIT
        elif self.paused:
            self._look_again(saved_ms)
        elif self._calls >= TRIAL or self._saved * self._calls < -LOSS * plain_ms:
            self.paused = True
            self._left = min(self._wait, self._longest_wait)

    def _look_again(self, saved_ms: float) -> None:
        """After a call that saved time at once, otherwise after twice the steps of the last time.

        That may be luck: the drafter is called regularly when such calls outweigh the others.
        """
        if saved_ms > 0.0:
            self._left = 0
            return
        self._wait = min(2 * self._wait, self._longest_wait)
        self._left = self._wait
