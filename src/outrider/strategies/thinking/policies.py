"""What decides who writes: the keyword rule, and grades that the large model gives."""

from __future__ import annotations

from typing import Final, Protocol

from outrider.strategies.thinking.config import PolicyName, ThinkingConfig
from outrider.strategies.thinking.desk import Desk, Events
from outrider.strategies.thinking.rule import State, after, next_stretch, own_stretch, taken


class Policy(Protocol):
    """Decides, stretch by stretch, who writes at a desk."""

    def think(self, desk: Desk) -> Events:
        """Write the text; the desk raises `OverError` at its end."""
        ...


class KeywordPolicy:
    """The small model reasons; where its probe shows doubt, assent or a check, the other writes.

    The rule is that of `rule`; arXiv 2504.12329. A neutral probe is kept as it is, and a paragraph
    that ends within it is a break like any other.

    Args:
        config: the settings of the rule.
    """

    def __init__(self, config: ThinkingConfig) -> None:
        self.config = config

    def think(self, desk: Desk) -> Events:
        """Write the text."""
        config, state = self.config, State.first(self.config)
        small, large = desk.small, desk.large
        if not state.begun:
            stretch, state = next_stretch(config, state)
            desk.record.validations += 1
            yield from desk.write(large, stretch.why, stretch.tokens)
        at_break = False
        while not desk.thought:
            if not at_break:
                yield from desk.write(small, "think", until=config.triggers)
                at_break = True
                continue
            at_break = False
            stretch, state = next_stretch(config, state)
            if stretch.prefix:
                yield from desk.insert(stretch.prefix, stretch.why)
            if stretch.author == "large":
                desk.record.validations += 1
                yield from desk.write(large, stretch.why, stretch.tokens)
                continue
            probe = desk.draft(small, stretch.why, stretch.tokens)
            wanted = own_stretch(config, probe.text)
            if wanted is None:
                at_break = yield from desk.take(probe, until=config.triggers)
                continue
            small.put_down()
            own = desk.draft(large, wanted.why, wanted.tokens)
            stands = own if taken(config, probe.text, own.text) == "large" else probe
            desk.consulted(probe, large=own.text, taken=stands.author)
            desk.drop(probe if stands is own else own)
            yield from desk.take(stands)
            follow, state = after(config, state, stands.text)
            if follow is not None:
                desk.record.validations += 1
                yield from desk.write(large, follow.why, follow.tokens)
        yield from desk.write(desk.closer, "answer")


class GradePolicy:
    """The small model writes a step, the large one grades it, and rewrites it below a threshold.

    The rule of SpecReason (Pan et al., arXiv 2504.07891): a grade is one token, 0 to 9.

    Args:
        config: the settings of the rule.
    """

    def __init__(self, config: ThinkingConfig) -> None:
        self.config = config

    def think(self, desk: Desk) -> Events:
        """Write the text."""
        config, small, large = self.config, desk.small, desk.large
        if config.begin:
            desk.record.validations += 1
            yield from desk.write(large, "begin", config.begin_tokens)
        while not desk.thought:
            step = desk.draft(small, "think", config.step_tokens, until=config.triggers)
            grade = desk.grade(step)
            if grade >= config.grade_threshold:
                desk.consulted(step, grade=grade, taken=small)
                yield from desk.take(step)
            else:
                desk.consulted(step, grade=grade, taken=large)
                desk.drop(step)
                yield from desk.write(large, "replace", config.step_tokens, until=config.triggers)
        yield from desk.write(desk.closer, "answer")


POLICIES: Final[dict[PolicyName, type[KeywordPolicy | GradePolicy]]] = {
    "keywords": KeywordPolicy,
    "grades": GradePolicy,
}
