"""Whether a drafter that takes time is asked at all.

A draft that is not verified costs no row, but drafting it may have cost a pass of a draft model.
Such a drafter is asked while that saves time; then ever more rarely, to see whether the text has
become easier.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from typing import Final

CHEAP: Final = 0.1
"""A drafter whose calls take less than this share of a plain pass is asked for as many nodes as are
worth their rows, for one more takes next to nothing."""

SHARE: Final = 0.01
"""The share of the time that looking in vain whether the drafter pays again may take in the long
run, and once more where short answers follow one another."""

FIRST_WAIT: Final = 8
"""Steps after which a drafter that does not pay is asked again for the first time, at least."""

FIRST_SHARE: Final = 1 / 8
"""The same as a part of the longest wait, for drafters that take long."""

PROBE_NODES: Final = 4
"""Nodes at most, while it is not known whether the drafter pays."""

TRIAL: Final = 4
"""Calls before which it is not known."""

CREDIT: Final = 2.0
"""Plain passes, or times of a call where that takes longer, that may be lost before the drafter is
found not to pay. As much of what it saved earlier counts in its favour, and no more: long success
must not hide that it is over."""

REGAINED: Final = 0.5
"""The part of that which has to be saved by looking again, before it is asked regularly."""

TIMES_KEPT: Final = 16
"""Calls whose times count."""


class Calls:
    """When to call a drafter, from what calling it has saved; a call is drafting and learning.

    The account is a cumulative sum (Page 1954) of the milliseconds saved, held between two limits.
    """

    def __init__(self) -> None:
        self._paused = False
        self._cheap = False
        self._times: deque[float] = deque(maxlen=TIMES_KEPT)
        self._times_per_node: deque[float] = deque(maxlen=TIMES_KEPT)
        self._ms = 0.0
        self._node_ms = 0.0
        self._account = 0.0
        self._calls = 0
        self._wait = FIRST_WAIT
        self._longest_wait = FIRST_WAIT
        self._left = 0
        self._since_new = 0
        self._limit = math.inf

    @property
    def ms(self) -> float:
        """What a call takes."""
        return self._ms

    @property
    def paused(self) -> bool:
        """Whether the drafter is asked only to see whether it pays again."""
        return self._paused

    @property
    def cheap(self) -> bool:
        """Whether a call takes a small part of a pass."""
        return self._cheap

    @property
    def node_ms(self) -> float:
        """What a further node takes, where a call is not cheap."""
        return self._node_ms

    @property
    def most_nodes(self) -> float:
        """What a call may ask for: few nodes while it is not known whether it pays.

        Whenever it was found not to pay, half as many as then; one more for each call in full
        credit. So a drafter whose short drafts pay and whose long ones do not is kept to the short.
        """
        if self._cheap:
            return math.inf
        return self._limit if self._account >= 0.0 and self._calls >= TRIAL else PROBE_NODES

    def due(self, new_text: bool) -> bool:
        """Whether to call the drafter at this step.

        Args:
            new_text: an answer has begun, so what was found of others may not hold.
        """
        self._left -= 1
        self._since_new += 1
        if not self._paused or self._left < 0:
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
        self._calls += 1
        self._times.append(call_ms)
        usual = without_largest(self._times)
        self._ms = sum(usual) / len(usual)
        self._cheap = self._ms < CHEAP * plain_ms
        if nodes:
            # The least of the averages: in a short draft each node bears much of what a call takes
            # in any case.
            self._times_per_node.append(call_ms / nodes)
            self._node_ms = 0.0 if self._cheap else min(self._times_per_node)
        # A call that waited for what else the machine does is not the drafter's fault.
        saved_ms -= min(call_ms, max(usual[-1], nodes * self._node_ms))
        credit = CREDIT * max(plain_ms, self._ms)
        self._account = min(max(self._account + saved_ms, -credit), credit)
        self._longest_wait = max(FIRST_WAIT, round(self._ms / (SHARE * plain_ms)))
        first_wait = max(FIRST_WAIT, round(FIRST_SHARE * self._longest_wait))
        if self._account == credit:
            self._paused = False
            self._wait = first_wait
            self._limit += 1
        elif self._paused:
            self._look_again(saved_ms, (REGAINED - 1.0) * credit)
        elif self._account == -credit:
            self._paused = True
            self._wait = self._left = max(self._wait, first_wait)
            self._limit = max(PROBE_NODES, nodes // 2)

    def _look_again(self, saved_ms: float, regained: float) -> None:
        """After a call that saved time at once, otherwise after twice the steps of the last time.

        A single one may be luck.
        """
        if self._account >= regained:
            self._paused = False
            self._wait //= 2
        elif saved_ms > 0.0:
            self._left = 0
        else:
            self._wait = min(2 * self._wait, self._longest_wait)
            self._left = self._wait


def without_largest(times: Collection[float]) -> list[float]:
    """Four of five, ascending: some calls wait for what else the machine does."""
    return sorted(times)[: len(times) - len(times) // 5]
