from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from strategies.cascade.ladders import ladder, questions
from strategies.cascade.scripted import Scripted, says, two_stages

from outrider import tasks
from outrider.errors import OutriderError, UsageError
from outrider.strategies.answering.judge import ModelJudge
from outrider.strategies.answering.record import Answered
from outrider.strategies.cascade import (
    AnswerFile,
    Cascade,
    CascadeSettings,
    Ladder,
    Predictor,
    Stage,
    StageSettings,
    TrainedPolicy,
    Wish,
    collect,
    train,
)
from outrider.strategies.cascade.costs import stage_costs
from outrider.types import Completion, Message, Request, Sampling

EVERY = Wish(worth=1e9)
FIRST = Wish(worth=0.0)


@pytest.fixture(scope="module")
def known() -> CascadeSettings:
    return two_stages()


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory, known: CascadeSettings) -> Predictor:
    file = AnswerFile(tmp_path_factory.mktemp("run") / "a.jsonl", known)
    task = tasks.load("arithmetic:count=120,level=1,seed=3")
    with Ladder(known, open=lambda _: Scripted(says)) as rungs:
        collect(rungs, [task], file)
    return train(file.questions(), known, stage_costs(known, {}, {}))


def stages(known: CascadeSettings, *generators: Any) -> list[Stage]:
    return [Stage(s, g) for s, g in zip(known.stages, generators, strict=True)]


def cascade(
    known: CascadeSettings, predictor: Predictor, wish: Wish, generator: Scripted | None = None
) -> Cascade:
    model = generator or Scripted(says)
    return Cascade(stages(known, model, model), TrainedPolicy(predictor, wish=wish))


def asked(text: str = "What is 3 + 4?", **more: Any) -> Request:
    return Request(messages=(Message("user", text),), **more)


# ------------------------------------------------------------------------- answering


def test_a_cascade_stops_where_it_can(known: CascadeSettings, predictor: Predictor) -> None:
    fresh = tasks.load("arithmetic:count=40,level=1,seed=8")
    assert cascade(known, predictor, FIRST).answer(fresh.problems[0]).stage == "once"
    best = cascade(known, predictor, Wish(preference="best"))
    found = [a for (a,) in best.converse_many([p.question] for p in fresh.problems)]
    assert [f.answer for f in found] == [f.asked[-1].answer for f in found]


def test_an_answer_tells_all_that_was_asked(known: CascadeSettings, predictor: Predictor) -> None:
    with Ladder(known, open=lambda _: Scripted(says)) as rungs:
        found = Cascade.on(rungs, TrainedPolicy(predictor, wish=EVERY)).answer("What is 3 + 4?")
    assert [a.stage for a in found.asked] == ["once", "steps"]
    # Milliseconds are declared, and what loading took comes on top.
    assert found.cost == pytest.approx(10.0 + 90.0 + sum(a.loading_ms for a in found.asked))
    assert found.asked[0].loading_ms > 0.0
    assert (found.usage.completion_tokens, found.usage.prompt_tokens) == (6, 20)
    assert json.loads(json.dumps(found.record()))["asked"][1]["stage"] == "steps"


def test_a_preference_of_one_question_wins(known: CascadeSettings, predictor: Predictor) -> None:
    whole = cascade(known, predictor, FIRST)
    assert whole.answer("What is 3 + 4?").worth == whole.policy.expected.worth == 0.0
    assert whole.answer("What is 3 + 4?", preference="best").worth > 0.0
    with pytest.raises(UsageError, match="did you mean 'best'"):
        whole.answer("What is 3 + 4?", preference="bets")


def test_a_preference_changes_what_is_asked_and_no_score(
    known: CascadeSettings, predictor: Predictor
) -> None:
    whole = cascade(known, predictor, FIRST)
    plain = whole.answer("What is 3 + 4?")
    preferred = whole.answer("What is 3 + 4?", preference="best")
    assert preferred.worth > plain.worth
    assert preferred.before == plain.before
    assert preferred.scores[: len(plain.scores)] == plain.scores
    assert preferred.complexity == plain.complexity


def test_a_conversation_goes_along(known: CascadeSettings, predictor: Predictor) -> None:
    generator = Scripted(says)
    first, second = cascade(known, predictor, FIRST, generator).converse(
        ["What is 2 + 4?", "What is 4 + 4?"]
    )
    assert (first.answer, second.answer) == ("6", "8")
    assert [m.content for m in generator.asked[-1].messages or ()][:2] == [
        "What is 2 + 4?",
        "The answer is 6.",
    ]


def test_another_model_ladder_or_unit_is_refused(
    known: CascadeSettings, predictor: Predictor
) -> None:
    class Other(Scripted):
        def generate(self, request: Request) -> Completion:
            return replace(super().generate(request), record={"model": "other"})

    with pytest.raises(UsageError, match="'once' is another than"):
        cascade(known, predictor, FIRST, Other(says)).answer("What is 3 + 4?")
    three = ladder()
    made = train(questions(three, 200), three, stage_costs(three, {}, {}))
    with pytest.raises(UsageError, match="trained for the stages first, second, third"):
        cascade(known, made, FIRST)
    priced = replace(known, cost=replace(known.cost, money=2.0))
    with (
        Ladder(priced, open=lambda _: Scripted(says)) as rungs,
        pytest.raises(UsageError, match=r"costs in ms, and the cascade in 1·ms \+ 2·money"),
    ):
        Cascade.on(rungs, TrainedPolicy(predictor))


# ------------------------------------------------------------------------- as a generator


def test_a_cascade_is_a_generator(known: CascadeSettings, predictor: Predictor) -> None:
    generator = Scripted(says)
    whole = cascade(known, predictor, EVERY, generator)
    request = asked(max_tokens=7, stop=("!",), sampling=Sampling(seed=5))
    stream = whole.stream(request)
    (event,) = stream
    assert (event.text, event.finish_reason) == ("The answer is 7.", "stop")
    assert stream.completion.usage.completion_tokens == 6
    assert stream.completion.record["stage"] == stream.found.stage
    assert [r.max_tokens for r in generator.asked] == [7, 7]
    assert all("!" in r.stop for r in generator.asked)
    again = whole.generate(request)
    assert (again.text, again.seed) == (event.text, 5)
    seeds = [r.sampling.seed for r in generator.asked]
    assert seeds[:2] == seeds[2:]
    assert seeds[0] != seeds[1]
    other = whole.generate(replace(request, sampling=Sampling(seed=6)))
    assert other.record["fingerprint"] == again.record["fingerprint"] == whole.fingerprint
    assert generator.asked[4].sampling.seed != seeds[0]


def test_a_cancelled_stream_asks_no_further_stage(
    known: CascadeSettings, predictor: Predictor
) -> None:
    begun: list[Any] = []

    def stopping(request: Request, index: int) -> str:
        begun[0].cancel()
        return says(request, index)

    begun.append(cascade(known, predictor, EVERY, Scripted(stopping)).stream(asked()))
    found = begun[0].finish()
    assert found.finish_reason == "cancelled"
    assert [one["stage"] for one in found.record["asked"]] == ["once"]
    early = cascade(known, predictor, EVERY).stream(asked())
    early.close()
    assert early.completion.finish_reason == "cancelled"
    with pytest.raises(OutriderError, match="No stage has answered"):
        _ = early.found


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(prompt="2 + 2 ="), "does not take a text to continue"),
        (asked(n=2), "one answer a request, not n=2"),
        (asked(logprobs=3), "log-probabilities, which are of one model"),
        (asked(ignore_eos=True), "ignore_eos"),
        (asked(sampling=Sampling(temperature=0.5)), "a sampling of their own"),
        (Request(messages=(Message("assistant", "I"),)), "last message is the assistant's"),
    ],
)
def test_what_a_cascade_has_not_is_an_error(
    known: CascadeSettings, predictor: Predictor, request_: Request, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        cascade(known, predictor, FIRST).generate(request_)


def test_a_cascade_can_be_a_stage(known: CascadeSettings, predictor: Predictor) -> None:
    inner = cascade(known, predictor, EVERY)
    plain = StageSettings(name="cascade", template="{question}", logprobs=False)
    answer = Stage(plain, inner).ask(tasks.Problem(id="", question="What is 3 + 4?", answer=None))
    assert (answer.answer, answer.tokens, answer.logprobs) == ("7", 6, ())
    # A predictor of an outer cascade notices when the inner one changes.
    assert answer.model == inner.fingerprint
    assert cascade(known, predictor, FIRST).fingerprint != inner.fingerprint


def test_a_cascade_can_judge(known: CascadeSettings, predictor: Predictor) -> None:
    def verdict(request: Request, _: int) -> str:
        return f"They are alike.\nVerdict: {'right' if 'Answer: Au' in str(request) else 'wrong'}"

    judge = ModelJudge(
        cascade(known, predictor, FIRST, Scripted(verdict)),
        chat=Cascade.has_chat_template,
        rubrics={"default": "Compare."},
    )
    answers = [
        Answered(
            id=said, subject="default", question="Gold?", text=said, answer=said, gold="Au",
            finish_reason="stop", seconds=0.0, tokens=1, profile="p",
        )
        for said in ("Au", "Ag")
    ]  # fmt: skip
    assert [opinion.right for opinion in judge.opinions(answers)] == [True, False]
