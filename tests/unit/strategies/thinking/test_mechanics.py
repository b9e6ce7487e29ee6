"""Every branch of the rule, with models whose answers are written beforehand."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from strategies.thinking.scripted import Scripted, think, told

from outrider.errors import OutriderError, UsageError
from outrider.strategies.thinking import Thinking, ThinkingConfig
from outrider.types import Choice, Completion, Event, Message, Request, Sampling, Usage


def test_a_neutral_probe_is_kept_and_generated_once() -> None:
    text = "One two.\n\nThree four five six.\n\nSeven eight nine ten."
    stream, events, small, large = think([text])
    assert told(events) == [
        ("small", "think", "One two.\n\n"),
        ("small", "probe", "Three four five"),
        ("small", "think", " six.\n\n"),
        ("small", "probe", "Seven eight nine"),
        ("small", "think", " ten."),
    ]
    assert len(small.requests) == 1
    assert not large.requests
    assert small.read == [stream.record.tokens()]
    assert stream.record.small.rejected_tokens == 0
    assert stream.record.ended_by == "stop"
    assert stream.completion.text == text


def test_a_paragraph_that_ends_within_a_probe_is_a_break() -> None:
    stream, events, _small, large = think(["A.\n\nB.\n\nSo wait, no. C.", " D."], ["It is so. And"])
    assert told(events) == [
        ("small", "think", "A.\n\n"),
        ("small", "probe", "B.\n\n"),
        ("large", "replace", "It is so."),
        ("small", "think", " D."),
    ]
    assert large.requests[0].prompt == "QA.\n\nB.\n\n"
    # What was read beyond the break is the next probe, which the large model replaces.
    assert [d.small for d in stream.record.decisions] == ["So wait, no."]
    assert stream.record.ended_by == "stop"


def test_a_negative_probe_is_replaced_and_counted() -> None:
    stream, events, small, _large = think(
        ["One.\n\nWait, is that right? More.", " Ends."], ["The sum is seven. And on."]
    )
    assert told(events) == [
        ("small", "think", "One.\n\n"),
        ("large", "replace", "The sum is"),
        ("small", "think", " Ends."),
    ]
    assert small.requests[1].prompt == "QOne.\n\nThe sum is"
    (decision,) = stream.record.decisions
    assert (decision.small, decision.large, decision.taken) == (
        "Wait, is that",
        "The sum is",
        "large",
    )
    record = stream.record
    assert record.validations == 1
    assert record.small.rejected_tokens == 3
    assert record.large_ratio == pytest.approx(3 / 6)
    assert record.rejected_share == pytest.approx(3 / 9)


def test_a_large_stretch_with_a_verify_word_is_followed_by_a_longer_one() -> None:
    stream, events, _, large = think(
        ["One.\n\nYes it is. More.", " End."], ["Let me check that now", " again it is good so."]
    )
    assert told(events) == [
        ("small", "think", "One.\n\n"),
        ("large", "replace", "Let me check"),
        ("large", "verify", " again it is good"),
        ("small", "think", " End."),
    ]
    assert [r.max_tokens for r in large.requests] == [3, 4]
    assert stream.record.validations == 2


def test_the_small_version_stands_where_the_signs_agree() -> None:
    stream, events, small, large = think(
        ["One.\n\nWait, is that right", " End."], ["Hold on, then more"], choose_large=False
    )
    assert told(events) == [
        ("small", "think", "One.\n\n"),
        ("small", "probe", "Wait, is that"),
        ("small", "think", " End."),
    ]
    assert stream.record.large.rejected_tokens == 3
    assert small.requests[1].prompt == "QOne.\n\nWait, is that"
    assert len(large.requests) == 1


def test_the_large_version_stands_where_the_signs_differ() -> None:
    _, events, _, _ = think(
        ["One.\n\nWait, is that right", " End."], ["Yes it is"], choose_large=False
    )
    assert ("large", "replace", "Yes it is") in told(events)


def test_the_large_model_begins_where_it_is_to() -> None:
    stream, events, _, large = think(
        [" three four."], ["One two three"], begin=True, begin_tokens=2
    )
    assert told(events) == [("large", "begin", "One two"), ("small", "think", " three four.")]
    assert large.requests[0].max_tokens == 2
    assert stream.record.validations == 1


def test_negative_stretches_call_for_a_recap_that_grows() -> None:
    doubts = ["A.\n\nWait b c d", " E.\n\nWait f g h", " I.\n\nRest", " K.\n\nWait x y", " L."]
    answers = ["Wait b c d", "Wait f g h", " one two three four five six", "Wait y z"]
    stream, events, _, large = think(
        doubts,
        answers,
        recap_after=2,
        recap_after_growth=3,
        max_recap_after=4,
        recap_growth=9,
        max_recap_tokens=6,
        recap_prefix="Look again:",
    )
    assert [stretch[:2] for stretch in told(events)] == [
        ("small", "think"),
        ("large", "replace"),
        ("small", "think"),
        ("large", "replace"),
        ("small", "think"),
        ("inserted", "recap"),
        ("large", "recap"),
        ("small", "think"),
        ("large", "replace"),
        ("small", "think"),
    ]
    assert large.requests[2].max_tokens == 4  # the first recap; the next would have 6
    assert str(large.requests[2].prompt).endswith(" I.\n\nLook again:")
    assert stream.record.validations == 4


def test_words_may_stand_before_a_probe() -> None:
    _, events, small, _ = think(["A.\n\nB c d e.", "So b c d."], probe_prefix="Hm, ")
    assert told(events) == [
        ("small", "think", "A.\n\n"),
        ("inserted", "probe", "Hm, "),
        ("small", "probe", "So b c"),
        ("small", "think", " d."),
    ]
    assert small.requests[1].prompt == "QA.\n\nHm, "


def test_models_that_do_not_reason_are_always_helped() -> None:
    _, events, _, _ = think(["A.\n\nB c d e.", " F."], ["X y z"], consult_always=True)
    assert ("large", "replace", "X y z") in told(events)


def test_the_answer_behind_the_reasoning_is_not_interrupted() -> None:
    text = "A.</think>\n\nWait, the answer is 4.\n\nYes, 4."
    stream, events, small, large = think([text])
    assert [(a, w) for a, w, _ in told(events)] == [("small", "think")]
    assert not large.requests
    assert stream.record.thought == len("A.</think>")

    stream, events, small, large = think(
        ["A.\n\nWait b c", "never"], ["So </think> the", " answer is 4.\n\nYes, 4."]
    )
    assert told(events)[-1] == ("large", "answer", " answer is 4.\n\nYes, 4.")
    assert len(small.requests) == 1


def test_a_stop_string_ends_the_text_wherever_it_stands() -> None:
    stream, _events, _small, _ = think(["One two STOP three"], stop=("STOP",))
    assert stream.completion.text == "One two "
    assert stream.completion.finish_reason == "stop"
    # Across two authors.
    stream, _, _, _ = think(["A.\n\nWait b c", "OP d e"], ["x y ST"], stop=("STOP",))
    assert stream.completion.text == "A.\n\nx y "


def test_max_tokens_count_for_both_models_together() -> None:
    stream, _, small, large = think(["A.\n\nWait b c", " d e f"], ["x y z"], max_tokens=6)
    assert stream.record.tokens() == 6
    assert stream.completion.finish_reason == "length"
    assert [r.max_tokens for r in (*small.requests, *large.requests)] == [6, 1, 3]


def test_the_end_of_a_large_stretch_may_be_the_end() -> None:
    stream, events, _, _ = think(["A.\n\nWait b c"], ["Done."])
    assert stream.completion.finish_reason == "stop"
    assert told(events)[-1] == ("large", "replace", "Done.")


def test_grades_decide_step_by_step() -> None:
    stream, events, _small, large = think(
        ["A b.\n\nI j.", "C d.\n\nI j.", "E f."],
        ["9", "3", "X y.\n\nZ", "7"],
        policy="grades",
        grade_prompt="Grade:",
    )
    assert told(events)[:2] == [("small", "think", "A b.\n\n"), ("large", "replace", "X y.\n\n")]
    assert [d.grade for d in stream.record.decisions] == [9, 3, 7]
    assert str(large.requests[0].prompt) == "QA b.\n\nGrade:"
    assert large.requests[0].max_tokens == 1
    assert large.requests[0].sampling.temperature == 0
    assert str(large.requests[2].prompt) == "QA b.\n\n"
    assert stream.completion.text == "A b.\n\nX y.\n\nE f."


def test_an_answer_that_is_no_grade_is_a_zero() -> None:
    stream, _, _, _ = think(["A."], ["good", "B."], policy="grades")
    assert stream.record.decisions[0].grade == 0
    assert stream.completion.text == "B."


def test_a_model_that_fails_ends_the_text_with_its_reason() -> None:
    stream, _events, _, _ = think(["A.\n\nWait b c"], Scripted(["x y"], error="out of luck"))
    assert stream.completion.finish_reason == "error"
    assert stream.record.error == "The large model: out of luck"
    assert stream.completion.text == "A.\n\n"


class Refusing(Scripted):
    def stream(self, request: Request) -> Iterator[Event]:
        raise OutriderError("It is not there.")


def test_what_a_model_raises_ends_the_text_once_there_is_one() -> None:
    stream, _, _, _ = think(["A.\n\nWait b c"], Refusing([]))
    assert stream.record.error == "It is not there."
    assert stream.completion.finish_reason == "error"
    with pytest.raises(OutriderError, match="not there"):
        think(Refusing([]))


class Endless(Scripted):
    """Writes for ever, until it is asked to stop."""

    def __init__(self) -> None:
        super().__init__([])
        self.written = 0
        self.reached = threading.Event()

    def stream(self, request: Request) -> Iterator[Event]:
        self.requests.append(request)
        return EndlessStream(self)


class EndlessStream(Iterator[Event]):
    def __init__(self, model: Endless) -> None:
        self.model = model
        self.stopped = threading.Event()

    def __next__(self) -> Event:
        if self.stopped.is_set():
            return Event(finish_reason="cancelled", usage=Usage())
        self.model.written += 1
        if self.model.written == 5:
            self.model.reached.set()
            self.stopped.wait(60)
        return Event(text=" on")

    def cancel(self) -> None:
        self.stopped.set()


def test_a_time_limit_ends_a_model_that_is_silent() -> None:
    model = Endless()
    config = ThinkingConfig(time_out=0.05)
    answer = Thinking(model, Scripted([]), config).generate(Request(prompt="Q", max_tokens=None))
    assert answer.text == " on on on on on"[: len(answer.text)]
    assert answer.finish_reason == "cancelled"
    assert answer.record["ended_by"] == "time_out"


def test_another_thread_may_cancel() -> None:
    model = Endless()
    stream = Thinking(model, Scripted([])).stream(Request(prompt="Q", max_tokens=None))

    def cancel() -> None:
        assert model.reached.wait(60)
        stream.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    answer = stream.finish()
    thread.join()
    assert answer.finish_reason == "cancelled"
    assert answer.record["ended_by"] == "cancelled"
    assert answer.text.startswith(" on on on on")


def test_leaving_the_loop_ends_the_models() -> None:
    model = Endless()
    stream = Thinking(model, Scripted([])).stream(Request(prompt="Q", max_tokens=None))
    next(stream)
    stream.close()
    assert stream.completion.finish_reason == "cancelled"
    with pytest.raises(OutriderError, match="not finished"):
        _ = Thinking(model, Scripted([])).stream(Request(prompt="Q")).completion


def test_every_call_has_a_seed_of_its_own_and_the_settings_of_the_request() -> None:
    small, large = Scripted(["A.\n\nWait b c", " d"]), Scripted(["x y z"])
    request = Request(prompt="Q", sampling=Sampling(temperature=0.6, seed=5), ignore_eos=True)
    done = Thinking(small, large, ThinkingConfig(probe_tokens=3)).generate(request)
    asked = [*small.requests, *large.requests]
    assert len({r.sampling.seed for r in asked}) == 3
    assert {(r.sampling.temperature, r.ignore_eos) for r in asked} == {(0.6, True)}
    assert done.seed == 5
    again = Scripted(["A.\n\nWait b c", " d"])
    Thinking(again, Scripted(["x y z"]), ThinkingConfig(probe_tokens=3)).generate(request)
    assert [r.sampling.seed for r in again.requests] == [r.sampling.seed for r in small.requests]


def test_what_is_one_models_is_refused() -> None:
    strategy = Thinking(Scripted([]), Scripted([]))
    for request, name in (
        (Request(tokens=(1,)), "tokens"),
        (Request(prompt="Q", logprobs=1), "logprobs"),
        (Request(prompt="Q", n=2), "n=2"),
    ):
        with pytest.raises(UsageError, match=name):
            strategy.stream(request)


def test_a_server_needs_a_chat_template_for_messages() -> None:
    ask = Request(messages=(Message("user", "Hi"),))
    with pytest.raises(UsageError, match="chatml, plain"):
        Thinking(Scripted([]), Scripted([])).stream(ask)
    small = Scripted(["A."])
    config = ThinkingConfig(small_template="chatml", large_template="{{ messages[0].content }}!")
    Thinking(small, Scripted([]), config).generate(ask)
    assert small.requests[0].prompt == ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_a_server_that_renders_messages_needs_no_template() -> None:
    class Rendering(Scripted):
        def render(self, messages: Sequence[Message]) -> str | None:
            return None if messages[-1].content == "?" else f"<{messages[-1].content}>"

    small = Rendering(["A."])
    Thinking(small, Rendering([])).generate(Request(messages=(Message("user", "Hi"),)))
    assert small.requests[0].prompt == "<Hi>"
    with pytest.raises(UsageError, match="does not say how its model reads"):
        Thinking(small, Rendering([])).stream(Request(messages=(Message("user", "?"),)))


def test_a_server_that_sends_several_tokens_at_once_is_counted_as_it_says() -> None:
    class Several(Scripted):
        def stream(self, request: Request) -> Iterator[Event]:
            yield Event(text="one two")
            yield Event(text=" three")
            yield Event(finish_reason="stop", usage=Usage(completion_tokens=7))

    stream, _, _, _ = think(Several([]))
    assert stream.record.tokens("small") == 7
    assert stream.record.small.tokens == 7


def test_a_server_that_is_left_has_generated_what_came() -> None:
    class Left(Scripted):
        """Says nothing of its counters when its stream is closed, as servers do."""

        def stream(self, request: Request) -> Iterator[Event]:
            return LeftStream(super().stream(request))

    class LeftStream(Iterator[Event]):
        completion = Completion((Choice("", (), "cancelled", Usage()),), (), 0)

        def __init__(self, events: Iterator[Event]) -> None:
            self._events = events

        def __next__(self) -> Event:
            return next(self._events)

        def close(self) -> None:
            pass

    stream, _, _, _ = think(Left(["One.\n\nWait, is that right?", " End."]), ["So it is"])
    work = stream.record.small
    assert work.rejected_tokens == 3  # of the probe; what stands behind it was not sent
    assert work.tokens - work.rejected_tokens == stream.record.tokens("small")


def test_the_record_tells_who_wrote_what() -> None:
    stream, _, _, _ = think(["One.\n\nWait, is that", " End."], ["So it is now"])
    record = stream.completion.record
    assert record["tokens"] == {"small": 3, "large": 3, "inserted": 0}
    assert [s["author"] for s in record["stretches"]] == ["small", "large", "small"]
    assert "".join(s["text"] for s in record["stretches"]) == stream.completion.text
    assert record["total_tokens"] == 6
    assert record["nominal_large_ratio"] == record["large_ratio"] == 0.5
    assert record["orchestration_seconds"] == pytest.approx(
        record["seconds"] - record["small"]["seconds"] - record["large"]["seconds"]
    )
