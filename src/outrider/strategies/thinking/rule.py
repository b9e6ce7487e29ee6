"""The rule of speculative thinking, as pure functions.

At a break between paragraphs the rule says who writes next, how much, and why. Wang et al.,
"Speculative Thinking: Enhancing Small-Model Reasoning with Large Model Guidance at Inference Time"
(arXiv 2504.12329).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from outrider.strategies.thinking.config import Keywords, ThinkingConfig

Author = Literal["small", "large", "inserted"]
"""Who wrote a stretch: one of the models, or the rule itself, which inserts fixed words."""

Why = Literal["think", "begin", "recap", "probe", "replace", "verify", "answer"]
"""What a stretch is for.

`think` is the small model's ordinary output, `probe` what it writes right after a break, `replace`
the large model's own version of what the small one wrote, `begin`, `recap` and `verify` the large
model's stretches of those cases, and `grade` a mark that it gives and that is in no answer.
"""

Sign = Literal[-1, 0, 1]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is to be written next.

    Attributes:
        author: the model that writes it.
        why: what it is for.
        tokens: at most.
        prefix: words inserted in front of it.
    """

    author: Author
    why: Why
    tokens: int
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What the rule remembers between breaks.

    Attributes:
        begun: the beginning has been written, or is not the large model's to write.
        negatives: negative stretches since the last recap.
        recap_after: of how many of them the next recap comes.
        recap_tokens: how long it is then.
    """

    begun: bool
    negatives: int
    recap_after: int
    recap_tokens: int

    @classmethod
    def first(cls, config: ThinkingConfig) -> State:
        """Before anything is written."""
        return cls(
            begun=not config.begin,
            negatives=0,
            recap_after=config.recap_after,
            recap_tokens=config.recap_tokens,
        )


def count_keywords(text: str, keywords: Iterable[str]) -> int:
    """How often the keywords occur in a text, whatever their case, within words too."""
    text = text.lower()
    return sum(text.count(keyword.lower()) for keyword in keywords)


def sentiment(text: str, keywords: Keywords) -> Sign:
    """The sign of positive minus negative and verifying keywords; −1 on a tie above zero."""
    positive = count_keywords(text, keywords.positive)
    against = count_keywords(text, (*keywords.negative, *keywords.verify))
    if positive == against:
        return -1 if positive else 0
    return 1 if positive > against else -1


def next_stretch(config: ThinkingConfig, state: State) -> tuple[Stretch, State]:
    """Who writes at a break, or at the very beginning, and what the rule remembers then.

    A recap resets the count of negative stretches, and both the recap and the count that calls for
    the next one grow up to their limits.
    """
    if not state.begun:
        return Stretch("large", "begin", config.begin_tokens), replace(state, begun=True)
    if state.negatives >= state.recap_after:
        recap = Stretch("large", "recap", state.recap_tokens, config.recap_prefix)
        return recap, replace(
            state,
            negatives=0,
            recap_after=min(state.recap_after + config.recap_after_growth, config.max_recap_after),
            recap_tokens=min(state.recap_tokens + config.recap_growth, config.max_recap_tokens),
        )
    return Stretch("small", "probe", config.probe_tokens, config.probe_prefix or ""), state


def own_stretch(config: ThinkingConfig, probe: str) -> Stretch | None:
    """The large model's own version of a probe, where the probe calls for one."""
    if config.consult_always or sentiment(probe, config.keywords):
        return Stretch("large", "replace", config.probe_tokens)
    return None


def taken(config: ThinkingConfig, probe: str, own: str) -> Author:
    """Whose version stands: the large model's if it always does, or if the two disagree.

    They disagree where one is negative and the other is not, unless the small model's is neutral.
    """
    if config.choose_large:
        return "large"
    small, large = sentiment(probe, config.keywords), sentiment(own, config.keywords)
    differ = (small < 0 <= large) or (large < 0 < small)
    return "large" if differ else "small"


def after(config: ThinkingConfig, state: State, text: str) -> tuple[Stretch | None, State]:
    """What follows the version that stands: a count, and where it verifies, a longer stretch."""
    if sentiment(text, config.keywords) < 0:
        state = replace(state, negatives=state.negatives + 1)
    if count_keywords(text, config.keywords.verify):
        return Stretch("large", "verify", config.recap_tokens), state
    return None, state
