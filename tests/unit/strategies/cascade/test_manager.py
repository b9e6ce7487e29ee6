from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from outrider.errors import CapacityError, ModelFileError
from outrider.strategies.cascade.manager import Resident, StageManager
from outrider.types import Completion, Event, Request


class Memory:
    """Counts what is open, as the machine would."""

    def __init__(self) -> None:
        self.taken = self.peak = self.opened = 0
        self.lock = threading.Lock()

    def resident(self, size: int, *, pinned: bool = False) -> Resident:
        return Resident(size, lambda: Model(self, size), pinned)


class Model:
    def __init__(self, memory: Memory, size: int) -> None:
        self.memory, self.size, self.closed, self.users = memory, size, False, 0
        with memory.lock:
            memory.taken += size
            memory.opened += 1
            memory.peak = max(memory.peak, memory.taken)

    def generate(self, request: Request) -> Completion:
        raise NotImplementedError

    def stream(self, request: Request) -> list[Event]:
        raise NotImplementedError

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        with self.memory.lock:
            self.memory.taken -= self.size


def manager(memory: Memory, budget: int | None, **sizes: int) -> StageManager:
    return StageManager({n: memory.resident(s) for n, s in sizes.items()}, budget)


def test_the_one_used_longest_ago_leaves() -> None:
    memory = Memory()
    models = manager(memory, 20, a=10, b=10, c=10)
    for name in "abac":
        with models.use(name):
            pass
    assert models.loaded() == ("a", "c")
    with models.use("a") as again:
        assert again.loading_ms == 0.0
    facts = models.facts()
    assert (facts["a"]["loads"], facts["b"]["loads"], facts["c"]["loads"]) == (1, 1, 1)
    assert models.peak == memory.peak == 20
    models.close()
    assert memory.taken == 0


def test_loading_is_told_to_the_one_who_caused_it() -> None:
    models = manager(Memory(), 10, a=10, b=10)
    with models.use("a") as first:
        assert first.loading_ms > 0.0
    with models.use("a") as second:
        assert second.loading_ms == 0.0
    with models.use("b"):
        pass
    with models.use("a") as third:
        assert third.loading_ms > 0.0
    assert models.facts()["a"]["loads"] == 2
    assert models.facts()["a"]["load_ms"] > 0.0


def test_a_pinned_model_stays() -> None:
    memory = Memory()
    residents = {"p": memory.resident(10, pinned=True)}
    residents |= {name: memory.resident(10) for name in "ab"}
    models = StageManager(residents, 20)
    for name in "pabab":
        with models.use(name):
            pass
    assert models.loaded() == ("p", "b")
    assert models.facts()["p"]["loads"] == 1


def test_what_can_never_fit_is_refused() -> None:
    memory = Memory()
    with pytest.raises(CapacityError, match="takes 30 bytes, and the memory of the cascade is 20"):
        manager(memory, 20, a=30)
    pinned = {"p": memory.resident(15, pinned=True), "a": memory.resident(10)}
    with pytest.raises(CapacityError, match="a takes 10 bytes beside 15 of pinned"):
        StageManager(pinned, 20)
    two = {n: memory.resident(15, pinned=True) for n in "pq"}
    with pytest.raises(CapacityError):
        StageManager(two, 20)
    assert StageManager(two).facts()["p"]["load_ms"] is None


def test_a_failed_load_leaves_nothing_behind() -> None:
    memory = Memory()
    calls = []

    def broken() -> Model:
        calls.append(1)
        if len(calls) == 1:
            raise ModelFileError("broken")
        return Model(memory, 10)

    models = StageManager({"a": Resident(10, broken), "b": memory.resident(10)}, 10)
    with pytest.raises(ModelFileError), models.use("a"):
        pass
    with models.use("b"):
        pass
    with models.use("a"):
        assert models.loaded() == ("a",)


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_waiter_gets_the_room_that_others_would_go_on_using() -> None:
    """`b` waits for `a`; whoever wants `a` after that comes after `b`."""
    models = manager(Memory(), 10, a=10, b=10)
    order: list[str] = []
    waiting = threading.Semaphore(0)

    def use(name: str) -> None:
        with models.use(name):
            order.append(name)

    original = models._ready

    def ready(ticket: object, place: object) -> bool:
        found = original(ticket, place)  # type: ignore[arg-type]
        if not found:
            waiting.release()
        return found

    models._ready = ready  # type: ignore[method-assign]
    with models.use("a"):
        threads = [in_thread(lambda: use("b"))]
        assert waiting.acquire(timeout=10)
        threads.append(in_thread(lambda: use("a")))
        assert waiting.acquire(timeout=10)
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["b", "a"]


@pytest.mark.parametrize("budget", [10, 25, None])
def test_many_threads_never_exceed_the_budget(budget: int | None) -> None:
    memory = Memory()
    sizes = {"a": 4, "b": 6, "c": 10, "d": 9}
    models = manager(memory, budget, **sizes)
    seen: list[str] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(60):
            name = rng.choice("abcd")
            with models.use(name) as lease:
                assert isinstance(lease.generator, Model)
                assert not lease.generator.closed
                assert lease.generator.size == sizes[name]
                seen.append(name)
                assert not lease.generator.closed

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, seed) for seed in range(8)]:
            done.result(timeout=60)
    assert len(seen) == 480
    if budget is None:
        assert memory.opened == 4
    else:
        assert memory.peak <= models.peak <= budget
    assert sum(f["loads"] for f in models.facts().values()) == memory.opened
    models.close()
    assert memory.taken == 0


def test_closing_waits_for_those_at_work_and_refuses_the_rest() -> None:
    memory = Memory()
    models = manager(memory, 10, a=10, b=10)
    held, go = threading.Event(), threading.Event()

    def work() -> None:
        with models.use("a") as lease:
            held.set()
            assert go.wait(10)
            assert isinstance(lease.generator, Model)
            assert not lease.generator.closed

    thread = in_thread(work)
    assert held.wait(10)
    closing = in_thread(models.close)
    refused: list[bool] = []

    def late() -> None:
        with pytest.raises(CapacityError, match="closed"), models.use("b"):
            pass
        refused.append(True)

    waiter = in_thread(late)
    waiter.join(10)
    go.set()
    for one in (thread, closing):
        one.join(10)
    assert refused == [True]
    assert memory.taken == 0


SIZES = {"pinned": 3, "a": 4, "b": 6, "c": 10, "d": 2}
BUDGET = 16


class Borrowing(RuleBasedStateMachine):
    """Models borrowed and given back in any order, beside what the manager should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()
        self.models = StageManager(
            {n: self.memory.resident(s, pinned=n == "pinned") for n, s in SIZES.items()}, BUDGET
        )
        self.held: list[tuple[str, ExitStack, Model]] = []
        self.order: list[str] = []  # of the loaded models, the one used longest ago first

    def leaving(self, name: str) -> list[str] | None:
        """The models that have to go for one to come; None where those in use are in its way."""
        if name in self.order:
            return []
        used = {held for held, *_ in self.held}
        taken, leaving = sum(SIZES[n] for n in self.order), []
        for other in self.order:
            if taken + SIZES[name] - sum(SIZES[n] for n in leaving) <= BUDGET:
                break
            if other != "pinned" and other not in used:
                leaving.append(other)
        fits = taken + SIZES[name] - sum(SIZES[n] for n in leaving) <= BUDGET
        return leaving if fits else None

    @rule(name=st.sampled_from(sorted(SIZES)))
    def borrow(self, name: str) -> None:
        """Where it would have to wait, this thread alone would wait for ever."""
        if (leaving := self.leaving(name)) is None:
            return
        stack = ExitStack()
        lease = stack.enter_context(self.models.use(name))
        assert (lease.loading_ms > 0) == (name not in self.order)
        assert isinstance(lease.generator, Model)
        self.order = [n for n in self.order if n not in (*leaving, name)] + [name]
        self.held.append((name, stack, lease.generator))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.held) - 1))
        name, stack, _ = self.held.pop(place)
        stack.close()
        self.order = [*(n for n in self.order if n != name), name]

    @invariant()
    def what_is_there_is_what_should_be(self) -> None:
        assert self.models.loaded() == tuple(self.order)
        assert self.memory.taken == sum(SIZES[n] for n in self.order) <= BUDGET
        assert self.memory.peak <= self.models.peak <= BUDGET
        assert not any(model.closed for *_, model in self.held)

    def teardown(self) -> None:
        for _, stack, _ in self.held:
            stack.close()
        self.models.close()
        assert self.memory.taken == 0


TestBorrowing = Borrowing.TestCase
