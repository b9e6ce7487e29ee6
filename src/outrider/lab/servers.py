"""Servers against one another: the contest of `lab.contest`, held over the OpenAI protocol.

A server keeps what it has seen, and nobody can make it forget. Prompts stay in its cache, so what
is measured from the question on is the first repetition's. Some kinds of speculation keep the texts
that were said, which shows in later repetitions that are faster than the first. Only one server
works at a time.

What a server does not tell is not made up. Its answers are compared as texts, since few servers
give token ids, and time is this process's own, from the question on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final

from outrider.certify.compare import TextDifference, text_difference
from outrider.certify.servers import ask
from outrider.errors import EndpointError, UsageError
from outrider.lab.contest import Passes, Progress, Sample, check, hold
from outrider.lab.speed_bench import Figures, Unit, by_group, by_prompt, figures
from outrider.lab.statistics import looping
from outrider.prompts import Prompt
from outrider.remote import OpenAIGenerator
from outrider.sampling import derive_seed
from outrider.types import Completion

WARM_UP: Final = "Count from one to ten."

REMEMBERS: Final = 1.1
"""How many times as fast later repetitions are where a server seems to know the answers."""

_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """What was measured of a server.

    Attributes:
        name: its address.
        model: the name it knows the model by.
        software: what answers there.
        overall: on all prompts; the speed-up is over the first server. From the question on it is
            the first repetition's.
        categories: by the prompts' category; without those that have none.
        first_token_ms: the median from a question to the first token, over the first repetition.
        looping_share: the share of its answers in which some 8 words in a row occur three times.
        cached_share: of the prompts' tokens of the first repetition, the share that it says it
            had cached.
        later_speed: how many times as fast its later repetitions decode as the first, the median
            over prompts; None where there is one repetition.
        compared: answers that the first server's were compared with, one a prompt; 0 for itself,
            and where answers were sampled.
        differences: those that are not the first server's.
    """

    name: str
    model: str
    software: str
    overall: Figures
    categories: Mapping[str, Figures]
    first_token_ms: float
    looping_share: float
    cached_share: float
    later_speed: float | None
    compared: int
    differences: tuple[TextDifference, ...]


def contest_of_servers(
    servers: Sequence[OpenAIGenerator],
    prompts: Sequence[Prompt],
    *,
    repeats: int = 1,
    concurrency: int = 1,
    raw: bool = False,
    max_tokens: int = 128,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
    **settings: Any,
) -> list[Sample]:
    """Let every server answer every prompt in turn; the turns rotate.

    Args:
        servers: at different addresses, or of different models.
        prompts: of each the first turn is asked.
        repeats: how often everything is asked.
        concurrency: how many prompts a server is asked at the same moment.
        raw: ask for a continuation of the text as it stands, not for an answer.
        max_tokens: of an answer; at least 2.
        seed: each prompt's own is derived from it by the prompt's index.
        progress: told how far it is.
        settings: the flat names of `Settings`, such as temperature=0.8.

    Returns:
        The answers in the order in which they were asked.

    Raises:
        UsageError: nothing is to be measured, two servers are the same, or a setting cannot be
            had from one of them.
        EndpointError: a server cannot be reached, or does not count its tokens.
        OutriderError: an answer failed.
    """
    check(prompts, repeats=repeats, streams=concurrency, max_tokens=max_tokens)
    names = [str(server.address) for server in servers]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is named twice; a server is not compared with itself.")
    with ExitStack() as stack:
        hosts = [
            _Host(
                name,
                server,
                stack.enter_context(ThreadPoolExecutor(concurrency)),
                raw,
                seed,
                settings,
            )
            for name, server in zip(names, servers, strict=True)
        ]
        return hold(
            hosts,
            prompts,
            repeats=repeats,
            streams=concurrency,
            cold=False,
            warm=(),
            max_tokens=max_tokens,
            progress=progress,
        )


@dataclass(frozen=True, slots=True)
class _Host:
    """Asks a server what a contest asks."""

    name: str
    server: OpenAIGenerator
    threads: ThreadPoolExecutor
    raw: bool
    seed: int
    settings: Mapping[str, Any]

    def warm_up(self, prompts: Sequence[Prompt], *, max_tokens: int) -> None:
        """Something else than what is measured, which would be cached."""
        others = [Prompt(index, (WARM_UP,)) for index in range(len(prompts))]
        answers = self.ask(others, fresh=False, max_tokens=max_tokens)
        for answer, _ in answers:
            if answer.text and not answer.usage.completion_tokens:
                raise EndpointError(
                    f"{self.name} does not say how many tokens its answers have, so there is no "
                    "speed to measure; take a server that does."
                )

    def forget(self) -> None:
        """No server can be made to."""

    def ask(
        self, prompts: Sequence[Prompt], *, fresh: bool, max_tokens: int
    ) -> list[tuple[Completion, Passes]]:
        """The answers; what passes took is known to the server alone."""
        assert not fresh

        def one(prompt: Prompt) -> Completion:
            seed = derive_seed(self.seed, prompt.index)
            settings = {**self.settings, "seed": seed, "max_tokens": max_tokens}
            return ask(self.server, prompt, raw=self.raw, **settings)

        return [(answer, {}) for answer in self.threads.map(one, prompts)]


def summarise(
    servers: Sequence[OpenAIGenerator], samples: Sequence[Sample], *, temperature: float = 0.0
) -> tuple[ServerFigures, ...]:
    """The figures of a contest of servers, each held against the first.

    Args:
        servers: those of the contest.
        samples: all of its answers.
        temperature: that they were sampled at; above 0 nothing makes two servers choose alike, so
            answers are not compared.
    """
    first = [s for s in samples if s.plan == str(servers[0].address)]
    return tuple(
        _figures(server, first, samples, compared=bool(number) and temperature == 0)
        for number, server in enumerate(servers)
    )


def _figures(
    server: OpenAIGenerator, first: Sequence[Sample], samples: Sequence[Sample], *, compared: bool
) -> ServerFigures:
    own = [s for s in samples if s.plan == str(server.address)]
    once = [s for s in own if s.repeat == 0]
    categories = dict.fromkeys(s.category for s in own if s.category is not None)
    prompt_tokens = sum(s.usage.prompt_tokens for s in once)
    cached = sum(s.usage.cached_tokens for s in once)
    pairs = [(a, b) for a, b in zip(first, own, strict=True) if a.repeat == 0] if compared else []
    return ServerFigures(
        name=str(server.address),
        model=server.model,
        software=server.served.dialect.name,
        overall=_held_against(first, own, by_group),
        categories={
            category: _held_against(
                [s for s in first if s.category == category],
                [s for s in own if s.category == category],
                by_prompt,
            )
            for category in categories
        },
        first_token_ms=median(s.usage.first_token_ms for s in once),
        looping_share=sum(looping(words(s.text)) for s in own) / len(own),
        cached_share=cached / prompt_tokens if prompt_tokens else 0.0,
        later_speed=_later_speed(own),
        compared=len(pairs),
        differences=tuple(
            text_difference(a.prompt, a.text, b.text) for a, b in pairs if a.text != b.text
        ),
    )


def _held_against(first: Sequence[Sample], own: Sequence[Sample], unit: Unit) -> Figures:
    """Figures whose time from the question on is that of the first repetition."""
    once = figures([s for s in first if s.repeat == 0], [s for s in own if s.repeat == 0], unit)
    return replace(
        figures(first, own, unit),
        end_to_end_tokens_per_second=once.end_to_end_tokens_per_second,
        end_to_end_speedup=once.end_to_end_speedup,
    )


def _later_speed(own: Sequence[Sample]) -> float | None:
    paces: dict[int, dict[int, float]] = {}
    for sample in own:
        ms, tokens = sample.decode
        if tokens and ms:
            paces.setdefault(sample.prompt, {})[sample.repeat] = ms / tokens
    ratios = [
        pace[0] / median(later)
        for pace in paces.values()
        if 0 in pace and (later := [ms for repeat, ms in pace.items() if repeat])
    ]
    return median(ratios) if ratios else None


def words(text: str) -> list[str]:
    """Words, signs, and the single characters of scripts without spaces."""
    return _WORD.findall(text)


def verdict(found: Sequence[ServerFigures]) -> str:
    """What it comes to, in words."""
    sentences = [_compared(found[0], other) for other in found[1:]]
    sentences += (
        f"{figures.name} answers {figures.later_speed:.2f} times as fast when it is asked again: "
        "it seems to keep what it has said, so measure with --repeats 1."
        for figures in found
        if figures.later_speed is not None and figures.later_speed > REMEMBERS
    )
    return " ".join(sentences)


def _compared(first: ServerFigures, other: ServerFigures) -> str:
    said = other.overall.speedup
    if said is None:
        text = f"No answer of {other.name} has two tokens, so there is no speed to compare."
    elif said.low is None or said.high is None:
        text = f"{other.name} is {said.value:.2f} times as fast as {first.name} on one prompt."
    else:
        text = (
            f"{other.name} is {said.value:.2f} times (95%: {said.low:.2f} to {said.high:.2f}) as "
            f"fast as {first.name}"
        )
        text += "." if said.low > 1 or said.high < 1 else ", which may be chance."
    if other.compared:
        same = other.compared - len(other.differences)
        text += f" They say the same on {same} of {other.compared} prompts."
    return text
