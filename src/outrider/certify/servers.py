"""Whether servers say the same: greedy answers over the OpenAI protocol, compared as texts.

A server chooses for itself how it speculates, and its batches change its arithmetic, so what it
says is first held against what it says itself when it is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from outrider.certify.cells import ENOUGH, Status
from outrider.certify.compare import TextDifference, text_difference
from outrider.errors import OutriderError, UsageError
from outrider.prompts import Prompt
from outrider.remote import OpenAIGenerator
from outrider.types import Completion

TRIES: Final = 2
"""How often the first server is asked: what it does not repeat says nothing about others."""


@dataclass(frozen=True, slots=True)
class ServerFailure:
    """An answer that is not the first server's.

    Attributes:
        difference: where the two part.
        repeats: whether the first server says the same when it is asked again.
        margin: by how much its best token's log-probability was above the next one's where the
            answers part; None where it does not say. Two engines round differently, so where this
            is next to nothing the difference is no error.
    """

    difference: TextDifference
    repeats: bool
    margin: float | None = None


@dataclass(slots=True)
class ServerCell:
    """What came of one server, held against the first.

    Attributes:
        endpoint: its address.
        software: what answers there.
        checked: answers compared.
        tokens: in them.
        accepted: drafted tokens that it says it accepted, and in the next one rejected; both 0
            where it does not speculate or does not say.
        rejected: the others.
        failures: the answers that differ.
    """

    endpoint: str
    software: str
    checked: int = 0
    tokens: int = 0
    accepted: int = 0
    rejected: int = 0
    failures: list[ServerFailure] = field(default_factory=list)

    @property
    def counts_drafts(self) -> bool:
        """Whether it told of any drafted token."""
        return bool(self.accepted + self.rejected)

    @property
    def status(self) -> Status:
        """The outcome."""
        if any(failure.repeats for failure in self.failures):
            return "different"
        few = self.counts_drafts and min(self.accepted, self.rejected) < ENOUGH
        return "inconclusive" if self.failures or few else "identical"


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """All that was found.

    Attributes:
        first: the address that the others are held against.
        unsteady: the prompts to which the first server itself does not give the same answer twice.
        cells: the first server, and then each other one.
    """

    first: str
    unsteady: tuple[int, ...]
    cells: Sequence[ServerCell]

    @property
    def exit_status(self) -> int:
        """1 where something differs, else 2 where something is inconclusive, else 0."""
        found = {cell.status for cell in self.cells}
        return 1 if "different" in found else 2 if "inconclusive" in found else 0


def certify_servers(
    servers: Sequence[OpenAIGenerator],
    prompts: Sequence[Prompt],
    *,
    raw: bool = False,
    max_tokens: int = 128,
    concurrency: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ServerCertificate:
    """Ask every server everything, the first one twice, greedily.

    Args:
        servers: at least two.
        prompts: of each the first turn is asked.
        raw: ask for a continuation of the text as it stands, not for an answer.
        max_tokens: of an answer.
        concurrency: how many prompts a server is asked at the same moment.
        progress: told how many answers of how many are there.

    Raises:
        UsageError: there are fewer than two servers, or a number below 1.
        EndpointError: a server cannot be reached.
        OutriderError: an answer failed.
    """
    if len(servers) < 2:
        raise UsageError("Servers are held against one another; name two or more endpoints.")
    if concurrency < 1:
        raise UsageError(f"concurrency has to be at least 1, not {concurrency}.")
    turns = [*servers, *[servers[0]] * (TRIES - 1)]
    answers: list[list[Completion]] = [[] for _ in turns]
    total = len(turns) * len(prompts)
    with ThreadPoolExecutor(concurrency) as threads:
        for start in range(0, len(prompts), concurrency):
            group = prompts[start : start + concurrency]
            for turn, server in enumerate(turns):
                one = partial(ask, server, raw=raw, max_tokens=max_tokens)
                answers[turn] += threads.map(one, group)
                progress(sum(map(len, answers)), total)
    first, again = answers[0], answers[-1]
    unsteady = {
        prompt.index
        for prompt, one, other in zip(prompts, first, again, strict=True)
        if one.text != other.text
    }
    cells = [
        _cell(server, list(prompts), first, own, unsteady)
        for server, own in zip(servers, answers, strict=False)
    ]
    for cell in cells[1:]:
        cell.failures = [
            replace(failure, margin=_margin(servers[0], prompts, failure, raw, max_tokens))
            for failure in cell.failures
        ]
    return ServerCertificate(str(servers[0].address), tuple(sorted(unsteady)), cells)


def ask(server: OpenAIGenerator, prompt: Prompt, *, raw: bool, **settings: Any) -> Completion:
    """A server's whole answer to a prompt's first turn.

    Args:
        server: that is asked.
        prompt: what.
        raw: ask for a continuation of the text as it stands, not for an answer.
        settings: the flat names of `Settings`.

    Raises:
        OutriderError: the answer failed; the prompt's index is named.
    """
    try:
        answer = server.generate(prompt.request(raw=raw), **settings)
    except OutriderError as error:
        error.args = (f"Prompt {prompt.index}: {error}",)
        raise
    if answer.finish_reason == "error":
        raise OutriderError(f"Prompt {prompt.index}: {answer.choices[0].error}")
    return answer


def _cell(
    server: OpenAIGenerator,
    prompts: Sequence[Prompt],
    first: Sequence[Completion],
    own: Sequence[Completion],
    unsteady: set[int],
) -> ServerCell:
    usages = [answer.usage for answer in own]
    accepted = sum(usage.accepted_tokens for usage in usages)
    return ServerCell(
        endpoint=str(server.address),
        software=server.served.dialect.name,
        checked=len(own),
        tokens=sum(usage.completion_tokens for usage in usages),
        accepted=accepted,
        rejected=sum(usage.draft_tokens for usage in usages) - accepted,
        failures=[
            ServerFailure(
                text_difference(prompt.index, one.text, other.text), prompt.index not in unsteady
            )
            for prompt, one, other in zip(prompts, first, own, strict=True)
            if one.text != other.text
        ],
    )


def _margin(
    server: OpenAIGenerator,
    prompts: Sequence[Prompt],
    failure: ServerFailure,
    raw: bool,
    max_tokens: int,
) -> float | None:
    """How sure the first server was where the answers part, as far as it says so."""
    prompt = next(p for p in prompts if p.index == failure.difference.prompt)
    length = 0
    try:
        with server.stream(prompt.request(raw=raw), max_tokens=max_tokens, logprobs=2) as stream:
            for event in stream:
                length += len(event.text)
                if length > failure.difference.position:
                    tops = event.logprobs[0].top if event.logprobs else ()
                    return tops[0][1] - tops[1][1] if len(tops) > 1 else None
    except OutriderError:
        return None
    return None
