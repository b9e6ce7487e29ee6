"""An answer on its way from a server: events as they come, folded into a completion."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from queue import SimpleQueue
from typing import Any

from outrider.remote.asked import Asked
from outrider.streams import EventStream
from outrider.types import Completion, Event, Request, Usage


class RemoteStream(EventStream):
    """The events of a request to a server, for one listener.

    It may be cancelled from any thread. The n completions of a request are n questions, asked at
    the same moment: so each has counters and times of its own, and servers that know no `n` answer
    too.
    """

    def __init__(
        self, request: Request, asked: list[Asked], seed: int, record: Mapping[str, Any]
    ) -> None:
        self._asked = asked
        self._seed = seed
        self._record = dict(record)
        events = asked[0].events(0) if len(asked) == 1 else _together(asked)
        super().__init__(request, events)

    def cancel(self) -> None:
        """See `EventStream.cancel`."""
        for asked in self._asked:
            asked.cancel()

    def close(self) -> None:
        """See `EventStream.close`."""
        self.cancel()
        for event in self._events:
            self._fold.add(event)
        for index in self._fold.open:
            self._fold.add(Event(index, finish_reason="cancelled", usage=Usage()))

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
