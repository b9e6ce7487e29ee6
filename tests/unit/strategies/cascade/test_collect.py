from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from strategies.cascade.ladders import ladder, questions
from strategies.cascade.scripted import Scripted, question_of

from outrider import tasks
from outrider.errors import CapacityError, OutriderError, UsageError
from outrider.strategies.cascade import (
    AnswerFile,
    Cascade,
    CascadeSettings,
    Ladder,
    StageSettings,
    Wish,
    collect,
    train,
)
from outrider.strategies.cascade.costs import stage_costs
from outrider.strategies.cascade.settings import Cost, PredictorSettings
from outrider.types import Message, Request


def says(request: Request, _: int) -> str:
    """Right for even first numbers only, where it is not asked for steps."""
    text = question_of(request)
    numbers = [int(word) for word in text.replace("?", "").split() if word.isdigit()]
    total = sum(numbers[:2])
    return f"The answer is {total if 'step' in text or numbers[0] % 2 == 0 else total + 1}."


def settings(**more: object) -> CascadeSettings:
    stages = (
        StageSettings(name="once", cost=Cost(ms=10.0), memory=10, cache=0),
        StageSettings(name="steps", style="steps", cost=Cost(ms=90.0), memory=10, cache=0),
    )
    predictor = PredictorSettings(regressor="logistic", folds=2, holdout=0.2)
    return CascadeSettings(**{"stages": stages, "predictor": predictor, **more})  # type: ignore[arg-type]


@pytest.fixture
def task() -> tasks.Task:
    return tasks.load("arithmetic:count=120,level=1,seed=3")


def collected(path: Path, known: CascadeSettings, task: tasks.Task) -> AnswerFile:
    with Ladder(known, open=lambda _: Scripted(says)) as rungs:
        done = collect(rungs, [task], AnswerFile(path, known), timing=3)
    assert (done.asked, done.kept, done.failed) == (2 * (len(task.problems) + 3), 0, [])
    return AnswerFile(path, known)


def test_every_stage_answers_every_question_once(tmp_path: Path, task: tasks.Task) -> None:
    known = settings()
    path = tmp_path / "a.jsonl"
    file = collected(path, known, task)
    found = file.questions()
    assert {q.problem.id for q in found} == {p.id for p in task.problems}
    assert len(file.timings("once")) == len(file.timings("steps")) == 3
    assert all(q.correct[1] for q in found)
    assert {q.correct[0] for q in found} == {True, False}
    assert found[0].problem.answer is None
    # The second run has nothing left to ask.
    with Ladder(known, open=lambda _: Scripted(says, fails="must not be asked")) as rungs:
        done = collect(rungs, [task], AnswerFile(path, known), timing=3)
    assert (done.asked, done.kept, done.failed) == (0, 240, [])


def test_a_run_that_was_killed_goes_on(tmp_path: Path, task: tasks.Task) -> None:
    known = settings()
    path = tmp_path / "a.jsonl"
    whole = collected(path, known, task)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:150]) + lines[150][:40])
    generator = Scripted(says)
    with Ladder(known, open=lambda _: generator) as rungs:
        done = collect(rungs, [task], AnswerFile(path, known))
    assert done.kept + done.asked == 240
    assert len(generator.asked) == done.asked
    again = {q.problem.id: q.correct for q in AnswerFile(path, known).questions()}
    assert again == {q.problem.id: q.correct for q in whole.questions()}


def test_a_question_that_fails_is_tried_again(tmp_path: Path, task: tasks.Task) -> None:
    known, path = settings(), tmp_path / "a.jsonl"

    def fails(request: Request, index: int) -> str:
        if "Think step" in question_of(request):
            raise OutriderError("out of luck")
        return says(request, index)

    with Ladder(known, open=lambda _: Scripted(fails)) as rungs:
        done = collect(rungs, [task], AnswerFile(path, known))
    assert len(done.failed) == 120
    assert "steps: arithmetic-3-" in done.failed[0]
    assert "out of luck" in done.failed[0]
    with pytest.raises(UsageError, match="no question that every stage"):
        AnswerFile(path, known).questions()
    partial = AnswerFile(path, known).questions(partial=True)
    assert {len(q.answers) for q in partial} == {1}
    with Ladder(known, open=lambda _: Scripted(says)) as rungs:
        done = collect(rungs, [task], AnswerFile(path, known))
    assert (done.asked, done.kept) == (120, 120)


def test_progress_is_told(tmp_path: Path, task: tasks.Task) -> None:
    known, told = settings(), []
    with Ladder(known, open=lambda _: Scripted(says)) as rungs:
        file = AnswerFile(tmp_path / "a.jsonl", known)
        collect(rungs, [task], file, listener=lambda *what: told.append(what))
    assert told[0] == ("once", 1, 120)
    assert told[-1] == ("steps", 120, 120)


def test_answers_of_other_settings_are_refused(tmp_path: Path, task: tasks.Task) -> None:
    known, path = settings(), tmp_path / "a.jsonl"
    collected(path, known, task)
    other = replace(known.stages[1], max_tokens=5)
    changed = replace(known, stages=(known.stages[0], other))
    with pytest.raises(UsageError, match="'steps' with other settings"):
        AnswerFile(path, changed)
    # A stage of another name may be added, and the others' answers stay.
    added = replace(known, stages=(*known.stages, replace(other, name="more")))
    assert len(AnswerFile(path, added).has("steps")) == 120
    path.write_text("{}\n")
    with pytest.raises(UsageError, match=r"Line 1 of .* is no collected answer"):
        AnswerFile(path, known)


def test_stages_of_one_model_share_it(task: tasks.Task) -> None:
    opened = []

    def opener(stage: StageSettings) -> Scripted:
        opened.append(stage)
        return Scripted(says)

    with Ladder(settings(), open=opener) as rungs:
        for place in (0, 1, 0):
            rungs.ask(place, task.problems[0])
    assert len(opened) == 1
    here = replace(settings().stages[0], context=512, cache=1)
    there = replace(settings().stages[1], context=1024, cache=5)
    with Ladder(settings(stages=(here, there)), open=opener) as rungs:
        rungs.ask(0, task.problems[0])
    assert (opened[1].context, opened[1].cache) == (1024, 5)


def test_models_that_do_not_fit_are_refused_at_once() -> None:
    with pytest.raises(CapacityError, match="takes 10 bytes"):
        Ladder(settings(memory=5), open=lambda _: Scripted(says))


# ------------------------------------------------------------------------- answering


@pytest.fixture
def answering(tmp_path: Path, task: tasks.Task) -> tuple[CascadeSettings, object]:
    known = settings()
    found = collected(tmp_path / "a.jsonl", known, task).questions()
    return known, train(found, known, stage_costs(known, {}, {}))


def test_a_cascade_stops_where_it_can(answering: tuple[CascadeSettings, object]) -> None:
    known, predictor = answering
    fresh = tasks.load("arithmetic:count=40,level=1,seed=8")
    with Ladder(known, open=lambda _: Scripted(says)) as rungs:
        free = Cascade(rungs, predictor, wish=Wish(worth=0.0))  # type: ignore[arg-type]
        assert free.answer(fresh.problems[0]).stage == "once"
        best = Cascade(rungs, predictor, wish=Wish(preference="best"))  # type: ignore[arg-type]
        found = [a for (a,) in best.converse_many([p.question] for p in fresh.problems)]
    assert [f.answer for f in found] == [f.asked[-1].answer for f in found]
    dear = Wish(worth=1e9)
    with Ladder(known, open=lambda _: Scripted(says)) as rungs:
        all_asked = Cascade(rungs, predictor, wish=dear).answer(fresh.problems[0])  # type: ignore[arg-type]
    assert [a.stage for a in all_asked.asked] == ["once", "steps"]
    assert all_asked.cost == pytest.approx(sum(a.ms + a.loading_ms for a in all_asked.asked))
    assert json.loads(json.dumps(all_asked.record()))["asked"][1]["stage"] == "steps"


def test_a_preference_of_one_question_wins(answering: tuple[CascadeSettings, object]) -> None:
    known, predictor = answering
    generator = Scripted(says)
    with Ladder(known, open=lambda _: generator) as rungs:
        cascade = Cascade(rungs, predictor, wish=Wish(worth=0.0))  # type: ignore[arg-type]
        assert cascade.answer("What is 3 + 4?").worth == 0.0
        found = cascade.answer(
            "What is 3 + 4?", preference="best", earlier=[Message("user", "Hello")]
        )
        assert found.worth > 0.0
        assert cascade.expected.worth == 0.0
    assert Message("user", "Hello") in (generator.asked[-1].messages or ())


def test_a_conversation_goes_along(answering: tuple[CascadeSettings, object]) -> None:
    known, predictor = answering
    generator = Scripted(says)
    with Ladder(known, open=lambda _: generator) as rungs:
        cascade = Cascade(rungs, predictor, wish=Wish(worth=0.0))  # type: ignore[arg-type]
        first, second = cascade.converse(["What is 2 + 4?", "What is 4 + 4?"])
    assert (first.answer, second.answer) == ("6", "8")
    assert [m.content for m in generator.asked[-1].messages or ()][:2] == [
        "What is 2 + 4?",
        "The answer is 6.",
    ]


def test_another_model_or_ladder_is_refused(answering: tuple[CascadeSettings, object]) -> None:
    known, predictor = answering

    class Other(Scripted):
        def generate(self, request: Request) -> object:  # type: ignore[override]
            return replace(super().generate(request), record={"fingerprint": "other"})

    with Ladder(known, open=lambda _: Other(says)) as rungs:
        cascade = Cascade(rungs, predictor)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="'once' is another than"):
            cascade.answer("What is 3 + 4?")
    three = ladder()
    made = train(questions(three, 200), three, stage_costs(three, {}, {}))
    with (
        Ladder(known, open=lambda _: Scripted(says)) as rungs,
        pytest.raises(UsageError, match="trained for the stages first, second, third"),
    ):
        Cascade(rungs, made)
