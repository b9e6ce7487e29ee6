import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from loop_tools import Asked, loop_on, plain

from outrider.engines.toy import ToyEngine
from outrider.errors import OutriderError
from outrider.runner import Handle, Runner
from outrider.types import Event, Speculation

PROMPT = (3, 1, 4, 1, 5)


@pytest.fixture
def runner():
    runner = Runner(loop_on())
    yield runner
    runner.close()


def submit(runner, tokens=PROMPT, **settings):
    asked = Asked(tokens, **settings)

    def make(emit):
        object.__setattr__(asked.job, "emit", emit)
        return asked.job

    return runner.submit(make, asked.job.n)


def said(events):
    return [token for event in events for token in event.tokens]


def test_events_come_in_order_and_end(runner):
    events = list(submit(runner))
    assert said(events) == plain(PROMPT).tokens
    assert [event.finish_reason for event in events][-1] == "length"
    assert events[-1].usage.completion_tokens == 24


def test_many_threads_may_submit_at_once(runner):
    def one(seed):
        prompt = (seed, 1, 2)
        return said(submit(runner, prompt)) == plain(prompt).tokens

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(24)))


def test_an_event_loop_may_listen(runner):
    async def listen(seed):
        return said([event async for event in submit(runner, (seed, 7))])

    async def all_of_them():
        return await asyncio.gather(*(listen(seed) for seed in range(6)))

    assert asyncio.run(all_of_them()) == [plain((seed, 7)).tokens for seed in range(6)]


def test_cancelling_from_outside(runner):
    handle = submit(runner, max_tokens=100)
    events = []
    for event in handle:
        events.append(event)
        if len(events) == 3:
            handle.cancel()
    assert events[-1].finish_reason in ("cancelled", "length")
    assert said(submit(runner)) == plain(PROMPT).tokens


def test_a_wrong_part_is_an_error_of_that_request(runner):
    (event,) = submit(runner, speculation=Speculation(drafter="nobody"))
    assert event.finish_reason == "error"
    assert "nobody" in event.error
    assert said(submit(runner)) == plain(PROMPT).tokens


class _Gate(ToyEngine):
    """Holds the first pass until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.go = threading.Event(), threading.Event()

    def forward(self, rows, layers=None, hidden=()):
        self.started.set()
        assert self.go.wait(30)
        return super().forward(rows, layers, hidden)


def test_closing_ends_what_runs_as_cancelled():
    engine = _Gate()
    runner = Runner(loop_on(engine, max_streams=1))
    handles = [submit(runner), submit(runner)]
    assert engine.started.wait(30)
    closer = threading.Thread(target=runner.close)
    closer.start()
    engine.go.set()
    closer.join()
    assert [list(handle)[-1].finish_reason for handle in handles] == ["cancelled", "cancelled"]
    runner.close()
    with pytest.raises(OutriderError, match="closed"):
        submit(runner)


class _Failing(ToyEngine):
    def forward(self, rows, layers=None, hidden=()):
        raise MemoryError("no more")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_fails_leaves_nobody_waiting():
    runner = Runner(loop_on(_Failing()))
    (event,) = submit(runner)
    assert event.finish_reason == "error"
    assert "no more" in event.error
    runner._thread.join()
    with pytest.raises(OutriderError, match="no more"):
        submit(runner)


def test_what_is_submitted_while_paused_starts_in_the_same_step():
    runner = Runner(loop_on())
    with runner.paused() as loop:
        asked = [submit(runner, (seed, 1, 2)) for seed in range(4)]
        assert loop.idle
        assert not loop.steps
    assert [len(said(handle)) for handle in asked] == [24] * 4
    with runner.paused() as loop:
        assert loop.steps[0].requests == 4
    runner.close()


def test_a_pause_that_fails_is_over(runner):
    def fail():
        with runner.paused():
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        fail()
    assert said(submit(runner)) == plain(PROMPT).tokens


def test_what_has_ended_cannot_be_paused(runner):
    runner.close()
    with pytest.raises(OutriderError, match="closed"), runner.paused():
        pass


def test_a_listener_that_waits_for_the_end_still_gets_every_event() -> None:
    handle = Handle(2)
    over = threading.Event()

    def wait() -> None:
        handle.settle()
        over.set()

    listener = threading.Thread(target=wait)
    listener.start()
    said = [Event(0, "a"), Event(1, "b"), Event(0, "c", finish_reason="stop"), Event(1, "d")]
    for event in said:
        handle.put(event)
    assert not over.wait(0.05)
    handle.put(Event(1, finish_reason="length"))
    listener.join()
    assert [event.text for event in handle] == ["a", "b", "c", "d", ""]
    handle.settle()  # nothing is left to wait for
