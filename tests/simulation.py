"""Random serving: sequences that are opened, forked, fed, drafted for, kept and closed.

Every row of every pass is compared with an oracle that computes its text alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from outrider.engines.base import HISTORY, CachedSequence
from outrider.engines.native import NativeEngine
from outrider.errors import CapacityError
from passes import Batch, Oracle, same_bytes


@dataclass
class Text:
    """An open sequence, what it holds, and what it was opened for."""

    sequence: CachedSequence
    capacity: int
    history: list[int]
    pending: list[int]  # tokens of the prompt that are not computed yet


@dataclass(frozen=True)
class Path:
    """Drafted rows from the first below the history down to a node, and their tokens."""

    rows: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)


@dataclass
class Simulation:
    """One run; `random` decides everything."""

    engine: NativeEngine
    oracle: Oracle
    random: np.random.Generator
    prompt: int = 40  # tokens at most
    growth: int = 24
    letters: int = 6  # few tokens, so that texts share beginnings
    open: list[Text] = field(default_factory=list)
    prompts: list[list[int]] = field(default_factory=list)
    shared: int = 0
    refused: int = 0

    def below(self, n: int) -> int:
        return int(self.random.integers(n))

    def tokens(self, n: int) -> list[int]:
        return [int(t) for t in self.random.integers(0, self.letters, n)]

    def new_prompt(self) -> list[int]:
        """Often one that begins like an earlier one."""
        length = 1 + self.below(self.prompt)
        old = self.prompts[self.below(len(self.prompts))] if self.prompts else []
        prompt = old[: self.below(len(old) + 1)]
        prompt = (prompt + self.tokens(length))[: max(length, len(prompt))] or self.tokens(1)
        self.prompts.append(prompt)
        return prompt

    def start(self) -> None:
        """Open a sequence."""
        prompt = self.new_prompt()
        capacity = len(prompt) + self.below(self.growth)
        try:
            sequence = self.engine.open(prompt, capacity, share=self.below(8) > 0)
        except CapacityError as error:
            self.refuse(error, capacity)
            return
        assert sequence.cached % 16 == 0
        assert sequence.cached < len(prompt)
        self.shared += sequence.cached
        history, pending = prompt[: sequence.cached], prompt[sequence.cached :]
        self.open.append(Text(sequence, capacity, history, pending))

    def refuse(self, error: CapacityError, capacity: int) -> None:
        """There is no room: never, where the whole cache is too small."""
        assert error.never == (-(-capacity // 16) * 16 > self.engine.cache_tokens)
        self.refused += 1

    def fork(self) -> None:
        """A second sequence like an open one."""
        text = self.open[self.below(len(self.open))]
        capacity = len(text.history) + len(text.pending) + self.below(self.growth)
        try:
            sequence = self.engine.fork(text.sequence, capacity)
        except CapacityError as error:
            self.refuse(error, capacity)
            return
        self.open.append(Text(sequence, capacity, [*text.history], [*text.pending]))

    def close(self) -> None:
        """Forget a sequence."""
        text = self.open.pop(self.below(len(self.open)))
        self.engine.close(text.sequence)

    def step(self) -> None:
        """A pass over some rows of some sequences, then what is kept of it."""
        batch = Batch()
        room = self.engine.capabilities.max_rows
        order = self.random.permutation(len(self.open))[: 1 + self.below(4)]
        plans: list[tuple[Text, list[int], list[int], dict[int, Path]]] = []
        for i in order:
            text = self.open[int(i)]
            committed = self.tokens(self.below(3)) if not text.pending else []
            prefill = text.pending[: 1 + self.below(len(text.pending))] if text.pending else []
            committed = (prefill or committed)[: text.capacity - len(text.history)]
            committed = committed[: max(room - len(batch), 0)]
            del text.pending[: len(prefill and committed)]
            rows = batch.commit(text.sequence, committed)
            plans.append((text, committed, rows, {}))
        # The drafted rows of all sequences stand mixed.
        for _ in range(self.below(12)):
            text, committed, rows, nodes = plans[self.below(len(plans))]
            if text.pending or len(batch) >= room:
                continue
            root = rows[-1] if rows else HISTORY
            parent = [root, *nodes][self.below(len(nodes) + 1)]
            above = nodes.get(parent, Path())
            if len(text.history) + len(committed) + len(above.rows) >= text.capacity:
                continue
            token = self.below(self.letters)
            row = batch.add(text.sequence, token, parent)
            nodes[row] = Path([*above.rows, row], [*above.tokens, token])
        if not len(batch):
            return
        result = batch.run(self.engine)
        for text, committed, rows, nodes in plans:
            before = [*text.history]
            text.history += committed
            if rows:
                expected = self.oracle.every(text.history)[len(before) :]
                assert same_bytes(result.numpy(rows), expected)
            for row, path in nodes.items():
                expected = self.oracle.after(text.history + path.tokens)
                assert same_bytes(result.numpy([row])[0], expected)
            if nodes and self.below(3):
                path = [*nodes.values()][self.below(len(nodes))]
                self.engine.keep(text.sequence, path.rows)
                text.history += path.tokens
            assert text.sequence.length == len(text.history)

    def run(self, steps: int) -> None:
        """Do so many things, then close everything."""
        for _ in range(steps):
            choice = self.below(10)
            if not self.open or (choice == 0 and len(self.open) < 6):
                self.start()
            elif choice == 1 and len(self.open) < 6:
                self.fork()
            elif choice == 2:
                self.close()
            elif self.open:
                self.step()
        while self.open:
            self.close()
