"""Cascades: the cheapest model of a ladder answers first, and an optimal rule says when to stop."""

from outrider.strategies.cascade.answered import CascadeAnswer
from outrider.strategies.cascade.answers import AnswerFile
from outrider.strategies.cascade.collect import collect
from outrider.strategies.cascade.ladder import Ladder
from outrider.strategies.cascade.predictor import Predictor
from outrider.strategies.cascade.run import Cascade, OwnSampling
from outrider.strategies.cascade.settings import CascadeSettings, StageSettings
from outrider.strategies.cascade.stage import Stage
from outrider.strategies.cascade.steering import TrainedPolicy, Wish
from outrider.strategies.cascade.training import train

__all__ = [
    "AnswerFile",
    "Cascade",
    "CascadeAnswer",
    "CascadeSettings",
    "Ladder",
    "OwnSampling",
    "Predictor",
    "Stage",
    "StageSettings",
    "TrainedPolicy",
    "Wish",
    "collect",
    "train",
]
