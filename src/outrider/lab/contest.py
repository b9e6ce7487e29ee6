"""Plans against one another: the same prompts in turn, interleaved, on one model.

Every answer is asked of a model that has just forgotten everything: drafters are empty, and no
prompt is in the prefix cache. So a repetition begins like the first, no plan profits from what
another has said, and an answer never depends on which came before. What the machine does meanwhile
touches all plans alike, because the plans take turns, and each is first as often as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from outrider.errors import CapacityError, OutriderError, UsageError
from outrider.llm import LLM, SPECULATION_VARIABLE
from outrider.plan import Plan
from outrider.prompts import Prompt
from outrider.sampling import derive_seed
from outrider.streams import Stream
from outrider.types import Completion, FinishReason, Message, Request, Usage

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
    """

    plan: str
    prompt: int
    category: str | None
    repeat: int
    group: int
    tokens: tuple[int, ...]
    reason: FinishReason
    usage: Usage

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
    warm: Sequence[Prompt] = (),
    raw: bool = False,
    max_tokens: int = 128,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
    **settings: Any,
) -> list[Sample]:
    """Let every plan answer every prompt in turn; the turns rotate.

    Args:
        llm: idle.
        plans: of different names. `PLAIN` decodes plainly.
        prompts: of each the first turn is asked.
        repeats: how often everything is asked.
        streams: how many prompts are asked at the same moment, and computed together.
        warm: prompts that the plan answers before every group, so that its drafters have learnt
            something; of other texts than `prompts`.
        raw: leave out the chat template.
        max_tokens: of an answer; at least 2.
        seed: each prompt's own is derived from it by the prompt's index, so all plans draw alike.
        progress: told how far it is.
        settings: the flat names of `Settings`, such as temperature=0.8.

    Returns:
        The answers in the order in which they were asked.

    Raises:
        UsageError: nothing is to be measured, plans share a name, name parts that do not exist or
            do not go together, `warm` holds a prompt, speculation is switched off, or a setting.
        CapacityError: the cache cannot hold the answers of all streams.
        OutriderError: a plan's parts cannot be made, or an answer failed.
    """
    _check(llm, plans, prompts, repeats, streams, warm, max_tokens)
    host = _Host(llm, raw, seed, settings | {"max_tokens": max_tokens})
    groups = [prompts[start : start + streams] for start in range(0, len(prompts), streams)]
    for plan in plans:
        _prepare(llm, plan)
        host.ask(plan, groups[0], max_tokens=min(WARM_UP_TOKENS, max_tokens))
    total = repeats * len(prompts) * len(plans)
    samples: list[Sample] = []
    progress(0, total)
    for repeat, number, plan in _turns(plans, len(groups), repeats):
        if warm:
            host.ask(plan, warm)
        answers = host.ask(plan, groups[number], fresh=not warm)
        _check_together(answers)
        samples += (
            Sample(
                plan=plan.name,
                prompt=prompt.index,
                category=prompt.category,
                repeat=repeat,
                group=number,
                tokens=answer.tokens,
                reason=answer.finish_reason,
                usage=answer.usage,
            )
            for prompt, answer in zip(groups[number], answers, strict=True)
        )
        progress(len(samples), total)
    return samples


def _prepare(llm: LLM, plan: Plan) -> None:
    """Make a plan's parts; what is wrong with them is the plan's fault, and no prompt's."""
    if plan.plain:
        return
    try:
        llm.prepare(plan.speculation)
    except OutriderError as error:
        error.args = (f"The plan {plan.name!r} cannot be used: {error}",)
        raise


def _check_together(answers: Sequence[Completion]) -> None:
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


def _turns(plans: Sequence[Plan], groups: int, repeats: int) -> Iterator[tuple[int, int, Plan]]:
    """(repeat, group, plan) in the order in which they are asked."""
    for repeat in range(repeats):
        for group in range(groups):
            first = (repeat + group) % len(plans)
            for plan in (*plans[first:], *plans[:first]):
                yield repeat, group, plan


@dataclass(frozen=True, slots=True)
class _Host:
    """Asks the model what a contest asks."""

    llm: LLM
    raw: bool
    seed: int
    settings: Mapping[str, Any]

    def ask(
        self, plan: Plan, prompts: Sequence[Prompt], *, fresh: bool = True, **settings: Any
    ) -> list[Completion]:
        """The answers to prompts asked at the same moment.

        Args:
            plan: decodes them.
            prompts: at least one.
            fresh: False lets drafters keep what they have learnt.
            settings: win over those of the contest.
        """
        with self.llm.fresh(drafters=fresh):
            streams = [self._stream(plan, prompt, settings) for prompt in prompts]
        answers = [stream.finish() for stream in streams]
        for prompt, answer in zip(prompts, answers, strict=True):
            if answer.finish_reason == "error":
                raise OutriderError(
                    f"Prompt {prompt.index}, decoded by the plan {plan.name!r}: "
                    f"{answer.choices[0].error}"
                )
        return answers

    def _stream(self, plan: Plan, prompt: Prompt, settings: Mapping[str, Any]) -> Stream:
        text = prompt.turns[0]
        chat = self.llm.has_chat_template and not self.raw
        request = Request(
            messages=(Message("user", text),) if chat else None,
            prompt=None if chat else text,
            speculation=plan.speculation,
        )
        try:
            return self.llm.stream(
                request,
                **{**self.settings, "seed": derive_seed(self.seed, prompt.index), **settings},
            )
        except (UsageError, CapacityError) as error:
            error.args = (f"Prompt {prompt.index}: {error}",)
            raise


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
        if plan.num_draft_tokens is None is not llm.plan.num_draft_tokens and not plan.plain:
            raise UsageError(
                f"The plan {plan.name!r} leaves num_draft_tokens open, and the model's own would "
                f"set it to {llm.plan.num_draft_tokens}; name a number in the plan."
            )
    asked = {prompt.turns[0] for prompt in prompts}
    for prompt in warm:
        if prompt.turns[0] in asked:
            raise UsageError(
                f"Prompt {prompt.index} of those to warm up on is also to be measured, and would "
                "be answered from memory; warm up on other prompts."
            )
