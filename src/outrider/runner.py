"""One thread owns the loop; everyone else submits, listens and cancels."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from outrider.decode import Loop
from outrider.errors import OutriderError
from outrider.scheduler import Job
from outrider.types import Event

PATIENCE = 0.1
"""Seconds between two looks whether the thread that is waited for still lives."""


class Handle:
    """A submitted request: its events, from any thread or event loop, to one listener."""

    def __init__(self, completions: int) -> None:
        self._events: deque[Event] = deque()
        self._open = completions
        self._running = completions
        self._patient = False
        self._changed = threading.Condition()
        self._wake: Callable[[], None] | None = None
        self._cancel: Callable[[], None] = lambda: None

    def cancel(self) -> None:
        """End the request where it is; its last events say "cancelled"."""
        self._cancel()

    def put(self, event: Event) -> None:
        """Called by the loop's thread."""
        with self._changed:
            self._events.append(event)
            self._running -= event.finish_reason is not None
            if not self._patient or not self._running:
                self._changed.notify()
            wake = self._wake
        if wake is not None:
            wake()

    def settle(self) -> None:
        """Wait until every completion has ended; the events stay to be read.

        A listener that is woken for each event takes its processor from the passes.
        """
        with self._changed:
            self._patient = True
            try:
                self._changed.wait_for(lambda: not self._running)
            finally:
                self._patient = False

    def _take(self) -> Event | None:
        """The next event if there is one; the lock is held."""
        if not self._events:
            return None
        event = self._events.popleft()
        if event.finish_reason is not None:
            self._open -= 1
        return event

    def __iter__(self) -> Iterator[Event]:
        """Events as they come, until every completion has ended."""
        while self._open:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._events))
                event = self._take()
            if event is not None:
                yield event

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The same for an event loop."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(ready.set)

        with self._changed:
            self._wake = wake
        try:
            while self._open:
                with self._changed:
                    ready.clear()
                    event = self._take()
                if event is None:
                    await ready.wait()
                else:
                    yield event
        finally:
            with self._changed:
                self._wake = None


class Runner:
    """The thread that steps the loop while there is work, and sleeps while there is none.

    Args:
        loop: from here on only the runner's thread touches it.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._inbox: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._failure: BaseException | None = None
        self._handles: dict[int, tuple[Job, Handle]] = {}
        self._thread = threading.Thread(target=self._run, name="outrider", daemon=True)
        self._thread.start()

    def submit(self, make: Callable[[Callable[[Event], None]], Job], completions: int) -> Handle:
        """Queue a request; safe from any thread.

        Args:
            make: makes the job, given where its events go.
            completions: how many it has.

        Raises:
            OutriderError: the runner is closed or its loop has failed.
        """
        handle = Handle(completions)
        job = make(handle.put)

        def add() -> None:
            self._handles[id(job)] = (job, handle)
            try:
                self._loop.add(job)
            except OutriderError as error:
                self._end(job, handle, str(error))

        def cancel() -> None:
            self._post(lambda: self._loop.cancel(job))

        handle._cancel = cancel
        if not self._post(add):
            raise OutriderError(self._why_closed())
        return handle

    @contextmanager
    def paused(self) -> Iterator[Loop]:
        """Hold the thread between two steps; inside, the loop is the caller's.

        What is submitted inside starts in the same step.

        Raises:
            OutriderError: the runner is closed or its loop has failed.
        """
        reached, over = threading.Event(), threading.Event()

        def wait() -> None:
            reached.set()
            over.wait()

        if not self._post(wait):
            raise OutriderError(self._why_closed())
        try:
            while not reached.wait(PATIENCE):
                if not self._thread.is_alive():  # it failed before it came to the message
                    raise OutriderError(self._why_closed())
            yield self._loop
        finally:
            over.set()

    def close(self) -> None:
        """End the thread; what still runs ends as cancelled. Safe to call twice."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _why_closed(self) -> str:
        if self._failure is not None:
            return f"The engine has failed and takes no more requests: {self._failure}"
        return "The model is closed; open it again."

    def _post(self, message: Callable[[], None]) -> bool:
        with self._wake:
            if self._closed:
                return False
            self._inbox.append(message)
            self._wake.notify()
        return True

    def _run(self) -> None:
        try:
            while True:
                with self._wake:
                    self._wake.wait_for(lambda: self._closed or self._inbox or not self._loop.idle)
                    messages, self._inbox = self._inbox, deque()
                    closed = self._closed
                for message in messages:
                    message()
                if closed:
                    break
                if not self._loop.idle:
                    self._loop.step()
                    self._forget_ended()
            for job, _ in list(self._handles.values()):
                self._loop.cancel(job)
        except BaseException as failure:  # whatever it is, nobody may be left waiting
            self._fail(failure)
            raise

    def _forget_ended(self) -> None:
        if self._loop.idle:
            self._handles.clear()

    def _fail(self, failure: BaseException) -> None:
        with self._wake:
            self._closed = True
            self._failure = failure
        for job, handle in self._handles.values():
            self._end(job, handle, self._why_closed())

    @staticmethod
    def _end(job: Job, handle: Handle, error: str) -> None:
        for index in range(job.n):
            handle.put(replace(Event(index), finish_reason="error", error=error))
