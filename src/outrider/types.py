"""The words that the parts speak to one another: requests, samplers' settings, results, records.

All are small, immutable and checked when they are made, so that nothing below has to doubt them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from outrider.errors import UsageError

FinishReason = Literal["stop", "length", "cancelled", "error"]

MAX_SEED = 2**64 - 1


def _finite(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{name} has to be a finite number, not {value!r}.")


def _between(name: str, value: float, low: float, high: float, *, low_open: bool = False) -> None:
    _finite(name, value)
    if not (low < value if low_open else low <= value) or value > high:
        bracket = "(" if low_open else "["
        raise UsageError(f"{name} has to lie in {bracket}{low:g}, {high:g}], not {value!r}.")


def _whole(name: str, value: object, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise UsageError(f"{name} has to be a whole number of at least {low}, not {value!r}.")
    if high is not None and value > high:
        raise UsageError(f"{name} has to be at most {high}, not {value!r}.")


class Constraint(Protocol):
    """Which tokens may come next (an allowed set, a grammar). States are immutable."""

    def start(self) -> object:
        """The state before the first generated token."""
        ...

    def advance(self, state: object, token: int) -> object | None:
        """The state after `token`, or None where `state` does not allow it."""
        ...

    def mask(self, state: object) -> NDArray[np.uint32]:
        """Allowed tokens as packed bits: token t is bit t % 32 of word t // 32."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How logits become a token.

    Applied in this order: mask, bias, penalties, temperature, min-p, top-k, top-p, noise.

    Attributes:
        temperature: 0 is argmax without noise; ties go to the lowest id.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the smallest set of likeliest tokens whose probability reaches top_p.
        min_p: keep tokens at least min_p times as likely as the likeliest.
        repetition_penalty: divides positive and multiplies negative logits of tokens that stand
            in the prompt or the output.
        presence_penalty: subtracted once from the logits of tokens that stand in the output.
        frequency_penalty: subtracted for every occurrence in the output.
        logit_bias: added to single tokens' logits.
        seed: of the noise; None draws one, and the completion records it.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        _between("temperature", self.temperature, 0.0, 100.0)
        _whole("top_k", self.top_k, 0)
        _between("top_p", self.top_p, 0.0, 1.0, low_open=True)
        _between("min_p", self.min_p, 0.0, 1.0)
        _between("repetition_penalty", self.repetition_penalty, 0.0, 100.0, low_open=True)
        _between("presence_penalty", self.presence_penalty, -100.0, 100.0)
        _between("frequency_penalty", self.frequency_penalty, -100.0, 100.0)
        for token, bias in self.logit_bias.items():
            _whole("a token of logit_bias", token, 0)
            _finite(f"logit_bias of token {token}", bias)
        if self.seed is not None:
            _whole("seed", self.seed, 0, MAX_SEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """What one request wants of speculation.

    A part is named as `name` or with its options, as `name:key=value,key=value`.

    Attributes:
        enabled: False decodes plainly.
        drafter: the name of a registered drafter; None takes the model's default.
        num_draft_tokens: draft rows a step at most; None leaves it to the controller.
        verification: the name of a registered verifier; None takes the model's default, and what
            is not speculated needs none.
        controller: the name of a registered controller; None takes the model's default.
    """

    enabled: bool = True
    drafter: str | None = None
    num_draft_tokens: int | None = None
    verification: str | None = None
    controller: str | None = None

    def __post_init__(self) -> None:
        if self.num_draft_tokens is not None:
            _whole("num_draft_tokens", self.num_draft_tokens, 0)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str

    def __post_init__(self) -> None:
        if not isinstance(self.role, str) or not self.role:
            raise UsageError(f"A message needs a role such as 'user', not {self.role!r}.")
        if not isinstance(self.content, str):
            raise UsageError(
                f"The content of a {self.role} message has to be text, "
                f"not {type(self.content).__name__}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to generate from, and how. Exactly one of prompt, messages and tokens is given.

    Attributes:
        prompt: text that the model continues as it stands.
        messages: a conversation, rendered by the model's chat template; if the last one is the
            assistant's, it is continued.
        tokens: token ids, taken as they are.
        max_tokens: tokens to generate at most; None takes what the context leaves.
        stop: generation ends before the first of these strings; they are not in the output.
        ignore_eos: go on after the model's own end-of-text tokens.
        n: completions of the same prompt; they differ in the completion index of their noise.
        logprobs: report the chosen token's log-probability and this many best ones.
        prompt_logprobs: the same for the prompt's tokens.
        constraint: restricts which tokens may come next.
        speculation: None takes the model's defaults.
        parse_special: read control tokens such as <|im_end|> in the user's text as such.
    """

    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    tokens: tuple[int, ...] | None = None
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = 256
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    n: int = 1
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    constraint: Constraint | None = None
    speculation: Speculation | None = None
    parse_special: bool = False

    def __post_init__(self) -> None:
        given = [n for n in ("prompt", "messages", "tokens") if getattr(self, n) is not None]
        if len(given) != 1:
            raise UsageError(
                "A request needs exactly one of prompt, messages and tokens; "
                f"given: {', '.join(given) or 'none'}."
            )
        if self.messages is not None and not self.messages:
            raise UsageError("A conversation needs at least one message.")
        if self.max_tokens is not None:
            _whole("max_tokens", self.max_tokens, 1)
        _whole("n", self.n, 1, 1024)
        for name in ("logprobs", "prompt_logprobs"):
            if (value := getattr(self, name)) is not None:
                _whole(name, value, 0, 100)
        if isinstance(self.stop, str) or not all(isinstance(s, str) and s for s in self.stop):
            raise UsageError(f"stop has to be non-empty strings, not {self.stop!r}.")


UNKNOWN_TOKEN: Final = -1
"""In the place of a token's id, where a server gives its log-probability alone."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token's log-probability under the raw model, and the best alternatives'.

    Servers may leave the id at `UNKNOWN_TOKEN`.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification made of one tree.

    Attributes:
        accepted: the nodes on the accepted path, from the root's child downward.
        token: the token chosen after them: the bonus token, or the correction of the first
            rejected node. It is not in the cache yet.
    """

    accepted: tuple[int, ...]
    token: int


@dataclass(slots=True)
class Usage:
    """Counters of one completion; rates are derived, never stored.

    Times are in milliseconds. Rejected work counts as work: `rows` includes it. Steps of decoding
    are told apart: those that drafted, those that did not on purpose, and those for which the
    drafter had nothing to propose. Of a step that several completions share, each bears an equal
    part.

    Attributes:
        plain_steps: steps without a draft on purpose: none was asked for, or none was worth a row.
        empty_steps: steps for which a draft was asked for and nothing came.
        draft_ms: drafting, and deciding what of it to compute.
        pass_ms: the target's passes.
        sampling_ms: choosing tokens, which is verifying the draft.
        rest_ms: admitting requests, text, and what drafters and controllers learn. The counters
            go out with the last event, so handing events out is in no completion's, only in the
            step's (`Step.rest_ms`).
        saved_ms: what speculation has saved, or lost where it is negative: the time of plain
            decoding of the same tokens, less the time of drafting and passes. Without its drafts a
            pass would have taken what it took, in the proportion of the cost curve. Steps in which
            a completion is not speculated save it exactly 0; what others' drafts make such a step
            longer is those others' loss.
        note: why the completion was not speculated as asked, where that is so.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    steps: int = 0
    rows: int = 0
    plain_steps: int = 0
    empty_steps: int = 0
    draft_steps: int = 0
    draft_tokens: int = 0
    accepted_tokens: int = 0
    accepted_per_position: list[int] = field(default_factory=list)
    queue_ms: float = 0.0
    first_token_ms: float = 0.0
    decode_ms: float = 0.0
    total_ms: float = 0.0
    draft_ms: float = 0.0
    pass_ms: float = 0.0
    sampling_ms: float = 0.0
    rest_ms: float = 0.0
    saved_ms: float = 0.0
    note: str | None = None

    @property
    def tokens_per_second(self) -> float:
        """Decode speed, first to last token; 0 for fewer than two tokens."""
        if self.completion_tokens < 2 or self.decode_ms <= 0:
            return 0.0
        return (self.completion_tokens - 1) / self.decode_ms * 1000

    @property
    def acceptance_rate(self) -> float:
        """Accepted over drafted tokens; 0 where nothing was drafted."""
        return self.accepted_tokens / self.draft_tokens if self.draft_tokens else 0.0

    @property
    def mean_accepted_length(self) -> float:
        """Tokens gained a pass, bonus token included; 0 before the first step."""
        return (self.steps + self.accepted_tokens) / self.steps if self.steps else 0.0


def summed(usages: Iterable[Usage]) -> Usage:
    """The counters and times of several completions added up; positions one by one."""
    total = Usage()
    for usage in usages:
        for item in fields(Usage):
            if isinstance(value := getattr(usage, item.name), int | float):
                setattr(total, item.name, getattr(total, item.name) + value)
        positions = total.accepted_per_position
        positions.extend([0] * (len(usage.accepted_per_position) - len(positions)))
        for i, count in enumerate(usage.accepted_per_position):
            positions[i] += count
    return total


@dataclass(slots=True)
class Step:
    """One trip round the loop, for all requests that took part; times in milliseconds.

    `draft_ms` is drafting, controlling and learning from what came of it; `rest_ms` is all that is
    not in the other three, up to the step's end.
    """

    requests: int = 0
    prefill_rows: int = 0
    decode_rows: int = 0
    draft_rows: int = 0
    accepted: int = 0
    draft_ms: float = 0.0
    pass_ms: float = 0.0
    sampling_ms: float = 0.0
    rest_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of one completion as it streams.

    Attributes:
        index: which completion of the request (0 to n − 1).
        text: text that is final; it never splits a character or holds part of a stop string.
        tokens: the tokens that came with this event; text may lag behind them.
        origins: for each token, the drafter that proposed it; None for the target's own choice.
        draft_tokens: nodes of the draft that the pass verified.
        logprobs: for each token, where asked for.
        prompt_logprobs: with the first event of completion 0, where asked for.
        finish_reason: set on the last event of a completion.
        error: the sentence that says what went wrong, where finish_reason is "error".
        usage: the completion's counters, on its last event.
        pass_ms: milliseconds of the pass, whoever else had rows in it.
    """

    index: int = 0
    text: str = ""
    tokens: tuple[int, ...] = ()
    origins: tuple[str | None, ...] = ()
    draft_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] | None = None
    prompt_logprobs: tuple[TokenLogprob, ...] | None = None
    finish_reason: FinishReason | None = None
    error: str | None = None
    usage: Usage | None = None
    pass_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished completion of a request."""

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    logprobs: tuple[TokenLogprob, ...] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to a request.

    Attributes:
        choices: n completions, in the order of their index.
        prompt_tokens: the ids the prompt was turned into.
        seed: the seed of the noise, drawn if none was given; with the same request it gives
            the same tokens.
        prompt_logprobs: for each prompt token but the first, where asked for.
        record: the request as resolved (drafter, controller, verification, why not speculated).
    """

    choices: tuple[Choice, ...]
    prompt_tokens: tuple[int, ...]
    seed: int
    prompt_logprobs: tuple[TokenLogprob, ...] | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The first choice's text."""
        return self.choices[0].text

    @property
    def tokens(self) -> tuple[int, ...]:
        """The first choice's token ids."""
        return self.choices[0].tokens

    @property
    def finish_reason(self) -> FinishReason:
        """Why the first choice ended."""
        return self.choices[0].finish_reason

    @property
    def usage(self) -> Usage:
        """The first choice's counters."""
        return self.choices[0].usage


class Generator(Protocol):
    """The seam that speaks text; `LLM` is one, and so is any server behind a client."""

    def stream(self, request: Request) -> Iterator[Event]:
        """The events of all completions as they come."""
        ...

    def generate(self, request: Request) -> Completion:
        """The whole answer: a fold over `stream`."""
        ...
