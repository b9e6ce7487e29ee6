from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from strategies.cascade.scripted import Scripted, question_of, says, two_stages

from outrider import tasks
from outrider.errors import CapacityError, OutriderError, UsageError
from outrider.strategies.cascade import (
    AnswerFile,
    CascadeSettings,
    Ladder,
    StageSettings,
    collect,
)
from outrider.types import Request


@pytest.fixture
def task() -> tasks.Task:
    return tasks.load("arithmetic:count=120,level=1,seed=3")


def collected(path: Path, known: CascadeSettings, task: tasks.Task) -> AnswerFile:
    with Ladder(known, open=lambda _: Scripted(says)) as rungs:
        done = collect(rungs, [task], AnswerFile(path, known), timing=3)
    assert (done.asked, done.kept, done.failed) == (2 * (len(task.problems) + 3), 0, [])
    return AnswerFile(path, known)


def test_every_stage_answers_every_question_once(tmp_path: Path, task: tasks.Task) -> None:
    known = two_stages()
    path = tmp_path / "a.jsonl"
    file = collected(path, known, task)
    found = file.questions()
    assert {q.problem.id for q in found} == {p.id for p in task.problems}
    assert len(file.timings("once")) == len(file.timings("steps")) == 3
    # The question that warms up is not kept, and what the model took to load is.
    assert [answer.loading_ms > 0 for answer in file.timings("once")] == [True, False, False]
    assert all(q.correct[1] for q in found)
    assert {q.correct[0] for q in found} == {True, False}
    assert found[0].problem.answer is None
    # The second run has nothing left to ask.
    with Ladder(known, open=lambda _: Scripted(says, fails="must not be asked")) as rungs:
        done = collect(rungs, [task], AnswerFile(path, known), timing=3)
    assert (done.asked, done.kept, done.failed) == (0, 240, [])


def test_a_run_that_was_killed_goes_on(tmp_path: Path, task: tasks.Task) -> None:
    known = two_stages()
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
    known, path = two_stages(), tmp_path / "a.jsonl"

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
    known, told = two_stages(), []
    with Ladder(known, open=lambda _: Scripted(says)) as rungs:
        file = AnswerFile(tmp_path / "a.jsonl", known)
        collect(rungs, [task], file, listener=lambda *what: told.append(what))
    assert told[0] == ("once", 1, 120)
    assert told[-1] == ("steps", 120, 120)


def test_answers_of_other_settings_are_refused(tmp_path: Path, task: tasks.Task) -> None:
    known, path = two_stages(), tmp_path / "a.jsonl"
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

    with Ladder(two_stages(), open=opener) as rungs:
        for place in (0, 1, 0):
            rungs.stages[place].ask(task.problems[0])
    assert len(opened) == 1
    here = replace(two_stages().stages[0], context=512, cache=1)
    there = replace(two_stages().stages[1], context=1024, cache=5)
    with Ladder(two_stages(stages=(here, there)), open=opener) as rungs:
        rungs.stages[0].ask(task.problems[0])
    assert (opened[1].context, opened[1].cache) == (1024, 5)


def test_models_that_do_not_fit_are_refused_at_once() -> None:
    with pytest.raises(CapacityError, match="takes 10 bytes"):
        Ladder(two_stages(memory=5), open=lambda _: Scripted(says))
