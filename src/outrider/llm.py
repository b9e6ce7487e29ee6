"""The facade: a model file wired to tokenizer, template, engine and loop."""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, Unpack

from outrider import models, registry
from outrider.decode import PREFILL_CHUNK, Loop
from outrider.engines.base import TargetModel
from outrider.engines.native import NativeEngine
from outrider.errors import CapacityError, ModelFileError, UsageError
from outrider.models.gguf import GgufFile
from outrider.parts import Watch
from outrider.plan import Plan
from outrider.runner import Runner
from outrider.sampling import draw_seed
from outrider.scheduler import Job
from outrider.settings import Prompt, Settings, make_request, make_requests, messages
from outrider.streams import Stream
from outrider.text import ChatTemplate, TextStream, Tokenizer, encode_chat
from outrider.text.chat import TEMPLATE
from outrider.types import MAX_SEED, Completion, Event, Message, Request, Speculation

MAX_STREAMS = 16
SPECULATION_VARIABLE = "OUTRIDER_SPECULATION"
SPECULATION_ALIAS = "ENABLE_SPECULATIVE_DECODING"
"""What pipelines that were written for other engines call it; the name of our own wins."""
_SWITCH = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Model:
    """What a model consists of.

    Attributes:
        name: what people call it.
        fingerprint: tells files apart.
        engine: computes it.
        tokenizer: turns its text into tokens and back.
        template: writes its conversations; None where it has none.
        facts: how it is computed (kernel, threads), for records.
    """

    name: str
    fingerprint: str
    engine: TargetModel
    tokenizer: Tokenizer
    template: ChatTemplate | None
    facts: Mapping[str, Any] = field(default_factory=dict)


class LLM:
    """A model that answers; it satisfies `outrider.types.Generator`.

    Every method may be called from any thread. Requests are computed together as they come.
    Settings are the flat names of `Settings`, such as temperature=0.7 or max_tokens=64.

    Args:
        model: a name of the catalogue, `hf:owner/repo/file.gguf`, a GGUF file, or a loaded `Model`.
        threads: None takes OUTRIDER_THREADS, else the physical cores this process may use.
        context: the longest sequence in tokens, prompt included; None takes what the model was
            trained for.
        cache_budget: bytes for the key-value cache; None takes enough for one full context.
        max_streams: completions computed at the same time, at most.
        prefill_chunk: rows of prompts in one pass at most; while a longer prompt is read, others
            say a token after each chunk of it.
        kernel: instruction set; None takes OUTRIDER_KERNEL, else the best one here.
        plan: how to speculate, or the file that says so; None takes the default plan, which drafts
            from several free sources as far as that saves time. The next five change single parts
            of it.
        drafter: what rides ahead, by its registered name; "none" decodes plainly.
        draft_model: the model that the drafter `model` drafts with, named like `model`.
        controller: what decides how many drafted tokens to spend, by its registered name.
        num_draft_tokens: drafted tokens a step at most.
        verification: which drafted tokens stand, by its registered name.
        speculation: False decodes plainly whatever is asked for; None takes OUTRIDER_SPECULATION
            (on or off), else ENABLE_SPECULATIVE_DECODING, else True.
        seed: for requests without one; None draws one for each, and their completions record it.
        accept_terms: accept the terms the model comes under, and those of its draft model.
        progress: told how far the model's download is, and then its loading, by the calling
            thread. What it raises ends either.

    Raises:
        UsageError: an argument cannot be honoured.
        ModelFileError: the file is damaged or not supported.
        DownloadError: the model is not here and cannot be fetched.
        CapacityError: the cache budget is too small.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = models.DEFAULT_MODEL,
        *,
        threads: int | None = None,
        context: int | None = None,
        cache_budget: int | None = None,
        max_streams: int = MAX_STREAMS,
        prefill_chunk: int = PREFILL_CHUNK,
        kernel: str | None = None,
        plan: Plan | str | os.PathLike[str] | None = None,
        drafter: str | None = None,
        draft_model: str | None = None,
        controller: str | None = None,
        num_draft_tokens: int | None = None,
        verification: str | None = None,
        speculation: bool | None = None,
        seed: int | None = None,
        accept_terms: bool = False,
        progress: Callable[[models.Progress], None] | None = None,
    ) -> None:
        if max_streams < 1:
            raise UsageError(f"max_streams has to be at least 1, not {max_streams}.")
        if prefill_chunk < 1:
            raise UsageError(f"prefill_chunk has to be at least 1 row, not {prefill_chunk}.")
        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise UsageError(f"seed has to lie in [0, {MAX_SEED}], not {seed}.")
        self.speculation, self._why_plain = _switch(speculation)
        if not isinstance(plan, Plan):
            plan = Plan() if plan is None else Plan.load(Path(plan))
        self.plan = plan.but(
            drafter=drafter,
            draft_model=draft_model,
            controller=controller,
            num_draft_tokens=num_draft_tokens,
            verification=verification,
        )
        self.seed = seed
        self.max_streams = max_streams
        self._check_speculation(self._planned(Speculation(enabled=self.speculation)))
        if self.speculation and (guesser := self.plan.draft_model) is not None:
            models.ensure(guesser, accept_terms=accept_terms, progress=progress)
        if not isinstance(model, Model):
            path = models.ensure(model, accept_terms=accept_terms, progress=progress)
            model = load(
                path,
                threads=threads,
                context=context,
                cache_bytes=cache_budget,
                kernel=kernel,
                progress=progress,
            )
        self.model = model
        self.engine, self.tokenizer = model.engine, model.tokenizer
        # Promise 2: what a pass costs here is known before the first draft is.
        _ = self.engine.cost
        loop = Loop(
            self.engine,
            max_streams=max_streams,
            plan=self.plan,
            prefill_chunk=prefill_chunk,
        )
        if self.speculation:
            loop.prepare()
        self._draft_facts = loop.facts
        self._runner = Runner(loop)
        # The thread ends with the model that nobody uses any more, and before the interpreter does.
        self._end = weakref.finalize(self, self._runner.close)

    @property
    def context(self) -> int:
        """The longest sequence in tokens, prompt included."""
        return self.engine.context

    @property
    def has_chat_template(self) -> bool:
        """Whether the model takes messages."""
        return self.model.template is not None

    def stream(self, prompt: Prompt | None = None, **settings: Unpack[Settings]) -> Stream:
        """Ask, and get the answer as it comes.

        Args:
            prompt: text to continue as it stands, messages, or a whole request.
            settings: win over those of a request.

        Returns:
            An iterator of events, for loops and for `async` loops. Afterwards its `.completion`
            is the whole answer. Closing or interrupting it cancels the request.

        Raises:
            UsageError: a setting, or a prompt that is empty, too long or outside the vocabulary.
            CapacityError: the cache can never hold the request.
        """
        request = make_request(prompt, settings)
        tokens = self.encode(request)
        self._check_ids(request.sampling.logit_bias)
        max_tokens = self._fit(request, len(tokens))
        seed = request.sampling.seed
        seed = self.seed if seed is None else seed
        seed = draw_seed() if seed is None else seed
        speculation, why_plain = self._resolve(request.speculation)

        def make(emit: Callable[[Event], None]) -> Job:
            return Job(
                tokens=tokens,
                max_tokens=max_tokens,
                sampling=request.sampling,
                seed=seed,
                stop_tokens=frozenset() if request.ignore_eos else self.tokenizer.stop_ids,
                sink=lambda: TextStream(self.tokenizer, request.stop),
                emit=emit,
                n=request.n,
                logprobs=request.logprobs,
                prompt_logprobs=request.prompt_logprobs,
                constraint=request.constraint,
                speculation=speculation,
            )

        record = {
            "model": self.model.name,
            "fingerprint": self.model.fingerprint,
            "max_tokens": max_tokens,
            "drafter": speculation.drafter if speculation.enabled else "none",
            "controller": speculation.controller if speculation.enabled else None,
            "num_draft_tokens": speculation.num_draft_tokens if speculation.enabled else None,
            "verification": speculation.verification if speculation.enabled else "coupled",
            "plan": self.plan.name,
            "lossy": self._is_lossy(speculation, request.sampling.temperature),
            "why_plain": why_plain,
        }
        if speculation.enabled and speculation.drafter == self.plan.drafter:
            record |= self._draft_facts
        return Stream(self._runner.submit(make, request.n), request, tokens, seed, record)

    def generate(self, prompt: Prompt | None = None, **settings: Unpack[Settings]) -> Completion:
        """The whole answer: `stream`, folded.

        Raises:
            UsageError: as in `stream`.
            CapacityError: as in `stream`.
        """
        return self.stream(prompt, **settings).finish()

    def generate_many(
        self,
        prompts: Iterable[Prompt],
        *,
        listener: Callable[[int, Event], None] | None = None,
        **settings: Unpack[Settings],
    ) -> Iterator[Completion]:
        """Answers to many prompts, computed together; all are asked at once.

        One seed for all gives each prompt its own, derived from its index and recorded, so that
        any answer can be had again alone. Requests with a seed of their own keep it.

        Args:
            prompts: as in `stream`.
            listener: told a prompt's index and each event of its answer, in the order in which
                answers are returned, by the thread that asks for them.
            settings: as in `stream`.

        Returns:
            An iterator of completions in the order of the prompts, each as soon as it and those
            before it are finished. Interrupting or closing it cancels the rest.

        Raises:
            UsageError: as in `stream`; the prompt's index is named.
            CapacityError: as in `stream`.
        """
        streams: list[Stream] = []
        try:
            for index, request in enumerate(make_requests(prompts, settings, self.seed)):
                try:
                    streams.append(self.stream(request))
                except (UsageError, CapacityError) as error:
                    error.args = (f"Prompt {index}: {error}",)
                    raise
        except BaseException:
            for stream in streams:
                stream.close()
            raise
        return _finish_all(streams, listener)

    def chat(
        self,
        conversation: str | Sequence[Message | Mapping[str, str]],
        **settings: Unpack[Settings],
    ) -> Completion:
        """The assistant's next turn; a text is one message of the user's.

        Raises:
            UsageError: as in `stream`, or the model has no chat template.
            CapacityError: as in `stream`.
        """
        if isinstance(conversation, str):
            conversation = (Message("user", conversation),)
        return self.generate(messages(conversation), **settings)

    async def astream(
        self, prompt: Prompt | None = None, **settings: Unpack[Settings]
    ) -> AsyncIterator[Event]:
        """`stream` for an event loop; leaving the loop cancels the request.

        Raises:
            UsageError: as in `stream`.
            CapacityError: as in `stream`.
        """
        stream = self.stream(prompt, **settings)
        try:
            async for event in stream:
                yield event
        finally:
            stream.cancel()

    @contextmanager
    def fresh(self, *, drafters: bool = True) -> Iterator[None]:
        """Begin anew: what drafters and controllers learnt and cached prefixes are forgotten.

        What is asked inside starts in the same step. What is known of completions that still run
        stays.

        Args:
            drafters: False lets them and their controllers keep what they have learnt.

        Raises:
            OutriderError: the model is closed.
        """
        with self._runner.paused() as loop:
            if drafters:
                loop.forget()
            self.engine.clear_cache()
            yield

    @contextmanager
    def watched(self, watch: Watch) -> Iterator[None]:
        """Have somebody look on while drafts are verified.

        Args:
            watch: makes of each verifier the one that decides instead, for what is asked inside.

        Raises:
            OutriderError: the model is closed.
        """
        with self._runner.paused() as loop:
            loop.parts.watch(watch)
        try:
            yield
        finally:
            with self._runner.paused() as loop:
                loop.parts.watch(None)

    def close(self) -> None:
        """End what still runs, and the thread that ran it; later requests are errors."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def encode(self, request: Request) -> tuple[int, ...]:
        """The prompt's token ids.

        Raises:
            UsageError: there are none, one is unknown, or messages have no template.
        """
        special = request.parse_special
        if request.tokens is not None:
            if not request.tokens:
                raise UsageError("The prompt has no tokens; give at least one.")
            self._check_ids(request.tokens)
            return request.tokens
        if request.messages is not None:
            if self.model.template is None:
                raise UsageError(
                    f"The model {self.model.name} has no chat template; give it a prompt to "
                    "continue instead of messages."
                )
            return tuple(
                encode_chat(
                    self.tokenizer,
                    self.model.template,
                    request.messages,
                    continue_last=request.messages[-1].role == "assistant",
                    parse_special=special,
                )
            )
        assert request.prompt is not None
        tokens = self.tokenizer.encode_prompt(request.prompt, parse_special=special)
        if not tokens and self.tokenizer.bos is not None:
            return (self.tokenizer.bos,)
        if not tokens:
            raise UsageError("The prompt is empty, and this model has no begin-of-text token.")
        return tuple(tokens)

    def _check_ids(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            self.tokenizer.token_name(token)

    def _fit(self, request: Request, length: int) -> int:
        """How many tokens may be generated; an error where there is no room for those asked for."""
        if length >= self.context:
            raise UsageError(
                f"The prompt has {length} tokens and the context holds {self.context}, with at "
                "least one to generate; shorten the prompt or raise the context."
            )
        wanted = self.context - length if request.max_tokens is None else request.max_tokens
        if length + wanted > self.context:
            raise UsageError(
                f"A prompt of {length} tokens and max_tokens of {wanted} do not fit the context of "
                f"{self.context}; ask for at most {self.context - length}, or raise the context."
            )
        # Not every engine has a budget to speak of.
        budget = getattr(self.engine, "cache_tokens", None)
        if budget is not None and length + wanted > budget:
            raise CapacityError(
                f"A prompt of {length} tokens and max_tokens of {wanted} do not fit the key-value "
                f"cache, whose budget holds {budget}; raise the cache budget or ask for fewer.",
                never=True,
            )
        return wanted

    def _resolve(self, wish: Speculation | None) -> tuple[Speculation, str | None]:
        """What a request gets of what it wishes, and why it is decoded plainly if it is."""
        wish = wish or Speculation()
        resolved = self._planned(wish)
        if not self.speculation:
            resolved = replace(resolved, enabled=False)
        self._check_speculation(resolved)
        if not self.speculation:
            return resolved, self._why_plain
        if not wish.enabled:
            return resolved, "the request asked for it"
        if resolved.drafter == "none":
            return replace(resolved, enabled=False), "the drafter is 'none'"
        return resolved, None

    def _planned(self, wish: Speculation) -> Speculation:
        """The wish, with the plan's parts where it names none.

        A plan's number of draft tokens is none of a request's that wants no drafter.
        """
        plan = self.plan.but(
            drafter=wish.drafter,
            controller=wish.controller,
            num_draft_tokens=wish.num_draft_tokens,
            verification=wish.verification,
        )
        return Speculation(
            enabled=wish.enabled,
            drafter=plan.drafter,
            controller=plan.controller,
            num_draft_tokens=(
                wish.num_draft_tokens if wish.drafter == "none" else plan.num_draft_tokens
            ),
            verification=plan.verification,
        )

    @staticmethod
    def _is_lossy(resolved: Speculation, temperature: float) -> bool:
        """Whether the answer's distribution may differ from plain decoding's."""
        if not resolved.enabled or resolved.verification is None or temperature == 0:
            return False
        return bool(registry.load("verifiers", resolved.verification)().lossy)

    @staticmethod
    def _check_speculation(wish: Speculation) -> None:
        """Raise for parts that do not exist and for settings that could have no effect."""
        if wish.verification is not None:
            registry.load("verifiers", wish.verification)()
        if wish.drafter is not None:
            registry.load("drafters", wish.drafter)
        if wish.controller is not None:
            registry.load("controllers", wish.controller)
        if wish.num_draft_tokens and wish.enabled and wish.drafter == "none":
            known = ", ".join(name for name in registry.names("drafters") if name != "none")
            raise UsageError(
                f"num_draft_tokens of {wish.num_draft_tokens} needs a drafter, and 'none' drafts "
                f"nothing; known: {known}."
            )


def load(
    path: Path,
    *,
    threads: int | None = None,
    context: int | None = None,
    cache_bytes: int | None = None,
    kernel: str | None = None,
    progress: Callable[[models.Progress], None] | None = None,
) -> Model:
    """Open a model file; see `LLM` for the arguments.

    Raises:
        ModelFileError: the file is damaged or not supported.
        UsageError: an argument cannot be honoured.
        CapacityError: the cache budget is too small.
    """
    try:
        file = GgufFile(path)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    # The tokenizer is built in Python while the engine repacks the weights in C++, and that in this
    # thread: it is the one that an interrupt reaches.
    with ThreadPoolExecutor(1) as pool:
        tokenizer = pool.submit(Tokenizer.from_metadata, file.metadata)
        template = pool.submit(ChatTemplate.from_metadata, file.metadata)
        native = NativeEngine(
            file,
            threads=threads,
            context=context,
            cache_bytes=cache_bytes,
            kernel=kernel,
            progress=progress,
        )
    return Model(
        name=file.name,
        fingerprint=file.fingerprint(),
        engine=native,
        tokenizer=tokenizer.result(),
        template=template.result() if TEMPLATE in file.metadata else None,
        facts={"kernel": native.kernel, "threads": native.threads},
    )


def _switch(given: bool | None) -> tuple[bool, str | None]:
    """Whether to speculate at all, and what switched it off."""
    if given is not None:
        return given, None if given else "speculation is switched off"
    variable = SPECULATION_VARIABLE
    if variable not in os.environ and SPECULATION_ALIAS in os.environ:
        variable = SPECULATION_ALIAS
    text = os.environ.get(variable, "on")
    if text.lower() not in _SWITCH:
        raise UsageError(f"{variable} has to be on or off, not {text!r}.")
    on = _SWITCH[text.lower()]
    return on, None if on else f"{variable} switches it off"


def _finish_all(
    streams: list[Stream], listener: Callable[[int, Event], None] | None
) -> Iterator[Completion]:
    try:
        for index, stream in enumerate(streams):
            for event in stream:
                if listener is not None:
                    listener(index, event)
            yield stream.completion
    finally:
        for stream in streams:
            stream.cancel()
