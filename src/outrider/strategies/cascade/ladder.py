"""The stages of a cascade with their models: asked one by one, several questions at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self

from outrider import models
from outrider.generators import open_generator, resolve
from outrider.strategies.cascade.manager import Resident, StageManager
from outrider.strategies.cascade.settings import CascadeSettings, StageSettings
from outrider.strategies.cascade.stage import Answer, Extract, Stage
from outrider.tasks import Problem, extract_answer
from outrider.tasks.graders import chosen_letter
from outrider.tasks.mathematics import number
from outrider.types import Generator, Message

ROOM: Final = 1.4
"""Memory of a loaded model without its cache, in sizes of its file, where none is declared."""

CACHE: Final = 1 << 28
"""Bytes of a local model's key-value cache, where none are declared."""

Opener = Callable[[StageSettings], Generator]


def find_answer(problem: Problem, text: str) -> str | None:
    """The answer in a text, written so that equal answers are equal texts."""
    if problem.choices:
        return chosen_letter(problem, text)
    found = extract_answer(text)
    if found is None:
        return None
    value = number(found)
    return found if value is None else str(value)


class Ladder:
    """The stages and their models. Stages of the same model share it, and so its prefix cache.

    Args:
        settings: of the cascade.
        extract: takes an answer out of a text.
        open: loads a stage's model; None opens it by its name or endpoint.
        local: further arguments of `LLM`, such as threads; accept_terms and progress also go to the
            fetching of models that are not here.

    Raises:
        UsageError: a model's name stands for nothing.
        DownloadError: a model is not here and cannot be fetched.
        CapacityError: a model does not fit the memory of the cascade.
    """

    def __init__(
        self,
        settings: CascadeSettings,
        *,
        extract: Extract = find_answer,
        open: Opener | None = None,
        local: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.stages = tuple(Stage(stage, extract) for stage in settings.stages)
        opener = partial(_open, local=local or {}) if open is None else open
        self._models = [_model_key(stage) for stage in settings.stages]
        residents: dict[str, Resident] = {}
        for key in dict.fromkeys(self._models):
            sharing = [s for k, s in zip(self._models, settings.stages, strict=True) if k == key]
            residents[key] = Resident(
                max(_size(stage, local or {}) for stage in sharing),
                partial(opener, _joined(sharing)),
                any(stage.pinned for stage in sharing),
            )
        self.manager = StageManager(residents, settings.memory)

    def ask(
        self, place: int, problem: Problem, *, earlier: Sequence[Message] = (), seed: int = 0
    ) -> Answer:
        """One stage's answer; safe from any thread.

        Args:
            place: of the stage, from 0.
            problem: the question.
            earlier: turns of the conversation before it.
            seed: of its samples.

        Raises:
            OutriderError: the model cannot be loaded, or cannot answer.
        """
        with self.manager.use(self._models[place]) as lease:
            return self.stages[place].ask(
                lease.generator,
                problem,
                earlier=earlier,
                seed=seed,
                loading_ms=lease.loading_ms,
            )

    def close(self) -> None:
        """Unload all models."""
        self.manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sizes(settings: CascadeSettings) -> dict[str, int]:
    """Bytes of each stage's loaded model, by the stage's name; 0 for a server's.

    Raises:
        UsageError: a model's name stands for nothing.
        DownloadError: a model is not here and cannot be fetched.
    """
    return {stage.name: _size(stage, {}) for stage in settings.stages}


def _model_key(stage: StageSettings) -> str:
    return resolve(stage.model, stage.endpoint) if stage.endpoint else stage.model


def _joined(stages: Sequence[StageSettings]) -> StageSettings:
    """One stage's settings with room for all that share its model."""
    contexts, caches = [s.context for s in stages], [s.cache for s in stages]
    return replace(
        stages[0],
        context=None if None in contexts else max(c for c in contexts if c is not None),
        cache=max((c for c in caches if c is not None), default=None),
    )


def _size(stage: StageSettings, local: Mapping[str, Any]) -> int:
    """Bytes that a stage's model takes: declared, or by its file; a server's are elsewhere."""
    if stage.memory is not None:
        return stage.memory
    if stage.endpoint is not None:
        return 0
    fetching = {key: local[key] for key in ("accept_terms", "progress") if key in local}
    size = models.ensure(stage.model, **fetching).stat().st_size
    return int(ROOM * size) + (CACHE if stage.cache is None else stage.cache)


def _open(stage: StageSettings, *, local: Mapping[str, Any]) -> Generator:
    if stage.endpoint is not None:
        return open_generator(stage.model, endpoint=stage.endpoint)
    cache = CACHE if stage.cache is None else stage.cache
    return open_generator(stage.model, context=stage.context, cache_budget=cache, **local)
