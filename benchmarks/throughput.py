"""What speculation comes to: how fast each side is over all prompts together, and against which.

Speeds differ from prompt to prompt by as much as an answer repeats, so a median prompt would say
little: figures are tokens over time of all prompts, each counting as long as it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from outrider.lab.statistics import Times, looping, speedup
from sides import Measurement

Answers = dict[int, list[Measurement]]
"""The repeats of each prompt."""


def answers(found: Iterable[Measurement], side: str) -> Answers:
    """A side's answers, in the order of the prompts."""
    by_prompt: Answers = {}
    for m in sorted(found, key=lambda m: m.prompt):
        if m.side == side:
            by_prompt.setdefault(m.prompt, []).append(m)
    return by_prompt


def times(given: Answers, rate: str) -> Times:
    """How long the prompts took.

    Args:
        given: a side's answers.
        rate: "decode" counts from the first tokens, "end_to_end" from the question.
    """

    def measured(m: Measurement) -> tuple[float, int]:
        if rate == "decode":
            return m.decode * 1000, m.decoded
        return (m.prefill + m.decode) * 1000, len(m.tokens)

    return Times.of([[measured(m) for m in repeats] for repeats in given.values()])


def loops(given: Answers) -> set[int]:
    """The prompts of which an answer repeats itself."""
    return {prompt for prompt, repeats in given.items() if any(looping(m.tokens) for m in repeats)}


def against(ours: Answers, theirs: Answers, rate: str) -> dict[str, Any]:
    """How many times as fast as theirs ours is, and that without the prompts on which one loops."""
    straight = ours.keys() - loops(ours) - loops(theirs)
    return {
        **_ratio(ours, theirs, rate),
        "without_looping": _ratio(
            *({p: side[p] for p in side if p in straight} for side in (ours, theirs)), rate
        ),
    }


def _ratio(ours: Answers, theirs: Answers, rate: str) -> dict[str, Any]:
    found = speedup(times(theirs, rate), times(ours, rate))
    if found is None:
        return {"ratio": None, "low": None, "high": None, "prompts": 0}
    return {"ratio": found.value, "low": found.low, "high": found.high, "prompts": found.units}


def against_best(
    found: Sequence[Measurement], ours: str, peers: Mapping[str, Sequence[str]], rate: str
) -> dict[str, dict[str, Any]]:
    """Ours against the peer's fastest setting over all prompts, for each file it computes.

    Args:
        found: measurements of all sides.
        ours: the name of our side.
        peers: the names of the peer's sides, by file.
        rate: "decode" or "end_to_end".
    """
    mine = answers(found, ours)
    result = {}
    for file, names in peers.items():
        best = max(names, key=lambda name: times(answers(found, name), rate).per_second)
        result[file] = {"peer": best, **against(mine, answers(found, best), rate)}
    return result


def overview(found: Sequence[Measurement], side: str, rates: Iterable[str]) -> dict[str, Any]:
    """A side's speeds over all prompts, and on which share of them it loops."""
    given = answers(found, side)
    return {
        **{f"{rate}_tokens_per_second": times(given, rate).per_second for rate in rates},
        "looping_share": len(loops(given)) / len(given),
    }


def by_category(
    found: Sequence[Measurement], sides: Iterable[str], rate: str
) -> dict[str, dict[str, float]]:
    """The speed of every side on the prompts of each category."""
    names = list(sides)
    categories = dict.fromkeys(m.category for m in found if m.category is not None)
    return {
        category: {
            name: times(
                answers((m for m in found if m.category == category), name), rate
            ).per_second
            for name in names
        }
        for category in categories
    }
