"""Asks a model prompts in one way: the same settings, each prompt's own seed, no cached prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from outrider.errors import CapacityError, OutriderError, UsageError
from outrider.llm import LLM
from outrider.prompts import Prompt
from outrider.sampling import derive_seed
from outrider.streams import Stream
from outrider.types import Completion, Message, Request

Passes = Mapping[int, Sequence[float]]
"""The milliseconds of passes, by the rows that an answer had in them."""


@dataclass(frozen=True, slots=True)
class Host:
    """Asks.

    Attributes:
        llm: idle but for what is asked here.
        name: of the way of asking, for errors.
        raw: leave out the chat template.
        seed: each prompt's own is derived from it by the prompt's index.
        settings: the flat names of `Settings`, such as temperature=0.8.
    """

    llm: LLM
    name: str
    raw: bool
    seed: int
    settings: Mapping[str, Any]

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

        Raises:
            UsageError: a setting.
            CapacityError: the cache can never hold a prompt and its answer.
            OutriderError: an answer failed.
        """
        with self.llm.fresh(drafters=fresh):
            streams = [self._stream(prompt, max_tokens) for prompt in prompts]
        answers = [_finish(stream) for stream in streams]
        for prompt, (answer, _) in zip(prompts, answers, strict=True):
            if answer.finish_reason == "error":
                raise OutriderError(
                    f"Prompt {prompt.index}, decoded by the plan {self.name!r}: "
                    f"{answer.choices[0].error}"
                )
        return answers

    def _stream(self, prompt: Prompt, max_tokens: int) -> Stream:
        text = prompt.turns[0]
        chat = self.llm.has_chat_template and not self.raw
        request = Request(
            messages=(Message("user", text),) if chat else None,
            prompt=None if chat else text,
        )
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


def _finish(stream: Stream) -> tuple[Completion, Passes]:
    """The whole answer, and the passes behind the first token."""
    passes: dict[int, list[float]] = {}
    # Each event is one pass, and the first of them is the prompt's.
    for event in islice(stream, 1, None):
        passes.setdefault(1 + event.draft_tokens, []).append(event.pass_ms)
    return stream.completion, passes
