"""The stages of a cascade with their models: asked one by one, several questions at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self

from outrider import models
from outrider.generators import open_generator, resolve
from outrider.strategies.cascade.manager import Managed, Resident, StageManager
from outrider.strategies.cascade.settings import CascadeSettings, StageSettings
from outrider.strategies.cascade.stage import Extract, Stage, find_answer
from outrider.types import Generator

ROOM: Final = 1.4
"""Memory of a loaded model without its cache, in sizes of its file, where none is declared."""

CACHE: Final = 1 << 28
"""Bytes of a local model's key-value cache, where none are declared."""

Opener = Callable[[StageSettings], Generator]


class Ladder:
    """The stages of a cascade file. Those of the same model share it, and so its prefix cache.

    Attributes:
        settings: as given.
        stages: from the cheapest to the dearest; each borrows its model for as long as it answers.
        manager: of their models.

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
        opener = partial(_open, local=local or {}) if open is None else open
        keys = [resolve(stage.model, stage.endpoint) for stage in settings.stages]
        residents: dict[str, Resident] = {}
        for key in dict.fromkeys(keys):
            sharing = [s for k, s in zip(keys, settings.stages, strict=True) if k == key]
            residents[key] = Resident(
                max(_size(stage, local or {}) for stage in sharing),
                partial(opener, _joined(sharing)),
                any(stage.pinned for stage in sharing),
            )
        self.manager = StageManager(residents, settings.memory)
        self.stages = tuple(
            Stage(stage, Managed(self.manager, key), extract=extract)
            for stage, key in zip(settings.stages, keys, strict=True)
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
    size = models.ensure(stage.local_model, **fetching).stat().st_size
    return int(ROOM * size) + (CACHE if stage.cache is None else stage.cache)


def _open(stage: StageSettings, *, local: Mapping[str, Any]) -> Generator:
    if stage.endpoint is not None:
        return open_generator(stage.model, endpoint=stage.endpoint)
    cache = CACHE if stage.cache is None else stage.cache
    return open_generator(stage.local_model, context=stage.context, cache_budget=cache, **local)
