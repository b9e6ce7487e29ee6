"""The quality predictor: how likely a stage's answer is right, before any answer and after each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from outrider.errors import UsageError
from outrider.strategies.cascade import regressors
from outrider.strategies.cascade.answers import Question, said_before
from outrider.strategies.cascade.costs import StageCost
from outrider.strategies.cascade.features import (
    Features,
    answer_features,
    keyword_features,
    question_features,
)
from outrider.strategies.cascade.settings import CascadeSettings, Weights, digest
from outrider.strategies.cascade.stage import Answer
from outrider.tasks import Problem

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Complexity = Literal["simple", "medium", "complex"]

FORMAT: Final = "outrider.cascade.predictor/1"
COMPLEXITIES: Final[tuple[Complexity, ...]] = ("simple", "medium", "complex")


@dataclass(frozen=True, slots=True)
class StagePredictor:
    """One stage's probability.

    Attributes:
        names: of the features, in the order of the model's columns.
        model: log-odds from features.
        calibration: probabilities from log-odds.
    """

    names: tuple[str, ...]
    model: regressors.Model
    calibration: regressors.Calibration

    def score(self, features: Sequence[Features]) -> Array:
        """The probabilities, float64[questions]."""
        return self.calibration.probabilities(self.model.log_odds(matrix(features, self.names)))

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """What `record` was made of."""
        return cls(
            tuple(values["names"]),
            regressors.Model.of(values["model"]),
            regressors.Calibration.of(values["calibration"]),
        )


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Questions that every stage answered, as numbers.

    Attributes:
        scores: calibrated probabilities, before generation and after each stage,
            float64[questions, 1 + stages].
        correct: bool[questions, stages].
        costs: in the unit of the cascade, float64[questions, stages].
    """

    scores: Array
    correct: Flags
    costs: Array

    def pick(self, rows: NDArray[Any]) -> Outcomes:
        """Some of the questions."""
        return Outcomes(self.scores[rows], self.correct[rows], self.costs[rows])

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True)
class Predictor:
    """A trained predictor, with the outcomes from which policies are fitted.

    Attributes:
        stages: each stage's fingerprint, by its name, in their order.
        models: the fingerprints of the models that answered, by stage; empty where they told none.
        kind: of regressor.
        data: hashes of the answers of the training, with their questions and grades.
        seen: hashes of the questions it was trained on.
        predictors: before generation, and after each stage.
        baseline: what length and key words alone say of each stage; it has to be beaten.
        costs: of each stage.
        edges: the scores before generation at which complexity changes, descending.
        training: the outcomes of the training, with scores that are out of sample.
        weights: of milliseconds, tokens and money in a cost.
        bins: of the table of transitions.
    """

    stages: Mapping[str, str]
    models: Mapping[str, tuple[str, ...]]
    kind: str
    data: frozenset[str]
    seen: frozenset[str]
    predictors: tuple[StagePredictor, ...]
    baseline: tuple[StagePredictor, ...]
    costs: tuple[StageCost, ...]
    edges: tuple[float, float]
    training: Outcomes
    weights: Weights
    bins: int

    @property
    def unit(self) -> str:
        """What one unit of cost is called."""
        return self.weights.unit

    def before(self, problem: Problem) -> float:
        """The probability that the first stage will be right."""
        return float(self.predictors[0].score([question_features(problem)])[0])

    def after(self, stage: int, problem: Problem, answers: Sequence[Answer]) -> float:
        """The probability that the last of the answers is right.

        Args:
            stage: that gave it, from 1.
            problem: the question.
            answers: of the stages that have answered, in the order in which they were asked.
        """
        return float(self.predictors[stage].score([joined(problem, answers)])[0])

    def complexity(self, before: float) -> Complexity:
        """The class of a question by its score before generation; thirds of the training's."""
        return COMPLEXITIES[sum(before < edge for edge in self.edges)]

    def scores(self, questions: Sequence[Question], stage: int) -> Array:
        """Scores after a stage, or before any (0), float64[questions]."""
        found = [joined(q.problem, q.answers[:stage]) for q in questions]
        return self.predictors[stage].score(found)

    def baseline_scores(self, questions: Sequence[Question], stage: int) -> Array:
        """What length and key words alone say of a stage, float64[questions]."""
        return self.baseline[stage].score([keyword_features(q.problem) for q in questions])

    def outcomes(self, questions: Sequence[Question], settings: CascadeSettings) -> Outcomes:
        """Scores, grades and costs of questions that every stage has answered."""
        columns = [self.scores(questions, stage) for stage in range(len(self.predictors))]
        return outcomes_of(np.stack(columns, axis=1), questions, self.costs, settings)

    def check_answers(self, questions: Sequence[Question]) -> None:
        """Raise where answers of the training are not what they were.

        Raises:
            UsageError: they were changed, or some are missing.
        """
        present = {digest for q in questions for digest in q.digests}
        asked = any(identity(q) in self.seen for q in questions)
        # Answers of another file, none of which trained it, are no changed ones.
        if asked and not self.data <= present:
            raise UsageError(
                "The answers have changed since the predictor was trained on them; train it again."
            )

    def unseen(self, questions: Sequence[Question]) -> list[Question]:
        """The questions that it was not trained on.

        Raises:
            UsageError: there is none.
        """
        left = [q for q in questions if identity(q) not in self.seen]
        if not left:
            raise UsageError(
                "The predictor was trained on every question of the answers; collect others, or "
                "train with a holdout."
            )
        return left

    def check(self, settings: CascadeSettings) -> None:
        """Raise where it was made for other stages, or for another unit of cost.

        Raises:
            UsageError: it was.
        """
        self.check_stages(settings.fingerprints())
        if settings.cost != self.weights:
            raise UsageError(
                f"The predictor counts costs in {self.unit}, and the cascade in "
                f"{settings.cost.unit}; train it again."
            )

    def check_stages(self, now: Mapping[str, str]) -> None:
        """Raise where it was made for other stages.

        Args:
            now: the stages' fingerprints, by their names, in their order.

        Raises:
            UsageError: it was.
        """
        if list(now) != list(self.stages):
            raise UsageError(
                f"The predictor was trained for the stages {', '.join(self.stages)}, and the "
                f"cascade has {', '.join(now)}; train it again."
            )
        for name, fingerprint in now.items():
            if fingerprint != self.stages[name]:
                raise UsageError(
                    f"The predictor was trained when the stage {name!r} had other settings; train "
                    "it again on answers collected with these."
                )

    def check_model(self, answer: Answer) -> None:
        """Raise where another model answers than those of the training.

        Raises:
            UsageError: it does.
        """
        known = self.models.get(answer.stage)
        if known and answer.model is not None and answer.model not in known:
            raise UsageError(
                f"The model of the stage {answer.stage!r} is another than the predictor was "
                "trained with; train it again."
            )

    # ----------------------------------------------------------------- the file

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            UsageError: the file cannot be written.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {
            "data": sorted(self.data),
            "seen": sorted(self.seen),
            "predictors": [predictor.record() for predictor in self.predictors],
            "baseline": [predictor.record() for predictor in self.baseline],
            "costs": [cost.record() for cost in self.costs],
            "weights": asdict(self.weights),
            "training": {
                "scores": np.round(self.training.scores, 6).tolist(),
                "correct": self.training.correct.astype(int).tolist(),
                "costs": np.round(self.training.costs, 4).tolist(),
            },
        }
        try:
            text = json.dumps({"format": FORMAT, **values}, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            UsageError: the file cannot be read, or is no predictor of this version.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"The predictor {path} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise UsageError(f"The predictor {path} is not JSON: {error}.") from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise UsageError(
                f"{path} is no predictor of this version; `outrider cascade train` makes one."
            )
        try:
            training = values.pop("training")
            return cls(
                **{
                    **values,
                    "models": {name: tuple(found) for name, found in values["models"].items()},
                    "data": frozenset(values["data"]),
                    "seen": frozenset(values["seen"]),
                    "predictors": tuple(map(StagePredictor.of, values["predictors"])),
                    "baseline": tuple(map(StagePredictor.of, values["baseline"])),
                    "costs": tuple(map(StageCost.of_record, values["costs"])),
                    "edges": tuple(values["edges"]),
                    "weights": Weights(**values["weights"]),
                    "training": Outcomes(
                        np.array(training["scores"], np.float64),
                        np.array(training["correct"], np.bool_),
                        np.array(training["costs"], np.float64),
                    ),
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"The predictor {path} is damaged: {error!r}.") from error


def identity(question: Question) -> str:
    """A hash of a question's text, turns before it, and choices: asked twice it is one question.

    So that no text is both trained on and evaluated.
    """
    asked = question.problem
    return digest([said_before(asked) + asked.question, asked.choices])


def matrix(features: Sequence[Features], names: Sequence[str]) -> Array:
    """float64[questions, features]."""
    return np.array([[found[name] for name in names] for found in features], np.float64)


def joined(problem: Problem, answers: Sequence[Answer]) -> Features:
    """What is known after the last of the answers, or before any."""
    before = question_features(problem)
    if not answers:
        return before
    return before | answer_features(answers[-1], answers[:-1])


def outcomes_of(
    scores: Array,
    questions: Sequence[Question],
    costs: Sequence[StageCost],
    settings: CascadeSettings,
) -> Outcomes:
    """Questions with their scores, float64[questions, 1 + stages], their grades and costs."""
    paid = [
        [cost.of(a, settings.cost) for cost, a in zip(costs, q.answers, strict=True)]
        for q in questions
    ]
    correct = np.array([q.correct for q in questions], np.bool_)
    return Outcomes(scores, correct, np.array(paid, np.float64))
