"""Probabilities from features: fitted by scikit-learn, kept as plain numbers, computed by numpy.

A fitted model is a JSON value, not a pickle: a predictor from elsewhere can be wrong, but it cannot
run code, and answering needs no scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from outrider.errors import UsageError

Array = NDArray[np.float64]

ENOUGH_FOR_ISOTONIC: Final = 1000
"""Points from which on the isotonic calibration is better than Platt's (Niculescu-Mizil and
Caruana, "Predicting good probabilities with supervised learning", ICML 2005)."""

MOST_LOG_ODDS: Final = 20.0
"""No probability is closer to 0 or 1 than two in a thousand million."""

TREES: Final = {"n_estimators": 120, "max_depth": 3, "learning_rate": 0.05, "subsample": 0.7}


def check() -> None:
    """Raise where scikit-learn is not installed.

    Raises:
        UsageError: it is not.
    """
    if find_spec("sklearn") is None:
        raise UsageError(
            "Training a predictor needs scikit-learn, which is not installed; "
            "`pip install 'outrider[cascade]'` brings it."
        )


@dataclass(frozen=True, slots=True)
class Inputs:
    """How features become columns: scaled, with a column for each that may be missing.

    Attributes:
        mean: of each feature over the questions that have it.
        scale: its standard deviation, 1 where it never differs.
        missing: the features that some questions lack; each gets a column that says so.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    missing: tuple[int, ...]

    @classmethod
    def fit(cls, x: Array) -> Self:
        """Mean, scale and gaps of float64[questions, features]."""
        known = np.isfinite(x)
        counts = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, x, 0.0).sum(axis=0) / counts
        scale = np.sqrt(np.where(known, (x - mean) ** 2, 0.0).sum(axis=0) / counts)
        scale[scale < 1e-9] = 1.0
        gaps = np.flatnonzero(~known.all(axis=0))
        return cls(tuple(mean.tolist()), tuple(scale.tolist()), tuple(map(int, gaps)))

    def columns(self, x: Array) -> Array:
        """float64[questions, features + missing]; what is missing stands at the mean."""
        filled = np.where(np.isfinite(x), (x - self.mean) / self.scale, 0.0)
        gaps = (~np.isfinite(x[:, self.missing])).astype(np.float64)
        return np.hstack([filled, gaps])


@dataclass(frozen=True, slots=True)
class Tree:
    """A regression tree as arrays; a leaf has no feature (−1)."""

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]

    def values(self, columns: Array) -> Array:
        """The leaf's value for each row, float64[rows]."""
        feature, threshold = np.array(self.feature), np.array(self.threshold)
        left, right = np.array(self.left), np.array(self.right)
        node = np.zeros(len(columns), np.int64)
        while (inner := feature[node] >= 0).any():
            at = node[inner]
            # scikit-learn compares in 32 bits.
            seen = columns[inner, feature[at]].astype(np.float32)
            node[inner] = np.where(seen <= threshold[at], left[at], right[at])
        return np.asarray(np.array(self.value)[node])


@dataclass(frozen=True, slots=True)
class Model:
    """Log-odds from features, a sum of a constant, a linear part and trees.

    Attributes:
        inputs: how features become columns.
        constant: log-odds that do not depend on the features.
        linear: a weight for each column; empty without a linear part.
        trees: whose values are added, each times `rate`.
        rate: of the trees.
    """

    inputs: Inputs
    constant: float
    linear: tuple[float, ...] = ()
    trees: tuple[Tree, ...] = ()
    rate: float = 1.0

    def log_odds(self, x: Array) -> Array:
        """Before calibration, float64[questions] of float64[questions, features]."""
        columns = self.inputs.columns(x)
        found = np.full(len(x), self.constant)
        if self.linear:
            found += columns @ np.array(self.linear)
        for tree in self.trees:
            found += self.rate * tree.values(columns)
        return found

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The model that `record` was made of."""
        trees = tuple(Tree(**{k: tuple(v) for k, v in t.items()}) for t in values["trees"])
        inputs = Inputs(**{k: tuple(v) for k, v in values["inputs"].items()})
        return cls(
            inputs, values["constant"], tuple(values["linear"]), trees, float(values["rate"])
        )


def fit(kind: Literal["trees", "logistic"], x: Array, y: NDArray[np.bool_], seed: int) -> Model:
    """A model of the probability that y is true.

    Args:
        kind: gradient-boosted trees or a logistic regression.
        x: features, float64[questions, features]; not-a-number where one is missing.
        y: what came true, bool[questions].
        seed: of the boosting.
    """
    inputs = Inputs.fit(x)
    if y.all() or not y.any():
        # Laplace's rule: nothing is certain because it has not been seen otherwise.
        share = (y.sum() + 1) / (len(y) + 2)
        return Model(inputs, float(np.log(share / (1 - share))))
    columns = inputs.columns(x)
    if kind == "logistic":
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

        line = LogisticRegression(C=0.3, max_iter=2000).fit(columns, y)
        return Model(inputs, float(line.intercept_[0]), tuple(line.coef_[0].tolist()))
    from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415

    leaf = max(5, min(30, len(y) // 50))
    boosted = GradientBoostingClassifier(**TREES, min_samples_leaf=leaf, random_state=seed)
    boosted.fit(columns, y)
    trees = tuple(_tree(estimator.tree_) for (estimator,) in boosted.estimators_)
    bare = Model(inputs, 0.0, trees=trees, rate=boosted.learning_rate)
    # What boosting begins from is what its decision has beyond the trees.
    start = boosted.decision_function(columns[:1])[0] - bare.log_odds(x[:1])[0]
    return replace(bare, constant=float(start))


def _tree(tree: Any) -> Tree:
    return Tree(
        tuple(int(f) if f >= 0 else -1 for f in tree.feature),
        tuple(tree.threshold.tolist()),
        tuple(tree.children_left.tolist()),
        tuple(tree.children_right.tolist()),
        tuple(tree.value[:, 0, 0].tolist()),
    )


# ------------------------------------------------------------------------- calibration


@dataclass(frozen=True, slots=True)
class Calibration:
    """From log-odds to probabilities: Platt's line, or an isotonic step function.

    Attributes:
        slope: of Platt's line in log-odds.
        offset: of the same.
        x: log-odds between which the isotonic function is interpolated; empty for Platt's.
        y: its probabilities at them.
    """

    slope: float = 1.0
    offset: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    @property
    def method(self) -> str:
        """`isotonic` or `Platt`."""
        return "isotonic" if self.x else "Platt"

    def probabilities(self, log_odds: Array) -> Array:
        """Calibrated, float64 of the same shape."""
        if self.x:
            return np.asarray(np.interp(log_odds, self.x, self.y))
        line = np.clip(self.slope * log_odds + self.offset, -MOST_LOG_ODDS, MOST_LOG_ODDS)
        return np.asarray(1.0 / (1.0 + np.exp(-line)))

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The calibration that `asdict` was made of."""
        return cls(values["slope"], values["offset"], tuple(values["x"]), tuple(values["y"]))


def calibrate(log_odds: Array, y: NDArray[np.bool_]) -> Calibration:
    """Platt's line below `ENOUGH_FOR_ISOTONIC` points, an isotonic regression from there on.

    Args:
        log_odds: of questions that the model was not fitted to, float64[questions].
        y: what came true.
    """
    count, right = len(y), int(y.sum())
    if right in (0, count):
        share = (right + 1) / (count + 2)
        return Calibration(0.0, float(np.log(share / (1 - share))))
    if count < ENOUGH_FOR_ISOTONIC:
        return _platt(log_odds, y)
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415

    steps = IsotonicRegression(out_of_bounds="clip").fit(log_odds, y)
    edge = 1 / (count + 2)  # the ends of the steps are small samples, and none is certain
    values: Sequence[float] = np.clip(steps.y_thresholds_, edge, 1 - edge).tolist()
    return Calibration(x=tuple(steps.X_thresholds_.tolist()), y=tuple(values))


def _platt(log_odds: Array, y: NDArray[np.bool_]) -> Calibration:
    """Platt's line, fitted to targets that stay away from 0 and 1 by Laplace's rule.

    Platt, "Probabilistic outputs for support vector machines", 1999, section 2.2. Each point counts
    as right by its target and as wrong by the rest.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    right, wrong = int(y.sum()), int((~y).sum())
    target = np.where(y, (right + 1) / (right + 2), 1 / (wrong + 2))
    x = np.concatenate([log_odds, log_odds])[:, None]
    labels = np.repeat([True, False], len(y))
    weights = np.concatenate([target, 1 - target])
    line = LogisticRegression(C=1e3, max_iter=1000).fit(x, labels, weights)
    # A negative slope would say that the model is right where it doubts.
    return Calibration(max(float(line.coef_[0, 0]), 0.0), float(line.intercept_[0]))
