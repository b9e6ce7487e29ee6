"""Plans, or servers, against one another: the same prompts in turn, interleaved.

Every plan has drafters of its own, so none profits from what another has said, and every
repetition begins with empty ones, so none knows an answer by heart. From one prompt to the next
they keep what they have learnt, as in any process that answers more than one question, unless
each answer is asked to begin cold. No prompt is in the prefix cache. What the machine does
meanwhile touches all plans alike, because the plans take turns, and each is first as often as any
other. Servers (`lab.servers`) take turns in the same way, and keep what they have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from outrider.errors import CapacityError, OutriderError, UsageError
from outrider.llm import LLM, SPECULATION_VARIABLE
from outrider.plan import Plan
from outrider.prompts import Prompt
from outrider.sampling import derive_seed
from outrider.streams import Stream
from outrider.types import Completion, FinishReason, Usage

T = TypeVar("T")

PLAIN: Final = Plan(name="plain", drafter="none")
"""Decodes without drafts; what every other plan is held against."""

WARM_UP_TOKENS: Final = 16
"""Of the answers that every plan gives before anything counts, so that all its parts are made."""

Passes = Mapping[int, Sequence[float]]
"""The milliseconds of passes, by the rows that an answer had in them."""

Progress = Callable[[int, int], None]
"""Told how many answers of how many are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer.

    Attributes:
        plan: the name of the plan it was decoded by, or of the server.
        prompt: the index of the prompt in its file.
        category: of the prompt.
        repeat: which repetition, from 0.
        group: which group of prompts it was asked with, all at the same moment; from 0.
        tokens: the ids; servers mostly keep them to themselves.
        text: what they say.
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
    text: str = ""

    @property
    def count(self) -> int:
        """How many tokens it has."""
        return len(self.tokens) or self.usage.completion_tokens

    @property
    def decode(self) -> tuple[float, int]:
        """Milliseconds from the first token to the last, and the tokens after the first."""
        return self.usage.decode_ms, max(self.count - 1, 0)

    @property
    def end_to_end(self) -> tuple[float, int]:
        """Milliseconds from the question to the last token, and all tokens."""
        return self.usage.total_ms, self.count


def decode_of(group: Sequence[Sample]) -> tuple[float, int]:
    """Milliseconds from a group's first token to its last, and the tokens after the first.

    Args:
        group: at least one answer; all were asked at the same moment.
    """
    spoken = [s.usage for s in group if s.count]
    if not spoken:
        return 0.0, 0
    first = min(usage.first_token_ms for usage in spoken)
    last = max(usage.first_token_ms + usage.decode_ms for usage in spoken)
    return last - first, sum(s.count for s in group) - 1


def end_to_end_of(group: Sequence[Sample]) -> tuple[float, int]:
    """Milliseconds from the question to a group's last token, and all tokens.

    Args:
        group: at least one answer; all were asked at the same moment.
    """
    return max(s.usage.total_ms for s in group), sum(s.count for s in group)


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
    check(prompts, repeats=repeats, streams=streams, max_tokens=max_tokens)
    _check(llm, plans, prompts, streams, warm)
    if cold and warm:
        raise UsageError("Drafters cannot be cold and warm; leave one out.")
    with ExitStack() as stack:
        hosts = [
            LlmHost(plan.name, stack.enter_context(_alone(llm, plan)), raw, seed, settings)
            for plan in plans
        ]
        return hold(
            hosts,
            prompts,
            repeats=repeats,
            streams=streams,
            cold=cold,
            warm=warm,
            max_tokens=max_tokens,
            progress=progress,
        )


class Host(Protocol):
    """One side of a contest."""

    @property
    def name(self) -> str:
        """What samples and messages call it."""
        ...

    def warm_up(self, prompts: Sequence[Prompt], *, max_tokens: int) -> None:
        """Answer before anything counts, so that all parts are made.

        Args:
            prompts: the first to be measured; as many are to be answered.
            max_tokens: of an answer.
        """
        ...

    def forget(self) -> None:
        """Called at the beginning of a repetition: forget what has been learnt and cached."""
        ...

    def ask(
        self, prompts: Sequence[Prompt], *, fresh: bool, max_tokens: int
    ) -> list[tuple[Completion, Passes]]:
        """The answers to prompts asked at the same moment, each with its passes.

        Args:
            prompts: at least one.
            fresh: whether to forget before what has been learnt.
            max_tokens: of an answer.
        """
        ...


def hold(
    hosts: Sequence[Host],
    prompts: Sequence[Prompt],
    *,
    repeats: int,
    streams: int,
    cold: bool,
    warm: Sequence[Prompt],
    max_tokens: int,
    progress: Progress,
) -> list[Sample]:
    """Let every host answer every prompt in turn; see `contest`."""
    groups = [prompts[start : start + streams] for start in range(0, len(prompts), streams)]
    total = repeats * len(prompts) * len(hosts)
    samples: list[Sample] = []
    for host in hosts:
        host.warm_up(groups[0], max_tokens=min(WARM_UP_TOKENS, max_tokens))
    progress(0, total)
    for repeat in range(repeats):
        for host in hosts:
            host.forget()
            if warm:
                host.ask(warm, fresh=False, max_tokens=max_tokens)
        for number, group in enumerate(groups):
            for host in turn(hosts, repeat + number):
                answers = host.ask(group, fresh=cold, max_tokens=max_tokens)
                check_together([answer for answer, _ in answers])
                samples += (
                    sample(host.name, prompt, repeat, number, answer, passes)
                    for prompt, (answer, passes) in zip(group, answers, strict=True)
                )
                progress(len(samples), total)
    return samples


def sample(
    name: str, prompt: Prompt, repeat: int, group: int, answer: Completion, passes: Passes
) -> Sample:
    """What is kept of an answer."""
    return Sample(
        plan=name,
        prompt=prompt.index,
        category=prompt.category,
        repeat=repeat,
        group=group,
        tokens=answer.tokens,
        reason=answer.finish_reason,
        usage=answer.usage,
        prompt_tokens=answer.prompt_tokens,
        passes=passes,
        text=answer.text,
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


def turn(hosts: Sequence[T], first: int) -> Iterator[T]:
    """All, beginning with another one each time."""
    first %= len(hosts)
    yield from hosts[first:]
    yield from hosts[:first]


@dataclass(frozen=True, slots=True)
class LlmHost:
    """Asks a model in one way.

    Attributes:
        name: of the way of asking.
        llm: idle but for what is asked here.
        raw: leave out the chat template.
        seed: each prompt's own is derived from it by the prompt's index.
        settings: the flat names of `Settings`, such as temperature=0.8.
    """

    name: str
    llm: LLM
    raw: bool
    seed: int
    settings: Mapping[str, Any]

    def warm_up(self, prompts: Sequence[Prompt], *, max_tokens: int) -> None:
        """The first prompts, which are forgotten afterwards."""
        self.ask(prompts, fresh=True, max_tokens=max_tokens)

    def forget(self) -> None:
        """Empty drafters and prefix cache."""
        with self.llm.fresh():
            pass

    def ask(
        self, prompts: Sequence[Prompt], *, fresh: bool, max_tokens: int
    ) -> list[tuple[Completion, Passes]]:
        """The answers to prompts asked at the same moment, each with its passes.

        Args:
            prompts: at least one.
            fresh: whether drafters forget before what they have learnt.
            max_tokens: of an answer.
        """
        with self.llm.fresh(drafters=fresh):
            streams = [self.stream(prompt, max_tokens) for prompt in prompts]
        return [self.answer(*each) for each in zip(prompts, streams, strict=True)]

    def stream(self, prompt: Prompt, max_tokens: int) -> Stream:
        """Ask, and do not wait.

        Raises:
            UsageError: a setting, or a prompt that the model cannot take; it is named.
            CapacityError: the cache can never hold it.
        """
        request = prompt.request(raw=self.raw or not self.llm.has_chat_template)
        try:
            return self.llm.stream(
                request,
                seed=derive_seed(self.seed, prompt.index),
                max_tokens=max_tokens,
                **self.settings,
            )
        except (UsageError, CapacityError) as error:
            error.args = (f"Prompt {prompt.index}: {error}",)
            raise

    def answer(
        self, prompt: Prompt, stream: Stream, *, begun: bool = False
    ) -> tuple[Completion, Passes]:
        """Wait: the whole answer, and the passes behind the first token.

        Args:
            prompt: that was asked.
            stream: its answer.
            begun: whether the first event has been taken from it.

        Raises:
            OutriderError: it failed.
        """
        passes: dict[int, list[float]] = {}
        # Each event is one pass, and the first of them is the prompt's.
        for event in islice(stream, 0 if begun else 1, None):
            passes.setdefault(1 + event.draft_tokens, []).append(event.pass_ms)
        answer = stream.completion
        if answer.finish_reason == "error":
            raise OutriderError(
                f"Prompt {prompt.index}, decoded by the plan {self.name!r}: "
                f"{answer.choices[0].error}"
            )
        return answer, passes


def check(prompts: Sequence[Prompt], *, repeats: int, streams: int, max_tokens: int) -> None:
    """Raise for a contest, of whomever, that cannot be held.

    Raises:
        UsageError: nothing is to be measured.
    """
    for name, given in (("repeats", repeats), ("streams", streams)):
        if given < 1:
            raise UsageError(f"{name} has to be at least 1, not {given}.")
    if max_tokens < 2:
        raise UsageError(
            f"max_tokens has to be at least 2, not {max_tokens}: speed is measured from the first "
            "token to the last."
        )
    if not prompts:
        raise UsageError("A contest needs at least one prompt.")


def _check(
    llm: LLM, plans: Sequence[Plan], prompts: Sequence[Prompt], streams: int, warm: Sequence[Prompt]
) -> None:
    """Raise for a contest of plans that cannot be held."""
    if not plans:
        raise UsageError("A contest needs at least one plan.")
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
