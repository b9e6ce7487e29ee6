"""The figures of a cascade's evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from outrider.lab.statistics import Interval
from outrider.strategies.cascade.curve import Point
from outrider.strategies.cascade.metrics import Quality, Reliability


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage alone: a row of the baseline table.

    Attributes:
        name: of the stage.
        accuracy: on the questions of the evaluation.
        ms: mean of an answer.
        cost: mean, in the unit of the cascade.
        tokens: generated, mean.
        size: bytes of the loaded model; 0 for a server's.
        loading_s: seconds that loading took; None where it was not seen.
        source: where the milliseconds come from.
    """

    name: str
    accuracy: Interval
    ms: float
    cost: float
    tokens: float
    size: int
    loading_s: float | None
    source: str


@dataclass(frozen=True, slots=True)
class PredictorRow:
    """How good a stage's predictions are, beside those by length and key words alone."""

    name: str
    quality: Quality
    baseline: Quality
    reliability: Reliability


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A policy at one setting: its λ or threshold, mean cost, quality and early stops."""

    setting: float
    cost: float
    quality: Interval
    early: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A policy over all its settings.

    Attributes:
        name: of the policy.
        points: in the order of the settings.
        aiq: mean quality over the range of costs, with its interval.
        apgr: share of the gap between the first and the best stage; None where there is no gap.
        chosen: λ or the threshold that was furthest above mixing in training.
        gain: at that setting, above the best mixture of single stages of the same cost.
        over_mixing: AIQ above that of mixing single stages.
        over_threshold: AIQ above that of a threshold on the same scores.
    """

    name: str
    points: tuple[CurvePoint, ...]
    aiq: Interval
    apgr: float | None
    chosen: float
    gain: Interval
    over_mixing: Interval
    over_threshold: Interval


@dataclass(frozen=True, slots=True)
class Cell:
    """Questions of one complexity under one λ.

    Attributes:
        questions: how many.
        ms: mean, all stages asked.
        cost: mean.
        quality: share of right answers; None without a question.
        shares: of the questions that ended at each stage.
    """

    questions: int
    ms: float
    cost: float
    quality: float | None
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Wished:
    """What a caller asked for, and what came of it.

    Attributes:
        wish: in words, such as "budget 60".
        trained: the point of the training that met it.
        found: the same λ on the questions of the evaluation.
    """

    wish: str
    trained: Point
    found: CurvePoint


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that a report shows."""

    unit: str
    regressor: str
    tasks: Mapping[str, int]
    questions: int
    distinct: int
    trained: int
    stages: tuple[StageRow, ...]
    predictors: tuple[PredictorRow, ...]
    everything: CurvePoint
    oracle: CurvePoint
    mixing_aiq: Interval
    curves: tuple[Curve, ...]
    steered: str
    preferences: Mapping[str, CurvePoint]
    grid: Mapping[float, Mapping[str, Cell]]
    levels: Mapping[str, Mapping[str, float]]
    wished: Wished | None = None

    def curve(self, name: str) -> Curve:
        """A policy's curve."""
        return next(curve for curve in self.curves if curve.name == name)
