"""The positions that drafts have reached, grouped by what acceptance may depend on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, TypeVar

from outrider.lab.results import Results
from outrider.lab.statistics import ENOUGH, Interval, ratio_of_totals
from outrider.text import Tokenizer

K = TypeVar("K", bound=Hashable)

BEGINS: Final = "word beginnings"
GOES_ON: Final = "word continuations"
NUMBER: Final = "numbers"
SIGN: Final = "punctuation, signs"
SPACE: Final = "spaces, line ends"
CONTROL: Final = "ends of answers"
CLASSES: Final = (BEGINS, GOES_ON, NUMBER, SIGN, SPACE, CONTROL)
"""Kinds of tokens, by their text."""


def token_class(tokenizer: Tokenizer, token: int) -> str:
    """Which of `CLASSES` a token belongs to."""
    if token in tokenizer.stop_ids:
        return CONTROL
    text = tokenizer.token_bytes(token).decode("utf-8", errors="replace")
    core = text.strip()
    if not core:
        return SPACE
    if any(c.isdigit() for c in core):
        return NUMBER
    if not any(c.isalpha() or c == "\ufffd" for c in core):
        return SIGN
    return BEGINS if text[0].isspace() else GOES_ON


class Overlap(NamedTuple):
    """One position.

    Attributes:
        prompt: its index.
        depth: in the draft, from 1.
        kind: of `CLASSES`, of the token that stands there.
        overlap: 1 − TV of draft and target.
        accepted: whether the draft was.
    """

    prompt: int
    depth: int
    kind: str
    overlap: float
    accepted: bool


@dataclass(frozen=True)
class Group:
    """Positions that have something in common; at least one."""

    positions: Sequence[Overlap]

    @property
    def overlaps(self) -> list[float]:
        """1 − TV at each."""
        return [position.overlap for position in self.positions]

    @property
    def accepted(self) -> float:
        """The share at which the draft was accepted."""
        return sum(position.accepted for position in self.positions) / len(self.positions)

    @property
    def value(self) -> float:
        """The mean of 1 − TV."""
        return sum(self.overlaps) / len(self.positions)

    @cached_property
    def mean(self) -> Interval:
        """The mean of 1 − TV, with an interval over prompts."""
        sums: defaultdict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for position in self.positions:
            sums[position.prompt][0] += position.overlap
            sums[position.prompt][1] += 1
        return ratio_of_totals([part for part, _ in sums.values()], [n for _, n in sums.values()])


@dataclass(frozen=True)
class Overlaps:
    """What the drafts of one drafter have reached.

    Attributes:
        name: of the arm.
        positions: all of them.
        category_of: the prompts' categories, by their indices.
    """

    name: str
    positions: Sequence[Overlap]
    category_of: Mapping[int, str | None]

    @cached_property
    def all(self) -> Group:
        """All positions, where there are any."""
        return Group(self.positions)

    @cached_property
    def depths(self) -> Mapping[int, Group]:
        """By position in the draft."""
        return self._grouped(lambda position: position.depth)

    @cached_property
    def classes(self) -> Mapping[str, Group]:
        """By kind of token."""
        return self._grouped(lambda position: position.kind)

    @cached_property
    def categories(self) -> Mapping[str | None, Group]:
        """By kind of task."""
        return self._grouped(lambda position: self.category_of.get(position.prompt))

    def _grouped(self, key: Callable[[Overlap], K]) -> Mapping[K, Group]:
        found: defaultdict[K, list[Overlap]] = defaultdict(list)
        for position in self.positions:
            found[key(position)].append(position)
        return {name: Group(each) for name, each in found.items()}


def overlaps_of(results: Results, arm: str) -> Overlaps:
    """What an arm's drafts have reached, over all prompts and repeats."""
    prompts = results.setup.prompts
    return Overlaps(
        arm,
        [
            Overlap(prompts[m.group].index, depth, kind, overlap, bool(accepted))
            for m in results.of(arm)
            for depth, kind, overlap, accepted in m.values["reached"]
        ],
        {prompt.index: prompt.category for prompt in prompts},
    )


def apart(one: Interval, other: Interval) -> bool:
    """Whether two intervals do not touch, and both rest on enough prompts to be believed."""
    if min(one.units, other.units) < ENOUGH:
        return False
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.high < other.low or other.high < one.low
