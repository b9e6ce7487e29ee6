from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from strategies.cascade.ladders import ladder, questions

from outrider.errors import UsageError
from outrider.strategies.cascade import regressors
from outrider.strategies.cascade.answers import Question
from outrider.strategies.cascade.costs import stage_costs
from outrider.strategies.cascade.metrics import auroc, calibration_error, quality
from outrider.strategies.cascade.predictor import Predictor, identity
from outrider.strategies.cascade.settings import CascadeSettings, Cost, PredictorSettings, Weights
from outrider.strategies.cascade.training import split, train
from outrider.types import Message


def trained(settings: CascadeSettings, count: int = 600) -> tuple[Predictor, list]:
    found = questions(settings, count)
    return train(found, settings, stage_costs(settings, {}, {})), found


@pytest.mark.parametrize("regressor", ["logistic", "trees", "keywords"])
def test_a_predictor_is_calibrated_and_ranks(regressor: str) -> None:
    settings = ladder(regressor)
    predictor, _ = trained(settings, 1200)
    fresh = questions(settings, 800, seed=1)
    outcomes = predictor.outcomes(fresh, settings)
    for stage in range(4):
        right = outcomes.correct[:, max(stage, 1) - 1]
        found = quality(outcomes.scores[:, stage], right)
        assert found.auroc is not None
        assert found.auroc > 0.7
        assert found.ece < 0.09
        if stage and regressor != "keywords":
            assert found.auroc > (auroc(predictor.baseline_scores(fresh, stage), right) or 0.5)
    assert outcomes.costs.tolist() == [[10.0, 60.0, 240.0]] * len(fresh)


def test_earlier_turns_tell_a_predictor_what_the_question_does_not() -> None:
    """Of equal questions, those after a long conversation are answered wrongly here."""
    settings = ladder()
    turns = (Message("user", "What is 523 + 941?"), Message("assistant", "1464"))

    def made(count: int, seed: int) -> list[Question]:
        found = []
        for number, known in enumerate(questions(settings, count, seed=seed)):
            easy = number % 2 == 0
            problem = replace(known.problem, earlier=() if easy else turns * 3)
            found.append(replace(known, problem=problem, correct=(easy, True, True)))
        return found

    predictor = train(made(300, 0), settings, stage_costs(settings, {}, {}))
    fresh = made(200, 1)
    right = np.array([q.correct[0] for q in fresh])
    assert auroc(predictor.scores(fresh, 0), right) == pytest.approx(1.0, abs=0.02)
    assert (auroc(predictor.baseline_scores(fresh, 0), right) or 0.5) < 0.65
    alone = replace(fresh[1].problem, earlier=())
    assert predictor.before(alone) > 0.8
    assert predictor.before(fresh[1].problem) < 0.2


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    settings = ladder("trees")
    predictor, found = trained(settings)
    predictor.save(tmp_path / "p.json")
    again = Predictor.load(tmp_path / "p.json")
    fresh = questions(settings, 50, seed=2)
    a, b = predictor.outcomes(fresh, settings), again.outcomes(fresh, settings)
    assert (a.scores == b.scores).all()
    assert again.training.correct.tolist() == predictor.training.correct.tolist()
    assert again.costs == predictor.costs
    assert again.seen == predictor.seen
    problem, answers = fresh[0].problem, fresh[0].answers
    assert again.before(problem) == pytest.approx(a.scores[0, 0])
    assert again.after(2, problem, answers[:2]) == pytest.approx(a.scores[0, 2])
    again.check(settings)
    again.check_answers(found)
    again.check_model(answers[0])


def test_trees_are_those_of_scikit_learn() -> None:
    """The arrays that are kept say what the library's own model says."""
    from sklearn.ensemble import GradientBoostingClassifier

    random = np.random.default_rng(0)
    x = random.normal(size=(400, 5))
    y = (x[:, 0] * x[:, 1] + random.normal(size=400) > 0).astype(bool)
    model = regressors.fit("trees", x, y, 3)
    columns = model.inputs.columns(x)
    theirs = GradientBoostingClassifier(**regressors.TREES, min_samples_leaf=8, random_state=3).fit(
        columns, y
    )
    np.testing.assert_allclose(model.log_odds(x), theirs.decision_function(columns), atol=1e-9)


def test_missing_features_have_a_column_of_their_own() -> None:
    x = np.array([[1.0, np.nan], [2.0, 5.0], [3.0, 7.0], [4.0, np.nan]] * 20)
    y = np.array([True, False, False, True] * 20)
    model = regressors.fit("logistic", x, y, 0)
    assert model.inputs.missing == (1,)
    assert ((model.log_odds(x) > 0) == y).all()
    again = regressors.Model.of(json.loads(json.dumps(model.record())))
    assert (again.log_odds(x) == model.log_odds(x)).all()


@pytest.mark.parametrize("right", [True, False])
def test_nothing_is_certain_because_it_was_never_seen_otherwise(right: bool) -> None:
    x, y = np.zeros((8, 1)), np.full(8, right)
    model = regressors.fit("trees", x, y, 0)
    calibrated = regressors.calibrate(model.log_odds(x), y).probabilities(model.log_odds(x))
    assert calibrated[0] == pytest.approx(0.9 if right else 0.1)


def test_platt_for_few_points_and_isotonic_for_many() -> None:
    random = np.random.default_rng(1)
    for count, method in ((900, "Platt"), (2000, "isotonic")):
        odds = random.normal(size=count)
        y = random.random(count) < 1 / (1 + np.exp(-(3 * odds - 1)))
        found = regressors.calibrate(odds, y)
        assert found.method == method
        assert calibration_error(found.probabilities(odds), y) < 0.04
        again = regressors.Calibration.of({
            "slope": found.slope, "offset": found.offset, "x": list(found.x), "y": list(found.y),
        })  # fmt: skip
        assert again == found


def test_splits_do_not_depend_on_the_order() -> None:
    settings = ladder()
    found = questions(settings, 400)
    chosen = PredictorSettings(holdout=0.5, calibration=0.3)
    fitting, calibrating = split(found, chosen)
    again = split(found[::-1], chosen)
    assert {identity(q) for q in again[0]} == {identity(q) for q in fitting}
    assert 0.4 < (len(fitting) + len(calibrating)) / 400 < 0.6
    assert 0.2 < len(calibrating) / (len(fitting) + len(calibrating)) < 0.4


def test_training_questions_take_no_part_in_an_evaluation() -> None:
    settings = ladder()
    predictor, found = trained(settings)
    left = predictor.unseen(found)
    assert len(left) + len(predictor.training) == len(found)
    seen = [q for q in found if identity(q) in predictor.seen]
    with pytest.raises(UsageError, match="trained on every question"):
        predictor.unseen(seen)


def test_changed_answers_are_refused() -> None:
    settings = ladder()
    predictor, found = trained(settings)
    place = next(i for i, q in enumerate(found) if identity(q) in predictor.seen)
    changed = list(found)
    changed[place] = replace(found[place], correct=tuple(not c for c in found[place].correct))
    with pytest.raises(UsageError, match="have changed"):
        predictor.check_answers(changed)


def test_other_stages_units_and_models_are_refused() -> None:
    settings = ladder()
    predictor, found = trained(settings)
    other = replace(settings.stages[0], max_tokens=9)
    with pytest.raises(UsageError, match="'first' had other settings"):
        predictor.check(replace(settings, stages=(other, *settings.stages[1:])))
    with pytest.raises(UsageError, match="the cascade has first, second;"):
        predictor.check(replace(settings, stages=settings.stages[:2]))
    with pytest.raises(UsageError, match="counts costs in ms"):
        predictor.check(replace(settings, cost=Weights(tokens=1.0, ms=0.0)))
    with pytest.raises(UsageError, match="is another than"):
        predictor.check_model(replace(found[0].answers[0], model="another"))
    # What a stage costs is not what it says.
    cheaper = replace(settings.stages[0], cost=Cost(ms=1.0), pinned=True, memory=5)
    predictor.check(replace(settings, stages=(cheaper, *settings.stages[1:])))


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    with pytest.raises(UsageError, match="cannot be read"):
        Predictor.load(path)
    for text, said in (("{", "not JSON"), ("[]", "no predictor of this version")):
        path.write_text(text)
        with pytest.raises(UsageError, match=said):
            Predictor.load(path)
    predictor, _ = trained(ladder())
    predictor.save(path)
    values = json.loads(path.read_text())
    del values["predictors"][0]["model"]["inputs"]
    path.write_text(json.dumps(values))
    with pytest.raises(UsageError, match="damaged"):
        Predictor.load(path)
    with pytest.raises(UsageError, match="cannot be written"):
        predictor.save(tmp_path / "nowhere" / "p.json")


def test_too_few_questions() -> None:
    settings = ladder()
    with pytest.raises(UsageError, match="some hundred questions"):
        train(questions(settings, 12), settings, stage_costs(settings, {}, {}))


def test_complexity_is_a_third_each() -> None:
    predictor, _ = trained(ladder())
    classes = [predictor.complexity(s) for s in predictor.training.scores[:, 0]]
    for name in ("simple", "medium", "complex"):
        assert 0.2 < classes.count(name) / len(classes) < 0.47
    assert predictor.complexity(1.0) == "simple"
    assert predictor.complexity(0.0) == "complex"


def test_metrics() -> None:
    assert auroc([0.1, 0.4, 0.4, 0.9], [False, False, True, True]) == 0.875
    assert auroc([0.1, 0.2], [True, True]) is None
    found = quality([1.0, 0.0], [True, False])
    assert (found.brier, found.ece, found.r2, found.auroc) == (0.0, 0.0, 1.0, 1.0)
    assert quality([0.5] * 4, [True] * 4).r2 is None
    assert quality([0.5] * 4, [True, True, False, False]).r2 == 0.0
    # Ten bins of two: every prediction is off by a quarter.
    assert calibration_error([0.75] * 20, [True, False] * 10) == pytest.approx(0.25)
