"""What the tests of the loop share: jobs, sinks, and drafters of every character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from outrider import registry
from outrider.control.fixed import FixedController
from outrider.decode import Loop
from outrider.drafters.base import DraftEntry, Drafter
from outrider.engines.toy import ToyEngine
from outrider.plan import Plan
from outrider.sampling import StreamId
from outrider.scheduler import Job
from outrider.testing import committed
from outrider.tree import EMPTY, ROOT, Tree
from outrider.types import Event, Sampling, Speculation, Usage


@dataclass
class Piece:
    text: str
    stopped: bool
    kept_tokens: int


class CommaText:
    """Tokens as numbers between commas; stops behind a given token."""

    def __init__(self, stop: int | None = None) -> None:
        self._stop = stop
        self.stopped = False

    def push(self, tokens: Sequence[int]) -> Piece:
        kept = list(tokens)
        if self._stop in kept:
            kept = kept[: kept.index(self._stop) + 1]
            self.stopped = True
        return Piece("".join(f"{t}," for t in kept), self.stopped, len(kept))

    def finish(self) -> str:
        return ""


@dataclass
class Answer:
    """One completion, folded from its events."""

    tokens: list[int] = field(default_factory=list)
    text: str = ""
    origins: list[str | None] = field(default_factory=list)
    logprobs: list = field(default_factory=list)
    prompt_logprobs: tuple | None = None
    reason: str | None = None
    error: str | None = None
    usage: Usage | None = None

    def add(self, event: Event) -> None:
        assert self.reason is None, "an event after the last one"
        self.tokens += event.tokens
        self.text += event.text
        self.origins += event.origins
        self.logprobs += event.logprobs or ()
        self.prompt_logprobs = event.prompt_logprobs or self.prompt_logprobs
        self.reason, self.error, self.usage = event.finish_reason, event.error, event.usage


class Asked:
    """A job with the answers that have come so far."""

    def __init__(self, tokens: Sequence[int], **settings) -> None:
        self.answers = [Answer() for _ in range(settings.get("n", 1))]
        stop = settings.pop("stop", None)
        values = {
            "max_tokens": 24,
            "sampling": Sampling(),
            "seed": 5,
            "stop_tokens": frozenset(),
            "speculation": Speculation(drafter="none"),
        } | settings
        self.job = Job(
            tokens=tuple(tokens),
            sink=lambda: CommaText(stop),
            emit=lambda event: self.answers[event.index].add(event),
            **values,
        )

    @property
    def answer(self) -> Answer:
        return self.answers[0]

    @property
    def done(self) -> bool:
        return all(answer.reason for answer in self.answers)


class RandomDrafter(Drafter):
    """Guesses at random, in trees of random shape."""

    def __init__(self, target) -> None:
        super().__init__(target)
        self._random = np.random.default_rng(3)

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        return [self._tree(entry.max_nodes) for entry in batch]

    def _tree(self, nodes: int) -> Tree:
        tokens, parents, seen = [], [], set()
        for node in range(nodes):
            parent = int(self._random.integers(ROOT, node))
            token = int(self._random.integers(self.target.vocab_size))
            if (parent, token) not in seen:
                seen.add((parent, token))
                tokens.append(token)
                parents.append(parent)
            else:
                break
        return Tree(tuple(tokens), tuple(parents), (0.5,) * len(tokens))


class OracleDrafter(Drafter):
    """Knows the answers in advance; `answers` maps a prompt to what follows it."""

    answers: dict[tuple[int, ...], list[int]] = {}

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        trees = []
        for entry in batch:
            said = len(entry.tokens) - entry.prompt_length
            truth = self.answers[tuple(entry.tokens[: entry.prompt_length])]
            chain = truth[said : said + entry.max_nodes]
            trees.append(Tree.chain(chain, [0.9] * len(chain)))
        return trees


class BranchingOracle(OracleDrafter):
    """The truth, each node behind a wrong sibling."""

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        trees = []
        for entry, chain in zip(batch, super().draft(batch), strict=True):
            tokens, parents, last = [], [], ROOT
            for token in chain.tokens:
                if len(tokens) + 2 > entry.max_nodes:
                    break
                tokens += [(token + 1) % self.target.vocab_size, token]
                parents += [last, last]
                last = len(tokens) - 1
            trees.append(Tree(tuple(tokens), tuple(parents), (0.5,) * len(tokens)))
        return trees


class RaisingDrafter(Drafter):
    """Fails at its third draft."""

    def __init__(self, target) -> None:
        super().__init__(target)
        self._calls = 0

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        self._calls += 1
        if self._calls >= 3:
            raise RuntimeError("out of ideas")
        return [EMPTY] * len(batch)


class ForeignDrafter(Drafter):
    """Proposes a token that the target does not have."""

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        return [Tree.chain([self.target.vocab_size], [0.5]) for _ in batch]


class SelfDrafter(Drafter):
    """The target as its own drafter: draws chains from the target's distribution."""

    draws = True
    blur = 0.0

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        return [self._chain(entry) for entry in batch]

    def _chain(self, entry: DraftEntry) -> Tree:
        model, tokens, drawn_from = ToyEngine(), list[int](), dict[int, np.ndarray]()
        pending, sequence = entry.tokens, model.open([], model.context)
        for node in range(min(entry.max_nodes, entry.max_depth)):
            logits = model.forward(committed(sequence, pending)).numpy([len(pending) - 1])[0]
            p = entry.sampler.probabilities(logits, tokens)
            q = drawn_from[ROOT + node] = (1 - self.blur) * p + self.blur / len(p)
            position = len(entry.tokens) + node
            pending = [entry.sampler.draw(q, position, StreamId.DRAFT)]
            tokens += pending
        chain = Tree.chain(tokens, [0.5] * len(tokens))
        return Tree(chain.tokens, chain.parents, chain.probabilities, drawn_from)


class BlurredDrafter(SelfDrafter):
    """Draws something else every other time."""

    blur = 0.5


class SecretiveDrafter(SelfDrafter):
    """Does not say that it draws."""

    draws = False


class GreedyDrafter(Drafter):
    """Takes no notice of its limits."""

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        return [Tree.chain([1] * 500, [0.5] * 500) for _ in batch]


class WastefulController(FixedController):
    """Spends whatever is proposed."""

    def choose(self, batch, trees, room):
        return list(trees)


class ChoosyController(FixedController):
    """Drops what seems unlikely to it."""

    looks_at_draws = True


DRAFTERS = {
    "self": SelfDrafter,
    "blurred": BlurredDrafter,
    "secretive": SecretiveDrafter,
    "greedy": GreedyDrafter,
    "random": RandomDrafter,
    "oracle": OracleDrafter,
    "branching": BranchingOracle,
    "raising": RaisingDrafter,
    "foreign": ForeignDrafter,
}

PLAIN = Plan(drafter="none", controller="fixed")
"""Drafts only what a job asks for, and then as much at every step: no time decides about it."""


def load(group: registry.Group, name: str):
    controllers = {"wasteful": WastefulController, "choosy": ChoosyController}
    own = {"drafters": DRAFTERS, "controllers": controllers}.get(group, {})
    return own[name] if name in own else registry.load(group, name)


def loop_on(engine: ToyEngine | None = None, *, plan: Plan = PLAIN, **settings) -> Loop:
    return Loop(engine or ToyEngine(), plan=plan, load=load, **settings)


def run(loop: Loop, *asked: Asked) -> None:
    """Ask everything at once and step until all answers are there."""
    for one in asked:
        loop.add(one.job)
    for _ in range(10_000):
        if loop.idle:
            break
        loop.step()
    assert all(one.done for one in asked)


def plain(tokens: Sequence[int], **settings) -> Answer:
    """The answer of plain decoding, alone, on an engine of its own."""
    asked = Asked(tokens, **settings)
    run(loop_on(), asked)
    return asked.answer
