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
        questions: collected and graded, those to hold out included. A stage's predictor is made
            from all that have its answer, and policies from those that every stage has answered.
        settings: of the cascade.
        costs: of its stages.

    Raises:
        UsageError: there are too few questions, or scikit-learn is missing.
    """
    regressors.check()
    known = settings.predictor
    fitting, calibrating = split(questions, known)
    used = [*fitting, *calibrating]
    whole = [len(q.answers) == len(settings.stages) for q in used]
    fit_by_all, calibrated_by_all = sum(whole[: len(fitting)]), sum(whole[len(fitting) :])
    if fit_by_all < 2 * known.folds or calibrated_by_all < 10:
        raise UsageError(
            f"Training needs some hundred questions that every stage has answered; there are "
            f"{fit_by_all} to fit and {calibrated_by_all} to calibrate after {known.holdout:.0%} "
            "are held out."
        )
    predictors, baseline = [], []
    scores = np.full((len(used), len(settings.stages) + 1), np.nan)
    keywords = replace(known, regressor="keywords")
    for stage in range(len(settings.stages) + 1):
        has = np.array([len(q.answers) >= max(stage, 1) for q in used])
        fit = [q for q in fitting if len(q.answers) >= max(stage, 1)]
        calibrate = [q for q in calibrating if len(q.answers) >= max(stage, 1)]
        baseline.append(_fit_stage(stage, fit, calibrate, keywords))
        predictors.append(predictor := _fit_stage(stage, fit, calibrate, known))
        held = predictor.score([_features(q, stage, known) for q in calibrate])
        scores[has, stage] = np.concatenate([_cross_fit(stage, fit, predictor, known), held])
    complete = [q for q, every in zip(used, whole, strict=True) if every]
    high, low = np.quantile(scores[:, 0], [2 / 3, 1 / 3])
    return Predictor(
        stages=settings.fingerprints(),
        models=_models(used),
        kind=known.regressor,
        data=frozenset(digest for q in used for digest in q.digests),
        seen=frozenset(map(identity, used)),
        predictors=tuple(predictors),
        baseline=tuple(baseline),
        costs=tuple(costs),
        edges=(float(high), float(low)),
        training=outcomes_of(scores[whole], complete, costs, settings),
        weights=settings.cost,
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


def _fit_stage(
    stage: int,
    fitting: Sequence[Question],
    calibrating: Sequence[Question],
    settings: PredictorSettings,
) -> StagePredictor:
    """A stage's predictor, fitted to some questions and calibrated on others."""
    features = [_features(q, stage, settings) for q in fitting]
    names = tuple(features[0])
    model = regressors.fit(
        _kind(settings), matrix(features, names), _right(fitting, stage), settings.seed
    )
    held = matrix([_features(q, stage, settings) for q in calibrating], names)
    calibration = regressors.calibrate(model.log_odds(held), _right(calibrating, stage))
    return StagePredictor(names, model, calibration)


def _cross_fit(
    stage: int, fitting: Sequence[Question], predictor: StagePredictor, settings: PredictorSettings
) -> Array:
    """Scores of the questions to fit, each by a model of the other folds, float64[questions]."""
    x = matrix([_features(q, stage, settings) for q in fitting], predictor.names)
    y = _right(fitting, stage)
    folds = np.array([int(_share(q, "fold", settings.seed) * settings.folds) for q in fitting])
    scores = np.empty(len(fitting))
    for fold in np.unique(folds):
        inside = folds == fold
        model = regressors.fit(_kind(settings), x[~inside], y[~inside], settings.seed)
        scores[inside] = predictor.calibration.probabilities(model.log_odds(x[inside]))
    return scores


def _kind(settings: PredictorSettings) -> Literal["trees", "logistic"]:
    return "trees" if settings.regressor == "trees" else "logistic"


def _models(questions: Sequence[Question]) -> dict[str, tuple[str, ...]]:
    """The fingerprints of the models that answered, by stage."""
    found: dict[str, set[str]] = {}
    for answer in (a for q in questions for a in q.answers):
        if answer.model is not None:
            found.setdefault(answer.stage, set()).add(answer.model)
    return {stage: tuple(sorted(models)) for stage, models in found.items()}


def _features(question: Question, stage: int, settings: PredictorSettings) -> Features:
    if settings.regressor == "keywords":
        return keyword_features(question.problem)
    return joined(question.problem, question.answers[:stage])


def _right(questions: Sequence[Question], stage: int) -> Flags:
    """Whether a stage's answer is right; before generation, the first stage's."""
    return np.array([q.correct[max(stage, 1) - 1] for q in questions], np.bool_)


def _share(question: Question, what: str, seed: int) -> float:
    """A number in [0, 1) that depends on the question, the purpose and the seed alone."""
    return int(digest([identity(question), what, seed]), 16) / 16**16
