"""Two models that think together, as one that answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any, Self

from outrider.errors import UsageError
from outrider.sampling import derive_seed, draw_seed
from outrider.strategies.thinking.authors import Author
from outrider.strategies.thinking.config import ThinkingConfig
from outrider.strategies.thinking.desk import Desk
from outrider.strategies.thinking.policies import POLICIES
from outrider.strategies.thinking.record import ThinkingEvent, ThinkingRecord
from outrider.strategies.thinking.transcript import begin_transcript, tokenizer_of
from outrider.streams import Fold
from outrider.types import Completion, Generator, Request


class Thinking:
    """A small model that reasons and a large one that is called in; itself a `Generator`.

    The answer is not what the large model alone would say: speculative thinking trades quality for
    time, and `outrider bench thinking` measures both.

    Args:
        small: the model that writes most.
        large: the model that is called in.
        config: how they think together.
    """

    def __init__(
        self, small: Generator, large: Generator, config: ThinkingConfig | None = None
    ) -> None:
        self.small = small
        self.large = large
        self.config = config if config is not None else ThinkingConfig()
        ours, theirs = tokenizer_of(small), tokenizer_of(large)
        self._same_ids = ours is not None and theirs is not None and ours.same_ids(theirs)

    def stream(self, request: Request) -> ThinkingStream:
        """The answer as it comes, each piece with its author.

        Args:
            request: a prompt, which both continue as it stands, or messages, which each reads by
                its own chat template. Each call of a model gets a seed of its own, derived from
                the request's.

        Raises:
            UsageError: the request asks for what this strategy has not: token ids, several
                completions, log-probabilities, a constraint.
        """
        for name in ("tokens", "logprobs", "prompt_logprobs", "constraint"):
            if getattr(request, name) is not None:
                raise UsageError(
                    f"Thinking with two models takes no {name}, which are of one; leave it out."
                )
        if request.n != 1:
            raise UsageError(
                f"Thinking with two models gives one answer a request, not n={request.n}."
            )
        seed = request.sampling.seed
        seed = draw_seed() if seed is None else seed
        return ThinkingStream(request, self._desk(request, seed), seed)

    def generate(self, request: Request) -> Completion:
        """The whole answer: `stream`, folded.

        Raises:
            UsageError: as in `stream`.
        """
        return self.stream(request).finish()

    def _desk(self, request: Request, seed: int) -> Desk:
        config, calls = self.config, count()

        def settings() -> dict[str, Any]:
            sampling = replace(request.sampling, seed=derive_seed(seed, "thinking", next(calls)))
            return {
                "sampling": sampling,
                "speculation": request.speculation,
                "ignore_eos": request.ignore_eos,
            }

        def author(name: Any, generator: Generator, template: str | None) -> Author:
            text = begin_transcript(
                generator,
                template,
                request.messages,
                request.prompt or "",
                parse_special=request.parse_special,
            )
            return Author(name, generator, text, settings)

        small = author("small", self.small, config.small_template)
        large = author("large", self.large, config.large_template)
        small.same_ids = large.same_ids = self._same_ids
        for each in (small, large):
            room = each.room()
            if room is not None and room < 1:
                raise UsageError(f"The question alone fills the context of the {each.name} model.")
        stop = (*request.stop, *config.stop)
        return Desk(small, large, config, max_tokens=request.max_tokens, stop=stop)


class ThinkingStream(Iterator[ThinkingEvent]):
    """The events of an answer, for one loop.

    Attributes:
        record: what has been done so far.

    Args:
        request: as it was asked.
        desk: where it is written.
        seed: of the whole.
    """

    def __init__(self, request: Request, desk: Desk, seed: int) -> None:
        self.record: ThinkingRecord = desk.record
        self._desk = desk
        self._seed = seed
        self._events = desk.run(POLICIES[desk.config.policy](desk.config).think(desk))
        self._fold = Fold(request)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ThinkingEvent:
        event = next(self._events)
        # Ids of two models are no tokens of one answer.
        self._fold.add(replace(event, tokens=(), origins=()))
        return event

    def cancel(self) -> None:
        """Ask for the end, from any thread; the events up to it still come."""
        self._desk.interrupt()

    def close(self) -> None:
        """Cancel, and wait for the end."""
        self.cancel()
        for _ in self:
            pass

    def finish(self) -> Completion:
        """Wait for the end; the whole answer."""
        for _ in self:
            pass
        return self.completion

    @property
    def completion(self) -> Completion:
        """The whole answer.

        Raises:
            OutriderError: it is not finished.
        """
        return self._fold.completion((), self._seed, self.record.record())
