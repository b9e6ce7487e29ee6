"""Plans against one another: the same prompts in turn, interleaved, on one model.

Every plan has drafters of its own, so none profits from what another has said, and every
repetition begins with empty ones, so none knows an answer by heart. From one prompt to the next
they keep what they have learnt, as in any process that answers more than one question, unless
each answer is asked to begin cold. No prompt is in the prefix cache. What the machine does
meanwhile touches all plans alike, because the plans take turns, and each is first as often as any
other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from outrider.errors import CapacityError, OutriderError, UsageError
from outrider.lab.host import Host, Passes
from outrider.llm import LLM, SPECULATION_VARIABLE
from outrider.plan import Plan
from outrider.prompts import Prompt
from outrider.types import Completion, FinishReason, Usage

T = TypeVar("T")

PLAIN: Final = Plan(name="plain", drafter="none")
"""Decodes without drafts; what every other plan is held against."""

WARM_UP_TOKENS: Final = 16
"""Of the answers that every plan gives before anything counts, so that all its parts are made."""

Progress = Callable[[int, int], None]
"""Told how many answers of how many are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer.

    Attributes:
        plan: the name of the plan it was decoded by.
        prompt: the index of the prompt in its file.
        category: of the prompt.
        repeat: which repetition, from 0.
        group: which group of prompts it was asked with, all at the same moment; from 0.
        tokens: the ids.
        reason: why it ended.
        usage: counters and times.
        prompt_tokens: the ids of the prompt.
        passes: those behind the first token.
    """

    plan: str
    prompt: int
    category: str | None
    repeat: int
    group: int
    tokens: tuple[int, ...]
    reason: FinishReason
    usage: Usage
    prompt_tokens: tuple[int, ...] = ()
    passes: Passes = field(default_factory=dict)

    @property
    def decode(self) -> tuple[float, int]:
        """Milliseconds from the first token to the last, and the tokens after the first."""
        return self.usage.decode_ms, max(len(self.tokens) - 1, 0)

    @property
    def end_to_end(self) -> tuple[float, int]:
        """Milliseconds from the question to the last token, and all tokens."""
        return self.usage.total_ms, len(self.tokens)


def decode_of(group: Sequence[Sample]) -> tuple[float, int]:
    """Milliseconds from a group's first token to its last, and the tokens after the first.

    Args:
        group: at least one answer; all were asked at the same moment.
    """
    spoken = [s.usage for s in group if s.tokens]
    if not spoken:
        return 0.0, 0
    first = min(usage.first_token_ms for usage in spoken)
    last = max(usage.first_token_ms + usage.decode_ms for usage in spoken)
    return last - first, sum(len(s.tokens) for s in group) - 1


def end_to_end_of(group: Sequence[Sample]) -> tuple[float, int]:
    """Milliseconds from the question to a group's last token, and all tokens.

    Args:
        group: at least one answer; all were asked at the same moment.
    """
    return max(s.usage.total_ms for s in group), sum(len(s.tokens) for s in group)


def contest(
    llm: LLM,
    plans: Sequence[Plan],
    prompts: Sequence[Prompt],
    *,
    repeats: int = 1,
    streams: int = 1,
    cold: bool = False,
    warm: Sequence[Prompt] = (),
    raw: bool = False,
    max_tokens: int = 128,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
    **settings: Any,
) -> list[Sample]:
    """Let every plan answer every prompt in turn; the turns rotate.

    Args:
        llm: idle; its model answers.
        plans: of different names. `PLAIN` decodes plainly.
        prompts: of each the first turn is asked.
        repeats: how often everything is asked.
        streams: how many prompts are asked at the same moment, and computed together.
        cold: every group of prompts begins with empty drafters, not every repetition alone.
        warm: prompts that every plan answers at the beginning of a repetition, so that its drafters
            have learnt something; of other texts than `prompts`.
        raw: leave out the chat template.
        max_tokens: of an answer; at least 2.
        seed: each prompt's own is derived from it by the prompt's index, so all plans draw alike.
        progress: told how far it is.
        settings: the flat names of `Settings`, such as temperature=0.8.

    Returns:
        The answers in the order in which they were asked.

    Raises:
        UsageError: nothing is to be measured, plans share a name, name parts that do not exist or
            do not go together, `warm` holds a prompt or is to be cold, speculation is switched off,
            or a setting.
        CapacityError: the cache cannot hold the answers of all streams.
        OutriderError: a plan's parts cannot be made, or an answer failed.
    """
    _check(llm, plans, prompts, repeats, streams, warm, max_tokens)
    if cold and warm:
        raise UsageError("Drafters cannot be cold and warm; leave one out.")
    groups = [prompts[start : start + streams] for start in range(0, len(prompts), streams)]
    total = repeats * len(prompts) * len(plans)
    samples: list[Sample] = []
    with ExitStack() as stack:
        hosts = [
            (plan, Host(stack.enter_context(_alone(llm, plan)), plan.name, raw, seed, settings))
            for plan in plans
        ]
        for _, host in hosts:
            host.ask(groups[0], fresh=True, max_tokens=min(WARM_UP_TOKENS, max_tokens))
        progress(0, total)
        for repeat in range(repeats):
            for _, host in hosts:
                host.forget()
                if warm:
                    host.ask(warm, fresh=False, max_tokens=max_tokens)
            for number, group in enumerate(groups):
                for plan, host in turn(hosts, repeat + number):
                    answers = host.ask(group, fresh=cold, max_tokens=max_tokens)
                    check_together([answer for answer, _ in answers])
                    samples += (
                        sample(plan.name, prompt, repeat, number, answer, passes)
                        for prompt, (answer, passes) in zip(group, answers, strict=True)
                    )
                    progress(len(samples), total)
    return samples


def sample(
    plan: str, prompt: Prompt, repeat: int, group: int, answer: Completion, passes: Passes
) -> Sample:
    """What is kept of an answer."""
    return Sample(
        plan=plan,
        prompt=prompt.index,
        category=prompt.category,
        repeat=repeat,
        group=group,
        tokens=answer.tokens,
        reason=answer.finish_reason,
        usage=answer.usage,
        prompt_tokens=answer.prompt_tokens,
        passes=passes,
    )


def _alone(llm: LLM, plan: Plan) -> LLM:
    """The same model with a plan's own parts; what is wrong with them is no prompt's fault."""
    try:
        return LLM(llm.model, plan=plan, speculation=not plan.plain, max_streams=llm.max_streams)
    except OutriderError as error:
        error.args = (f"The plan {plan.name!r} cannot be used: {error}",)
        raise


def check_together(answers: Sequence[Completion]) -> None:
    """Raise where an answer had to wait for another to end: fewer streams ran than were asked for.

    All are asked at the same moment, so one that waited as long as another took has waited for it.
    """
    if max(answer.usage.queue_ms for answer in answers) >= min(
        answer.usage.total_ms for answer in answers
    ):
        raise CapacityError(
            f"{len(answers)} answers do not fit the key-value cache together; raise the cache "
            "budget, or ask for fewer streams.",
            never=True,
        )


def turn(all_of: Sequence[T], first: int) -> list[T]:
    """All, beginning with another one each time."""
    first %= len(all_of)
    return [*all_of[first:], *all_of[:first]]


def _check(
    llm: LLM,
    plans: Sequence[Plan],
    prompts: Sequence[Prompt],
    repeats: int,
    streams: int,
    warm: Sequence[Prompt],
    max_tokens: int,
) -> None:
    """Raise for a contest that cannot be held."""
    for name, given in (("repeats", repeats), ("streams", streams)):
        if given < 1:
            raise UsageError(f"{name} has to be at least 1, not {given}.")
    if max_tokens < 2:
        raise UsageError(
            f"max_tokens has to be at least 2, not {max_tokens}: speed is measured from the first "
            "token to the last."
        )
    if not plans or not prompts:
        raise UsageError("A contest needs at least one plan and one prompt.")
    if streams > llm.max_streams:
        raise UsageError(
            f"{streams} streams are more than the {llm.max_streams} that the model computes at "
            "once; raise max_streams or ask for fewer."
        )
    for plan in plans:
        if [other.name for other in plans].count(plan.name) > 1:
            raise UsageError(f"Two plans are called {plan.name!r}; give one another name.")
        if not llm.speculation and not plan.plain:
            raise UsageError(
                f"Speculation is switched off, so the plan {plan.name!r} cannot be measured; "
                f"unset {SPECULATION_VARIABLE} or leave the plan out."
            )
    asked = {prompt.turns[0] for prompt in prompts}
    for prompt in warm:
        if prompt.turns[0] in asked:
            raise UsageError(
                f"Prompt {prompt.index} of those to warm up on is also to be measured, and would "
                "be answered from memory; warm up on other prompts."
            )
