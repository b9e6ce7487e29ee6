"""One neighbour of speculation: how it is asked, with and without, and what came of it."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from outrider.lab.contest import LlmHost, Sample, sample
from outrider.lab.experiment import Arm, Bench, Cell, Measured, Plot, Setup, Table
from outrider.lab.passages import Passage, document, read_passages
from outrider.lab.results import Results
from outrider.lab.statistics import Interval, Times, speedup
from outrider.llm import LLM
from outrider.prompts import Prompt
from outrider.streams import Stream

PLAIN: Final[Mapping[str, Any]] = {"speculation": False}
"""Settings of every arm: what drafts bring is another matter."""

MS: Final = "ms"
"""What an arm's measurements are compared by."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What a neighbour is worth.

    Attributes:
        name: what is done, for a row of the picture.
        ratio: how many times as soon, all groups of prompts together.
        each: the same of every group, float64[groups].
    """

    name: str
    ratio: Interval | None
    each: NDArray[np.float64]


class Part(abc.ABC):
    """A neighbour.

    Attributes:
        every: a group of prompts begins at each so-many-th one.
    """

    every: ClassVar[int] = 1

    @abc.abstractmethod
    def arms(self, setup: Setup) -> Sequence[Arm]:
        """With it and without."""

    @abc.abstractmethod
    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """Ask a group of prompts; the values hold `MS`."""

    @abc.abstractmethod
    def worth(self, results: Results) -> Sequence[Worth]:
        """What it brings, for each way of having it."""

    @abc.abstractmethod
    def finding(self, results: Results) -> str:
        """In a sentence or two."""

    @abc.abstractmethod
    def plot(self, results: Results) -> Plot:
        """A picture of it."""

    @abc.abstractmethod
    def table(self, results: Results) -> Table:
        """The numbers behind the picture."""

    def advice(self, results: Results) -> Sequence[str]:
        """What to do, where the measurements show it."""
        return ()


# ------------------------------------------------------------------------- asking


def group_of(bench: Bench, cell: Cell, size: int) -> list[Prompt]:
    """So many prompts, beginning with the cell's; each once."""
    prompts = bench.setup.prompts
    return [prompts[(cell.group + i) % len(prompts)] for i in range(min(size, len(prompts)))]


def after(llm: LLM, prompt: Prompt, length: int, first: int) -> Prompt:
    """A prompt behind a document of so many tokens, which is another for each number."""
    text = document(llm.tokenizer, _passages(), length, first)
    return replace(prompt, turns=(f"{text}\n\n{prompt.turns[0]}",))


def ask(host: LlmHost, prompts: Sequence[Prompt], lengths: Sequence[int]) -> list[Stream]:
    """Ask at the same moment, with an empty cache; answers of so many tokens at most."""
    with host.llm.fresh():
        return [host.stream(*each) for each in zip(prompts, lengths, strict=True)]


def answers(
    host: LlmHost,
    cell: Cell,
    prompts: Sequence[Prompt],
    streams: Sequence[Stream],
    *,
    begun: bool = False,
) -> tuple[Sample, ...]:
    """Wait for all.

    Args:
        host: that was asked.
        cell: what is measured.
        prompts: that were asked.
        streams: the answers.
        begun: whether the first event of each has been taken.
    """
    return tuple(
        sample(
            cell.arm,
            prompt,
            cell.repeat,
            cell.group,
            *host.answer(prompt, stream, begun=begun),
        )
        for prompt, stream in zip(prompts, streams, strict=True)
    )


@cache
def _passages() -> tuple[Passage, ...]:
    return read_passages()


# ------------------------------------------------------------------------- what came of it


def by_group(results: Results, arm: str, key: str = MS) -> dict[int, list[float]]:
    """A value of every group of an arm, of each repeat."""
    found: dict[int, list[float]] = {}
    for measurement in results.of(arm):
        found.setdefault(measurement.group, []).append(measurement.values[key])
    return found


def mean(results: Results, arm: str, key: str = MS) -> float:
    """The mean over groups of the median over repeats."""
    return float(np.mean([np.median(each) for each in by_group(results, arm, key).values()]))


def worth(name: str, results: Results, arm: str, against: str, key: str = MS) -> Worth:
    """How many times as soon an arm is done as another, on the groups that both have."""
    own, other = by_group(results, arm, key), by_group(results, against, key)
    common = sorted(own.keys() & other.keys())
    done, without = (_times([found[group] for group in common]) for found in (own, other))
    return Worth(name, speedup(without, done), without.ms / done.ms)


def same_answers(results: Results, arm: str, against: str) -> bool:
    """Whether two arms answer every group that both were asked alike, token for token."""
    said = [
        {(m.group, m.repeat): [s.tokens for s in m.samples] for m in results.of(name)}
        for name in (arm, against)
    ]
    return all(said[0][key] == said[1][key] for key in said[0].keys() & said[1].keys())


def _times(groups: Sequence[Sequence[float]]) -> Times:
    return Times.of([[(ms, 1) for ms in repeats] for repeats in groups])
