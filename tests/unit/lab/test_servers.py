"""Contests of servers, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lab.servers_samples import sample
from remote.talkers import asked, talking

from outrider.errors import EndpointError, OutriderError, UsageError
from outrider.lab.server_record import record
from outrider.lab.servers import WARM_UP, contest_of_servers, summarise, verdict, words
from outrider.lab.statistics import looping
from outrider.prompts import Prompt

PROMPTS = [Prompt(0, ("one",), "sums"), Prompt(1, ("two",), "prose"), Prompt(2, ("three",), "sums")]
SAID = {"one": "it is one", "two": "two of them all", "three": "three"}
A, B = "http://a.test/v1", "http://b.test/v1"


def test_servers_take_turns_and_nothing_that_is_measured_warms_them_up() -> None:
    first, other = talking("a", SAID), talking("b", SAID)
    told: list[int] = []

    samples = contest_of_servers(
        [first, other], PROMPTS, repeats=2, progress=lambda done, _: told.append(done)
    )

    assert [(s.repeat, s.prompt, s.plan) for s in samples][:4] == [
        *((0, 0, name) for name in (A, B)),
        *((0, 1, name) for name in (B, A)),
    ]
    assert asked(first) == [WARM_UP, *("one", "two", "three") * 2]
    assert told == list(range(13))


def test_several_prompts_are_asked_at_the_same_moment() -> None:
    server = talking("a", SAID)

    samples = contest_of_servers([server], PROMPTS, concurrency=2)

    assert [s.group for s in samples] == [0, 0, 1]
    assert asked(server)[:2] == [WARM_UP, WARM_UP]
    assert [s.text for s in samples] == list(SAID.values())
    assert [s.count for s in samples] == [3, 4, 1]


def test_answers_are_compared_as_texts_with_the_first_servers() -> None:
    other = SAID | {"two": "two of us"}
    servers = [talking("a", SAID), talking("b", other)]

    first, second = summarise(servers, contest_of_servers(servers, PROMPTS))

    assert (first.compared, first.differences) == (0, ())
    assert second.compared == 3
    (difference,) = second.differences
    assert (difference.prompt, difference.position) == (1, len("two of "))
    assert (difference.first, difference.other) == ("them all", "us")
    assert set(second.categories) == {"sums", "prose"}
    assert "They say the same on 2 of 3 prompts." in verdict([first, second])


def test_sampled_answers_are_not_compared() -> None:
    servers = [talking("a", SAID), talking("b", SAID | {"one": "no"})]
    samples = contest_of_servers(servers, PROMPTS, temperature=1.0)

    _, second = summarise(servers, samples, temperature=1.0)

    assert (second.compared, second.differences) == (0, ())
    assert "say the same" not in verdict(summarise(servers, samples, temperature=1.0))


def test_what_a_server_does_not_tell_is_null() -> None:
    servers = [talking("a", SAID), talking("b", SAID, drafts=(4, 3))]
    samples = contest_of_servers(servers, PROMPTS)

    values = record(summarise(servers, samples), samples, {}, {"prompts": 3})

    first, second = values["servers"]
    assert (first["draft_tokens"], first["acceptance_rate"]) == (None, None)
    assert (second["draft_tokens"], second["acceptance_rate"]) == (12, 0.75)
    assert (first["identical"], second["identical"]) == (None, 3)
    assert (first["endpoint"], first["model"], first["server"]) == (A, "m", "an unknown server")
    assert values["answers"]["completion_tokens"] == [3, 3, 4, 4, 1, 1]


def test_speeds_are_held_against_the_first_servers() -> None:
    servers = [talking("a", {}), talking("b", {})]
    samples = [
        sample(name, prompt, pace) for prompt in range(6) for name, pace in ((A, 10.0), (B, 5.0))
    ]

    first, second = summarise(servers, samples)

    assert first.overall.tokens_per_second == pytest.approx(100.0)
    assert second.overall.tokens_per_second == pytest.approx(200.0)
    assert second.overall.speedup is not None
    assert second.overall.speedup.value == pytest.approx(2.0)
    assert second.first_token_ms == 40.0
    assert second.cached_share == 0.5
    assert verdict([first, second]).startswith(
        f"{B} is 2.00 times (95%: 2.00 to 2.00) as fast as {A}. They say the same on 6 of 6"
    )
    even = summarise(servers, [replace(s, usage=samples[0].usage) for s in samples])
    assert "as fast as http://a.test/v1, which may be chance." in verdict(even)


def test_a_server_that_keeps_what_it_has_said_is_found_out() -> None:
    servers = [talking("a", {}), talking("b", {})]
    samples = [
        replace(sample(name, prompt, pace / (1 + repeat if name == B else 1)), repeat=repeat)
        for repeat in range(2)
        for prompt in range(6)
        for name, pace in ((A, 10.0), (B, 10.0))
    ]

    first, second = summarise(servers, samples)

    assert (first.later_speed, second.later_speed) == (pytest.approx(1.0), pytest.approx(2.0))
    assert verdict([first, second]).endswith("what it has said, so measure with --repeats 1.")
    assert second.overall.end_to_end_speedup is not None
    assert second.overall.end_to_end_speedup.value == pytest.approx(1.0)
    (once,) = summarise(servers[:1], samples[:1])
    assert once.later_speed is None


def test_a_loop_is_told_by_words() -> None:
    chant = "the cat sat on the mat and slept. "

    servers = [talking("a", {"one": chant * 3, "two": chant, "three": chant})]
    (found,) = summarise(servers, contest_of_servers(servers, PROMPTS))

    assert found.looping_share == pytest.approx(1 / 3)
    assert words("So, 日本語!") == ["So", ",", "日", "本", "語", "!"]
    assert looping(words("我很好吗他也很好。" * 3))


def test_a_server_that_does_not_count_its_tokens_cannot_be_measured() -> None:
    with pytest.raises(EndpointError, match=r"^http://a\.test/v1 does not say how many tokens"):
        contest_of_servers([talking("a", SAID, counts=False)], PROMPTS)


def test_what_cannot_be_measured_is_an_error() -> None:
    server = talking("a", SAID)

    with pytest.raises(UsageError, match="is named twice"):
        contest_of_servers([server, talking("a", SAID)], PROMPTS)
    with pytest.raises(UsageError, match="streams has to be at least 1"):
        contest_of_servers([server], PROMPTS, concurrency=0)
    with pytest.raises(UsageError, match="at least one prompt"):
        contest_of_servers([server], [])
    with pytest.raises(UsageError, match=r"^Prompt 0: top_k cannot be had from an unknown server"):
        contest_of_servers([server], PROMPTS, temperature=1.0, top_k=4)
    with pytest.raises(OutriderError, match=r"^Prompt 0: .* ended its answer by 'content_filter'"):
        contest_of_servers([talking("a", SAID, finish="content_filter")], PROMPTS)
