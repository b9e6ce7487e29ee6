"""Training a predictor: splits, cross-fitting, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from outrider.errors import UsageError
from outrider.strategies.cascade import regressors
from outrider.strategies.cascade.answers import Question
from outrider.strategies.cascade.costs import StageCost
from outrider.strategies.cascade.features import Features, keyword_features
from outrider.strategies.cascade.predictor import (
    Predictor,
    StagePredictor,
    identity,
    joined,
    matrix,
    outcomes_of,
)
from outrider.strategies.cascade.settings import CascadeSettings, PredictorSettings, digest

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def train(
    questions: Sequence[Question], settings: CascadeSettings, costs: Sequence[StageCost]
) -> Predictor:
    """Fit a predictor, and the outcomes from which policies are made.

    Of the questions that are not held out, one part fits the models and another calibrates them.
    The scores of the first part, from which policies learn, come from models fitted to its other
    folds, so that no score knows its own answer.

    Args:
        questions: collected and graded, those to hold out included.
        settings: of the cascade.
        costs: of its stages.

    Raises:
        UsageError: there are too few questions, or scikit-learn is missing.
    """
    regressors.check()
    known = settings.predictor
    fitting, calibrating = split(questions, known)
    if len(fitting) < 2 * known.folds or len(calibrating) < 10:
        raise UsageError(
            f"Training needs some hundred questions; there are {len(fitting)} to fit and "
            f"{len(calibrating)} to calibrate after {known.holdout:.0%} are held out."
        )
    used = [*fitting, *calibrating]
    predictors, baseline, columns = [], [], []
    keywords = replace(known, regressor="keywords")
    for stage in range(len(settings.stages) + 1):
        baseline.append(_train_stage(stage, fitting, calibrating, keywords)[0])
        predictor, out_of_fold = _train_stage(stage, fitting, calibrating, known)
        held = predictor.score([_features(q, stage, known) for q in calibrating])
        predictors.append(predictor)
        columns.append(np.concatenate([out_of_fold, held]))
    scores = np.stack(columns, axis=1)
    high, low = np.quantile(scores[:, 0], [2 / 3, 1 / 3])
    models = {
        stage.name: tuple(sorted({m for q in used if (m := q.answers[place].model) is not None}))
        for place, stage in enumerate(settings.stages)
    }
    return Predictor(
        stages=settings.fingerprints(),
        models=models,
        kind=known.regressor,
        data=frozenset(q.digest for q in used),
        seen=frozenset(map(identity, used)),
        predictors=tuple(predictors),
        baseline=tuple(baseline),
        costs=tuple(costs),
        edges=(float(high), float(low)),
        training=outcomes_of(scores, used, costs, settings),
        unit=settings.cost.unit,
        bins=known.bins,
    )


def split(
    questions: Sequence[Question], settings: PredictorSettings
) -> tuple[list[Question], list[Question]]:
    """The questions to fit and those to calibrate, by a hash, so that each always falls alike."""
    fitting: list[Question] = []
    calibrating: list[Question] = []
    for question in questions:
        if _share(question, "holdout", settings.seed) < settings.holdout:
            continue
        mine = _share(question, "calibration", settings.seed) < settings.calibration
        (calibrating if mine else fitting).append(question)
    return fitting, calibrating


def _train_stage(
    stage: int,
    fitting: Sequence[Question],
    calibrating: Sequence[Question],
    settings: PredictorSettings,
) -> tuple[StagePredictor, Array]:
    """A stage's predictor, and calibrated out-of-fold scores of the questions to fit."""
    kind: Literal["trees", "logistic"] = "trees" if settings.regressor == "trees" else "logistic"
    features = [_features(q, stage, settings) for q in fitting]
    names = tuple(features[0])
    x, y = matrix(features, names), _right(fitting, stage)
    model = regressors.fit(kind, x, y, settings.seed)
    held = matrix([_features(q, stage, settings) for q in calibrating], names)
    calibration = regressors.calibrate(model.log_odds(held), _right(calibrating, stage))
    out_of_fold = np.empty(len(fitting))
    folds = np.array([int(_share(q, "fold", settings.seed) * settings.folds) for q in fitting])
    for fold in np.unique(folds):
        inside = folds == fold
        other = regressors.fit(kind, x[~inside], y[~inside], settings.seed)
        out_of_fold[inside] = calibration.probabilities(other.log_odds(x[inside]))
    return StagePredictor(names, model, calibration), out_of_fold


def _features(
    question: Question, stage: int, settings: PredictorSettings | None = None
) -> Features:
    if settings is not None and settings.regressor == "keywords":
        return keyword_features(question.problem)
    return joined(question.problem, question.answers[:stage])


def _right(questions: Sequence[Question], stage: int) -> Flags:
    """Whether a stage's answer is right; before generation, the first stage's."""
    return np.array([q.correct[max(stage, 1) - 1] for q in questions], np.bool_)


def _share(question: Question, what: str, seed: int) -> float:
    """A number in [0, 1) that depends on the question, the purpose and the seed alone."""
    return int(digest([identity(question), what, seed]), 16) / 16**16
