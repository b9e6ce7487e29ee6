"""λ, and the policy that it steers: what a caller wants, and what that comes to in training."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields

from outrider.errors import UsageError
from outrider.strategies.cascade.curve import (
    Point,
    for_budget,
    for_early_stops,
    for_preference,
    for_quality,
    points_of,
    sweep,
    table_of,
)
from outrider.strategies.cascade.policies import FAMILIES, Policy, Scores, best_answer
from outrider.strategies.cascade.predictor import Predictor
from outrider.strategies.cascade.settings import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a user wants of the trade, one at most; nothing is the preference `balanced`.

    Attributes:
        worth: λ itself, in units of cost a right answer.
        budget: the mean cost of a question, at most.
        quality: the share of right answers, at least.
        early_stop_rate: the share of questions that end before the last stage, at least.
        preference: fast, balanced or best.
    """

    worth: float | None = None
    budget: float | None = None
    quality: float | None = None
    early_stop_rate: float | None = None
    preference: str | None = None

    def __post_init__(self) -> None:
        given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        if len(given) > 1:
            raise UsageError(f"Give one of {' and '.join(given)}; each of them settles λ.")
        for name in ("quality", "early_stop_rate"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"{name} is a share from 0 to 1, not {value!r}.")

    @property
    def words(self) -> str:
        """What is wished, such as "budget 60"; empty where nothing is."""
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if value is not None:
                shown = f"{value:g}" if isinstance(value, float | int) else value
                return f"{'λ' if name == 'worth' else name.replace('_', ' ')} {shown}"
        return ""

    def worth_in(self, points: Sequence[Point], unit: str) -> float:
        """The λ that meets it on a sweep.

        Raises:
            UsageError: none does.
        """
        if self.worth is not None:
            return self.worth
        if self.budget is not None:
            return for_budget(points, self.budget, unit).worth
        if self.quality is not None:
            return for_quality(points, self.quality).worth
        if self.early_stop_rate is not None:
            return for_early_stops(points, self.early_stop_rate).worth
        return for_preference(points, self.preference or "balanced").worth


class TrainedPolicy:
    """A policy with what it decides by: a trained predictor, and λ.

    Attributes:
        predictor: scores questions and answers.
        family: of the policy.
        worth: λ, in units of cost a right answer.

    Args:
        predictor: as given.
        family: stopping, routing, learned or pandora.
        wish: what settles λ.

    Raises:
        UsageError: there is no such family, or the wish cannot be met.
    """

    def __init__(
        self, predictor: Predictor, family: str = "stopping", wish: Wish | None = None
    ) -> None:
        self.predictor = predictor
        self.family = family
        training = predictor.training
        self._table = table_of(training, predictor.bins)
        self._points = points_of(sweep(family, self._table, training, training))
        self.worth = self._worth(wish or Wish())
        self._known: dict[float, Policy] = {}
        self._lock = threading.Lock()

    @property
    def expected(self) -> Point:
        """The point of the training's sweep that is nearest to λ: what to expect."""
        return min(self._points, key=lambda p: abs(_log(p.worth) - _log(self.worth)))

    @property
    def fingerprint(self) -> str:
        """Changes with the training, the family and λ."""
        data = sorted(self.predictor.data)
        return digest([data, self.predictor.kind, self.family, str(self.worth)])

    def worth_for(self, preference: str | None) -> float:
        """λ for one question; without a preference, the policy's own.

        Raises:
            UsageError: there is no such preference.
        """
        return self.worth if preference is None else self._worth(Wish(preference=preference))

    def at(self, worth: float) -> Policy:
        """What decides from scores, for one λ; fitted once."""
        with self._lock:
            if worth not in self._known:
                fit = FAMILIES[self.family]
                self._known[worth] = fit(self._table, self.predictor.training, worth)
            return self._known[worth]

    def best(self, scores: Scores) -> int:
        """The stage whose answer is given out."""
        return best_answer(self._table, scores)

    def _worth(self, wish: Wish) -> float:
        return wish.worth_in(self._points, self.predictor.unit)


def _log(worth: float) -> float:
    """λ on the scale of a sweep, its ends included."""
    return math.log(min(max(worth, 1e-12), 1e12))
