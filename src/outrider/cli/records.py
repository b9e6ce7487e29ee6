"""Completions as the JSON output of commands has them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrider.types import Choice, Completion, TokenLogprob, Usage


def completion_record(completion: Completion) -> dict[str, Any]:
    """A completion with token ids, counters and the rates derived from them."""
    values: dict[str, Any] = {
        "seed": completion.seed,
        "prompt_tokens": list(completion.prompt_tokens),
        "choices": [choice_record(choice) for choice in completion.choices],
        "record": dict(completion.record),
    }
    if completion.prompt_logprobs is not None:
        values["prompt_logprobs"] = [_logprob_record(p) for p in completion.prompt_logprobs]
    return values


def choice_record(choice: Choice) -> dict[str, Any]:
    """One of a completion's choices."""
    values: dict[str, Any] = {
        "text": choice.text,
        "tokens": list(choice.tokens),
        "finish_reason": choice.finish_reason,
        "usage": usage_record(choice.usage),
    }
    if choice.logprobs is not None:
        values["logprobs"] = [_logprob_record(p) for p in choice.logprobs]
    if choice.error is not None:
        values["error"] = choice.error
    return values


def usage_record(usage: Usage) -> dict[str, Any]:
    """Counters and derived rates."""
    return {
        **asdict(usage),
        "tokens_per_second": usage.tokens_per_second,
        "acceptance_rate": usage.acceptance_rate,
        "mean_accepted_length": usage.mean_accepted_length,
    }


def _logprob_record(value: TokenLogprob) -> dict[str, Any]:
    return {
        "token": value.token,
        "logprob": value.logprob,
        "top": [{"token": token, "logprob": logprob} for token, logprob in value.top],
    }
