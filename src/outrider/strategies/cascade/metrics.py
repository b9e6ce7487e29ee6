"""How good predicted probabilities are: Brier score, calibration error, AUROC, R²."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 10
"""Bins of equal mass of a reliability plot and of the calibration error."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Predictions in bins of equal mass.

    Attributes:
        predicted: mean prediction of each bin, float64[bins].
        observed: share that came true, float64[bins].
        counts: predictions in each, int64[bins].
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the predictions of one stage are.

    Attributes:
        questions: that were predicted.
        base_rate: share that came true.
        brier: mean squared error; that of always saying the base rate is base·(1 − base).
        ece: expected calibration error over `BINS` bins of equal mass.
        auroc: probability that a right answer is scored above a wrong one; None where all are
            alike.
        r2: share of the variance explained, 1 − brier / (base·(1 − base)); None where all are
            alike.
    """

    questions: int
    base_rate: float
    brier: float
    ece: float
    auroc: float | None
    r2: float | None


def quality(predicted: ArrayLike, came_true: ArrayLike) -> Quality:
    """The figures of a set of predictions.

    Args:
        predicted: probabilities, float64[n] with n of at least 1.
        came_true: bool[n].
    """
    p, y = np.asarray(predicted, np.float64), np.asarray(came_true, np.float64)
    base = float(y.mean())
    brier = float(np.mean((p - y) ** 2))
    spread = base * (1 - base)
    return Quality(
        len(p),
        base,
        brier,
        calibration_error(p, y),
        auroc(p, y),
        1 - brier / spread if spread > 0 else None,
    )


def reliability(predicted: ArrayLike, came_true: ArrayLike, bins: int = BINS) -> Reliability:
    """Predictions sorted and cut into bins of equal mass; with fewer predictions, fewer bins."""
    p, y = np.asarray(predicted, np.float64), np.asarray(came_true, np.float64)
    parts = [part for part in np.array_split(np.argsort(p, kind="stable"), bins) if len(part)]
    return Reliability(
        np.array([p[part].mean() for part in parts]),
        np.array([y[part].mean() for part in parts]),
        np.array([len(part) for part in parts]),
    )


def calibration_error(predicted: ArrayLike, came_true: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: mean |predicted − observed| over bins, by their mass.

    Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
    AAAI 2015, with bins of equal mass.
    """
    found = reliability(predicted, came_true, bins)
    return float(np.average(np.abs(found.predicted - found.observed), weights=found.counts))


def auroc(predicted: ArrayLike, came_true: ArrayLike) -> float | None:
    """Area under the receiver's curve by ranks, ties counting half; None where all are alike."""
    p, y = np.asarray(predicted, np.float64), np.asarray(came_true, np.bool_)
    positives, negatives = int(y.sum()), int((~y).sum())
    if not positives or not negatives:
        return None
    _, places, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    above = ranks[y].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))
