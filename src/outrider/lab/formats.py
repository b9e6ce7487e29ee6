"""Formats of one model's weights, as they were measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from outrider.lab.experiment import PLAIN_ARM
from outrider.lab.results import Results
from outrider.lab.statistics import Interval, ratio_of_totals

GIVEN: Final = PLAIN_ARM.name
"""The arm of the file as it was given."""


@dataclass(frozen=True, slots=True)
class Format:
    """What was measured of a file's weights.

    Attributes:
        name: of its arm.
        label: for people.
        facts: sizes and types.
        tokens_per_second: of plain decoding.
        speed: how many times the given file's.
        perplexity: over the passages.
        change: by which factor it is the given file's.
        kl: from float32, in nats a token.
        same_top: share of tokens where float32 finds the same likeliest.
        as_given: the same, of the file as given.
        passage_kls: KL by passage.
    """

    name: str
    label: str
    facts: Mapping[str, Any]
    tokens_per_second: float
    speed: Interval | None
    perplexity: Interval
    change: Interval
    kl: Interval
    same_top: float
    as_given: float
    passage_kls: Sequence[float]

    @property
    def row(self) -> str:
        """A short name for a row of a picture."""
        if self.name == GIVEN:
            return "as given"
        return f"{self.name}{', widened' if self.facts['widened'] else ''}"


def format_of(results: Results, name: str) -> Format:
    """What was measured of the file as given or of a copy, by the name of its arm."""
    own, given = readings(results, name), readings(results, GIVEN)
    exact = [values["exact"] for values in own.values()]
    tokens = [each["tokens"] for each in exact]
    surprisal = ratio_of_totals([each["surprisal"] for each in exact], tokens)
    more = [v["exact"]["surprisal"] - given[n]["exact"]["surprisal"] for n, v in own.items()]
    facts = results.of(name)[0].values
    total = sum(tokens)
    return Format(
        name=name,
        label=f"as given ({' and '.join(facts['types'])})" if name == GIVEN else name,
        facts=facts,
        tokens_per_second=results.times(name).per_second,
        speed=None if name == GIVEN else results.total(name),
        perplexity=_exponential(surprisal),
        change=_exponential(ratio_of_totals(more, tokens)),
        kl=ratio_of_totals([each["kl"] for each in exact], tokens),
        same_top=sum(each["same_top"] for each in exact) / total,
        as_given=sum(values["given"]["same_top"] for values in own.values()) / total,
        passage_kls=[each["kl"] / each["tokens"] for each in exact],
    )


def readings(results: Results, name: str) -> dict[int, Mapping[str, Any]]:
    """What an arm made of each passage, by its number."""
    return {m.group: m.values for m in results.of(name) if "exact" in m.values}


def _exponential(of: Interval) -> Interval:
    low, high = (None if end is None else math.exp(end) for end in (of.low, of.high))
    return Interval(math.exp(of.value), low, high, of.units)


def draft_arm(kind: str) -> str:
    """The name of the arm in which a copy drafts."""
    return f"{kind} as draft"


def change_in_words(factor: Interval) -> str:
    """A change of perplexity in words, with its interval."""
    if factor.low is None or factor.high is None:
        return f"{factor.value - 1:+.1%}"
    told = f"{factor.value - 1:+.1%} ({factor.low - 1:+.1%} to {factor.high - 1:+.1%})"
    return f"{told}, which may be none" if factor.low <= 1.0 <= factor.high else told
