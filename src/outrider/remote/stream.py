"""An answer on its way from a server: events as they come, folded into a completion."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from queue import SimpleQueue
from typing import Any, Self

from outrider.remote.asked import Asked
from outrider.streams import Fold
from outrider.types import Completion, Event, Request, Usage


class RemoteStream(Iterator[Event]):
    """The events of a request to a server, for one listener.

    Closing or dropping it, or an exception in the thread that waits for an event, cancels the
    request. The n completions of a request are n questions, asked at the same moment: so each has
    counters and times of its own, and servers that know no `n` answer too.

    Attributes:
        request: as it was asked.
    """

    def __init__(
        self, request: Request, asked: list[Asked], seed: int, record: Mapping[str, Any]
    ) -> None:
        self.request = request
        self._asked = asked
        self._seed = seed
        self._record = dict(record)
        self._fold = Fold(request)
        self._events = asked[0].events(0) if len(asked) == 1 else _together(asked)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            return self._fold.add(next(self._events))
        except StopIteration:
            raise
        except BaseException:
            self.cancel()
            raise

    @property
    def ended(self) -> bool:
        """Whether every completion has ended."""
        return not self._fold.open

    def cancel(self) -> None:
        """Ask for the end, from any thread; the events up to it still come."""
        for asked in self._asked:
            asked.cancel()

    def close(self) -> None:
        """Cancel, and wait for the end."""
        self.cancel()
        for event in self._events:
            self._fold.add(event)
        for index in self._fold.open:
            self._fold.add(Event(index, finish_reason="cancelled", usage=Usage()))

    def finish(self) -> Completion:
        """Wait for the end; the whole answer."""
        for _ in self:
            pass
        return self.completion

    @property
    def completion(self) -> Completion:
        """The whole answer. Prompt and answer have token ids where the server gave them.

        Raises:
            OutriderError: it is not finished.
        """
        prompt = next((a.told.prompt_tokens for a in self._asked if a.told.prompt_tokens), ())
        record = self._record | {
            "attempts": [asked.attempts for asked in self._asked],
            "counted_by_server": all(asked.told.counted for asked in self._asked),
            "timings": [dict(a.told.timings) for a in self._asked if a.told.timings],
        }
        return self._fold.completion(prompt, self._seed, record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.cancel()


def _together(asked: list[Asked]) -> Iterator[Event]:
    """The events of several completions as they come, each from a thread of its own."""
    found: SimpleQueue[Event | BaseException | None] = SimpleQueue()

    def run(index: int) -> None:
        try:
            for event in asked[index].events(index):
                found.put(event)
            found.put(None)
        except BaseException as failure:
            found.put(failure)

    threads = [
        threading.Thread(target=run, args=(index,), name=f"outrider-{index}", daemon=True)
        for index in range(len(asked))
    ]
    for thread in threads:
        thread.start()
    running, failure = len(threads), None
    while running:
        match found.get():
            case Event() as event:
                yield event
            case None:
                running -= 1
            case BaseException() as raised:
                running -= 1
                failure = failure or raised
                for other in asked:
                    other.cancel()
    for thread in threads:
        thread.join()
    if failure is not None:
        raise failure
