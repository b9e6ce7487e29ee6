"""A drafter and an engine made of numbers: acceptance rates and costs drive controllers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from outrider.control.base import Controller, PassReport, Room
from outrider.drafters.base import DraftEntry, Observation
from outrider.sampling import Sampler
from outrider.tree import Tree
from outrider.types import Sampling, Verdict


@dataclass(frozen=True)
class ListedCost:
    """The time of M rows, from one row on; behind the list it rises as at its end."""

    times: Sequence[float]
    row_ms: float = 0.0  # of a further row behind 1000 tokens

    def ms(self, rows: Sequence[tuple[int, int]], layers: int | None = None) -> float:
        total = sum(count for _, count in rows)
        beyond = max(total - len(self.times), 0)
        slope = max(self.times[-1] - self.times[-2], 0.0) if len(self.times) > 1 else 0.0
        attention = sum(c / 1000 * self.row_ms * max(m - 1, 0) for c, m in rows)
        return (self.times[min(total, len(self.times)) - 1] if total else 0.0) + (
            slope * beyond + attention
        )


def entries(count: int, first: int = 0, context: int = 1) -> list[DraftEntry]:
    sampler = Sampler(Sampling(), vocab_size=8, seed=0)
    return [DraftEntry(first + i, [0] * context, 1, sampler) for i in range(count)]


@dataclass
class Chains:
    """Drafts chains whose tokens are right with a probability that may change by step.

    Attributes:
        alpha: by step.
        call_ms: what a node takes; all entries are drafted together.
        stated: the probability it states, where it is not honest.
        heeds: whether it stops at nodes that are not worth their price.
    """

    alpha: Callable[[int], float]
    call_ms: float = 0.0
    stated: float | None = None
    heeds: bool = True

    def draft(self, step: int, batch: Sequence[DraftEntry]) -> tuple[list[Tree], float]:
        stated = self.alpha(step) if self.stated is None else self.stated
        trees = []
        for entry in batch:
            nodes = 0
            while nodes < entry.max_nodes and (
                not self.heeds or stated ** (nodes + 1) >= entry.min_path_probability
            ):
                nodes += 1
            trees.append(Tree.chain([1] * nodes, [stated] * nodes))
        return trees, self.call_ms * max(map(len, trees))


@dataclass
class Run:
    """What a simulated text came to."""

    steps: int = 0
    tokens: int = 0
    ms: float = 0.0
    rows: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.tokens / self.ms


def simulate(
    controller: Controller,
    cost: ListedCost,
    drafter: Chains,
    steps: int,
    *,
    streams: int | Sequence[int] = 1,
    seed: int = 0,
    stutter: Callable[[int], float] = lambda step: 1.0,
    renewed: int = 10**9,
) -> Run:
    """Decode with a controller; times are those of the cost, times `stutter`.

    `renewed` is the number of steps after which all answers end and others begin, as many at a time
    as `streams` says, or says in turn.
    """
    random, run = np.random.default_rng(seed), Run()
    batch: list[DraftEntry] = []
    turns = [streams] if isinstance(streams, int) else streams
    for step in range(steps):
        if step % renewed == 0:
            batch = entries(turns[step // renewed % len(turns)], first=step)
        room = Room(64, tuple((len(e.tokens), 1) for e in batch), len(batch))
        for entry in batch:
            entry.max_nodes = room.budget // len(batch)
        controller.limit(batch, room)
        called = any(entry.max_nodes for entry in batch)
        proposed, draft_ms = drafter.draft(step, batch)
        trees = controller.choose(batch, proposed, room)
        rows = tuple((len(e.tokens), 1 + len(t)) for e, t in zip(batch, trees, strict=True))
        verdicts = [Verdict(tuple(accepted(random, drafter.alpha(step), t)), 1) for t in trees]
        pass_ms = cost.ms(rows) * stutter(step)
        run.steps += 1
        run.tokens += len(batch) + sum(len(v.accepted) for v in verdicts)
        run.ms += cost.ms(rows) + draft_ms
        run.rows.append(sum(count for _, count in rows))
        run.calls.append(called)
        seen = [Observation(*parts) for parts in zip(batch, trees, verdicts, strict=True)]
        controller.observe(seen, PassReport(rows, draft_ms, pass_ms, 0.0))
    return run


def accepted(random: np.random.Generator, alpha: float, chain: Tree) -> Iterator[int]:
    for node in range(len(chain)):
        if random.random() >= alpha:
            return
        yield node
