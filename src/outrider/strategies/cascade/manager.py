"""Models in memory: loaded when they are needed, unloaded when others need their room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from outrider.errors import CapacityError
from outrider.types import Generator


@runtime_checkable
class Closeable(Protocol):
    """A generator that holds something it can let go of."""

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that the manager may load.

    Attributes:
        size: bytes that it takes when loaded.
        open: loads it.
        pinned: it is never unloaded.
    """

    size: int
    open: Callable[[], Generator]
    pinned: bool = False


@dataclass(slots=True)
class _Place:
    """What is known of one model now."""

    resident: Resident
    generator: Generator | None = None
    users: int = 0
    loading: bool = False
    leaving: bool = False
    used: int = 0  # when it was used last, by the manager's count
    loads: int = 0
    load_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A model in use, and the milliseconds that its loading took for this use."""

    generator: Generator
    loading_ms: float = 0.0


@runtime_checkable
class Lender(Protocol):
    """Who has a model for as long as an answer takes."""

    def lend(self) -> AbstractContextManager[Lease]:
        """The model, which is given back at the end of the context."""
        ...


@dataclass(frozen=True, slots=True)
class Owned:
    """A model that is there, and stays."""

    generator: Generator

    def lend(self) -> AbstractContextManager[Lease]:
        """The model."""
        return nullcontext(Lease(self.generator))


@dataclass(frozen=True, slots=True)
class Managed:
    """A model of a manager's, by its name."""

    manager: StageManager
    name: str

    def lend(self) -> AbstractContextManager[Lease]:
        """The model, loaded first if it is not there."""
        return self.manager.use(self.name)


class StageManager:
    """Lends models, and keeps their bytes under a budget.

    A model that nobody uses stays until its room is needed; the one used longest ago goes first,
    and a pinned one never. Who needs room waits until models in use are given back, and is served
    before those who came later, so that nobody waits for ever. A thread that holds a lease must not
    ask for another: two such threads could wait for each other.

    Args:
        residents: the models by their names.
        budget: bytes that all may take together; None sets no limit.

    Raises:
        CapacityError: a model cannot fit beside the pinned ones.
    """

    def __init__(self, residents: Mapping[str, Resident], budget: int | None = None) -> None:
        self._places = {name: _Place(resident) for name, resident in residents.items()}
        self._budget = budget
        self._changed = threading.Condition()
        self._clock = 0
        self._queue: list[tuple[object, _Place]] = []  # who waits, the first to come first
        self._closed = False
        self.peak = 0
        """The most bytes that were ever taken."""
        pinned = sum(r.size for r in residents.values() if r.pinned)
        for name, resident in residents.items():
            needed = resident.size + (0 if resident.pinned else pinned)
            if budget is not None and max(needed, pinned) > budget:
                beside = f" beside {pinned:,} of pinned models" if pinned else ""
                raise CapacityError(
                    f"The model {name} takes {resident.size:,} bytes{beside}, and the memory of "
                    f"the cascade is {budget:,}; raise it, or pin fewer models.",
                    never=True,
                )

    @contextmanager
    def use(self, name: str) -> Iterator[Lease]:
        """Borrow a model, which is loaded first if it is not there.

        Raises:
            CapacityError: the manager is closed.
            OutriderError: the model cannot be loaded.
        """
        place = self._places[name]
        generator, loading_ms = self._take(place)
        try:
            yield Lease(generator, loading_ms)
        finally:
            with self._changed:
                place.users -= 1
                self._clock += 1
                place.used = self._clock
                self._changed.notify_all()

    def loaded(self) -> tuple[str, ...]:
        """The models in memory, the one used longest ago first."""
        with self._changed:
            here = [(p.used, name) for name, p in self._places.items() if p.generator is not None]
        return tuple(name for _, name in sorted(here))

    def facts(self) -> dict[str, dict[str, Any]]:
        """Size, loads and mean loading time of each model, for records."""
        with self._changed:
            return {
                name: {
                    "bytes": p.resident.size,
                    "loads": p.loads,
                    "load_ms": p.load_ms / p.loads if p.loads else None,
                }
                for name, p in self._places.items()
            }

    def close(self) -> None:
        """Unload everything, once it is given back; later uses are errors."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not any(p.users or p.loading or p.leaving for p in self._places.values())
            )
            leaving = [p for p in self._places.values() if p.generator is not None]
            generators = [p.generator for p in leaving]
            for place in leaving:
                place.generator = None
        for generator in generators:
            _close(generator)

    def _take(self, place: _Place) -> tuple[Generator, float]:
        """A model for one use, and what its loading took."""
        ticket = object()
        with self._changed:
            self._queue.append((ticket, place))
        # The ticket stays first in the queue while models leave, so that nobody takes their room.
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._ready(ticket, place))
                if self._closed:
                    raise CapacityError("The models of the cascade have been closed.")
                self._clock += 1
                place.used = self._clock
                if place.generator is not None:
                    place.users += 1
                    return place.generator, 0.0
                leaving = self._leaving(place.resident.size) or []
                for other in leaving:
                    other.leaving = True
            start = time.perf_counter()
            for other in leaving:
                self._unload(other)
            with self._changed:
                place.loading = True
                self.peak = max(self.peak, self._taken())
        finally:
            with self._changed:
                self._queue.remove((ticket, place))
                self._changed.notify_all()
        return self._load(place, start)

    def _load(self, place: _Place, start: float) -> tuple[Generator, float]:
        generator = None
        try:
            generator = place.resident.open()
        finally:
            with self._changed:
                place.loading = False
                place.generator = generator
                self._changed.notify_all()
                if generator is not None:
                    loading_ms = (time.perf_counter() - start) * 1000
                    place.users += 1
                    place.loads += 1
                    place.load_ms += loading_ms
        return generator, loading_ms

    def _unload(self, place: _Place) -> None:
        try:
            _close(place.generator)
        finally:
            with self._changed:
                place.generator = None
                place.leaving = False

    def _ready(self, ticket: object, place: _Place) -> bool:
        """Whether the model can be lent, or it is this one's turn to load it and there is room."""
        if place.loading or place.leaving:
            return False
        # Who waits for room would wait for ever if others went on borrowing what could leave.
        waits = False
        for other, wanted in self._queue:
            if other is ticket:
                break
            waits |= not wanted.loading and (wanted.generator is None or wanted.leaving)
        if place.generator is not None:
            return place.resident.pinned or not waits
        return not waits and self._leaving(place.resident.size) is not None

    def _taken(self) -> int:
        return sum(
            p.resident.size for p in self._places.values() if p.generator is not None or p.loading
        )

    def _leaving(self, size: int) -> list[_Place] | None:
        """The models to unload so that `size` bytes fit; None where others have to end first."""
        if self._budget is None:
            return []
        excess = self._taken() + size - self._budget
        idle = [
            p
            for p in self._places.values()
            if p.generator is not None and not (p.users or p.leaving or p.resident.pinned)
        ]
        leaving: list[_Place] = []
        for other in sorted(idle, key=lambda p: p.used):
            if excess <= 0:
                break
            leaving.append(other)
            excess -= other.resident.size
        return leaving if excess <= 0 else None


def _close(generator: Generator | None) -> None:
    if isinstance(generator, Closeable):
        generator.close()
