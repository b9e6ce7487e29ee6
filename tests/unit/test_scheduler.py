from loop_tools import Asked, loop_on, plain, run

from outrider.engines.toy import ToyEngine

PROMPT = tuple(range(20))


def test_a_request_waits_until_there_is_room():
    engine = ToyEngine(cache_tokens=64)
    loop = loop_on(engine)
    # Each may come to need 43 positions of 64.
    asked = [Asked(PROMPT, seed=seed) for seed in range(3)]
    for one in asked:
        loop.add(one.job)
    loop.step()
    assert (len(loop.scheduler.running), len(loop.scheduler.waiting)) == (1, 2)
    while not loop.idle:
        loop.step()
    assert [one.answer.tokens for one in asked] == [plain(PROMPT).tokens] * 3
    assert asked[2].answer.usage.queue_ms >= asked[1].answer.usage.queue_ms > 0


def test_what_can_never_fit_is_refused_and_the_rest_goes_on():
    loop = loop_on(ToyEngine(cache_tokens=64))
    huge, small = Asked(PROMPT, max_tokens=100), Asked(PROMPT)
    run(loop, huge, small)
    assert huge.answer.reason == "error"
    assert small.answer.tokens == plain(PROMPT).tokens


def test_completions_that_cannot_run_together_are_refused():
    loop = loop_on(ToyEngine(cache_tokens=96))
    asked = Asked(PROMPT, n=3)
    run(loop, asked)
    assert {answer.reason for answer in asked.answers} == {"error"}
    assert "3 completions" in asked.answer.error
    assert not loop.engine.sequences


def test_no_more_than_max_streams_run_at_once():
    loop = loop_on(max_streams=2)
    asked = [Asked(PROMPT, seed=seed) for seed in range(5)]
    for one in asked:
        loop.add(one.job)
    most = 0
    while not loop.idle:
        loop.step()
        most = max(most, len(loop.scheduler.running))
    assert most == 2
    assert all(one.answer.tokens == plain(PROMPT).tokens for one in asked)


def test_more_completions_than_streams_run_when_they_are_alone():
    asked = Asked(PROMPT, n=4)
    run(loop_on(max_streams=2), asked)
    assert all(len(answer.tokens) == 24 for answer in asked.answers)


def test_first_come_first_served():
    loop = loop_on(max_streams=1)
    order = []
    asked = [Asked(PROMPT, max_tokens=3) for _ in range(3)]
    for number, one in enumerate(asked):
        emit = one.job.emit

        def record(event, number=number, emit=emit):
            emit(event)
            if event.finish_reason:
                order.append(number)

        object.__setattr__(one.job, "emit", record)
    run(loop, *asked)
    assert order == [0, 1, 2]


def test_a_shared_beginning_is_not_computed_twice():
    loop = loop_on()
    first, second = Asked(PROMPT), Asked((*PROMPT, 40, 41))
    run(loop, first)
    run(loop, second)
    assert first.answer.usage.cached_tokens == 0
    assert second.answer.usage.cached_tokens == 20
    assert second.answer.tokens == plain((*PROMPT, 40, 41)).tokens
