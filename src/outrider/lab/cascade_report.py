"""The report on a cascade: what the ladder is worth, where questions end, and what λ means."""

from __future__ import annotations

import math
from typing import Final

from outrider.lab.cascade_figures import Curve, CurvePoint, Evaluation
from outrider.lab.pages import Section, Table
from outrider.lab.statistics import Interval
from outrider.strategies.cascade.predictor import COMPLEXITIES

ENOUGH_BETTER: Final = 0.15
"""How far the last stage should be above the first for a ladder to be worth climbing."""

ROWS: Final = 16
"""Values of λ in the table of what they mean, at most."""

WELL_CALIBRATED: Final = 0.05
"""The calibration error up to which a predictor's probabilities can be taken at their word."""


def sections(evaluation: Evaluation, *, pictures: bool) -> list[Section]:
    """The report's parts; with pictures where matplotlib is installed."""
    return [
        _summary(evaluation),
        _frontier(evaluation, pictures),
        _stages(evaluation),
        _worth(evaluation, pictures),
        _stopping(evaluation, pictures),
        _predictor(evaluation, pictures),
    ]


# ------------------------------------------------------------------------- what it says


def _summary(e: Evaluation) -> Section:
    tasks = ", ".join(f"{count} of {name}" for name, count in e.tasks.items())
    texts = "" if e.distinct == e.questions else f", {e.distinct} different texts among them"
    words = [
        f"{e.questions} questions whose texts nothing was fitted to ({tasks}{texts}); {e.trained} "
        f"others trained predictor and policies. Costs are in {e.unit}. Intervals are 95%, by a "
        "paired bootstrap over texts."
    ]
    return Section("In short", [*words, *verdicts(e)])


def verdicts(e: Evaluation) -> list[str]:
    """What the figures come to, in sentences."""
    first, last = e.stages[0], e.stages[-1]
    best = max(e.stages, key=lambda s: s.accuracy.value)
    apart = last.accuracy.value - first.accuracy.value
    said = []
    if apart >= ENOUGH_BETTER:
        said.append(
            f"The ladder climbs: {last.name!r} is right {_points(apart)} more often than "
            f"{first.name!r} ({_share(last.accuracy)} against {_share(first.accuracy)})."
        )
    else:
        said.append(
            f"No ladder of {ENOUGH_BETTER * 100:.0f} points was found here: {last.name!r} is right "
            f"{_share(last.accuracy)}, {first.name!r} {_share(first.accuracy)}, {_points(apart)} "
            f"apart; the best single stage is {best.name!r}."
        )
    curve = e.curve(e.steered)
    said.append(_beats(e, curve))
    over = curve.over_threshold
    figures = f"AIQ {curve.aiq.value:.3f} against {e.curve('threshold').aiq.value:.3f}"
    span = f"[{_signed(over.low or 0.0)}, {_signed(over.high or 0.0)}] points"
    if (over.low or 0.0) > 0:
        said.append(
            f"Over all costs it is right {_more(over.value)} than a simple threshold on the same "
            f"scores ({figures}, {span})."
        )
    else:
        said.append(
            f"Over all costs it does not beat a simple threshold on the same scores ({figures}, "
            f"{span})."
        )
    mixing = curve.over_mixing
    low, high = mixing.low or 0.0, mixing.high or 0.0
    chance = ", which chance could be" if low <= 0 <= high else ""
    said.append(
        f"Over all costs it is right {_more(mixing.value)} than mixing single stages "
        f"[{_signed(low)}, {_signed(high)}]{chance}."
    )
    lost = [row.name for row in e.predictors if not _above_keywords(row.quality, row.baseline)]
    said.append(
        "The predictor ranks answers better than length and key words do, before and after every "
        "stage."
        if not lost
        else f"The predictor ranks no better than length and key words do {' and '.join(lost)}."
    )
    return said


def wished(e: Evaluation) -> list[str]:
    """How a wish that training met does here; nothing without one."""
    if e.wished is None:
        return []
    was, now = e.wished.trained, e.wished.found
    return [
        f"Asked for {e.wished.wish}: λ = {_cost(was.worth)} had, in training, "
        f"{was.quality:.1%} right at {_cost(was.cost)} {e.unit} a question, with {was.early:.0%} "
        f"ended before the last stage; here it is {_share(now.quality)} right at "
        f"{_cost(now.cost)} {e.unit}, with {now.early:.0%} ended early."
    ]


def _above_keywords(found: object, baseline: object) -> bool:
    mine, theirs = getattr(found, "auroc", None), getattr(baseline, "auroc", None)
    return mine is not None and (theirs is None or mine > theirs)


def _beats(e: Evaluation, curve: Curve) -> str:
    """How a policy stands beside mixing, at the setting that was chosen in training."""
    gain = curve.gain
    low, high = gain.low or 0.0, gain.high or 0.0
    cost = next(p.cost for p in curve.points if p.setting == curve.chosen)
    dearest = max(stage.cost for stage in e.stages)
    beyond = ", more than any single stage" if cost > dearest else ""
    found = (
        f"{curve.name!r} at the λ chosen in training ({_cost(cost)} {e.unit} a question{beyond}) "
        f"is right {_more(gain.value)} than the best mixture of single stages of that cost "
        f"[{_signed(low)}, {_signed(high)}]"
    )
    if low > 0:
        return f"{found}."
    return f"{found}: mixing is better." if high < 0 else f"{found}, which chance could be."


def _frontier(e: Evaluation, pictures: bool) -> Section:
    part = Section("Quality against cost")
    if pictures:
        from outrider.lab.cascade_plots import frontier  # noqa: PLC0415

        part.pictures.append(frontier(e))
    low, high = e.stages[0].cost, e.everything.cost
    part.words.append(
        f"AIQ is the mean quality over costs from {_cost(low)} (the first stage alone) to "
        f"{_cost(high)} (all stages): the area under the upper hull. APGR is the share of the "
        "quality between the first and the best stage that is recovered, averaged over shares of "
        "the cost between them; mixing the two at random has 0.5. The gain is measured at the λ or "
        "threshold that was furthest above mixing in training."
    )
    rows = [
        (
            curve.name,
            _plain(curve.aiq),
            "–" if curve.apgr is None else f"{curve.apgr:.2f}",
            f"{_signed(curve.gain.value)} [{_signed(curve.gain.low or 0)}, "
            f"{_signed(curve.gain.high or 0)}]",
        )
        for curve in e.curves
    ]
    rows.append(("mixing single stages", _plain(e.mixing_aiq), "0.50", "0"))
    part.tables.append(Table(("policy", "AIQ", "APGR", "gain over mixing, points"), tuple(rows)))
    part.tables.append(
        Table(
            ("reference", "cost", "right"),
            (
                ("all stages, best answer", _cost(e.everything.cost), _share(e.everything.quality)),
                ("oracle", _cost(e.oracle.cost), _share(e.oracle.quality)),
            ),
        )
    )
    return part


def _stages(e: Evaluation) -> Section:
    part = Section("Every stage alone")
    part.words.append(
        "Milliseconds are "
        + "; ".join(dict.fromkeys(f"{row.source}" for row in e.stages))
        + ", loading not included. A model of 0 bytes is a server's."
    )
    part.tables.append(
        Table(
            ("stage", "right", "latency, ms", f"cost, {e.unit}", "tokens", "size, MB", "load, s"),
            tuple(
                (
                    row.name,
                    _share(row.accuracy),
                    f"{row.ms:,.0f}",
                    _cost(row.cost),
                    f"{row.tokens:.0f}",
                    f"{row.size / 1e6:.0f}",
                    "–" if row.loading_s is None else f"{row.loading_s:.1f}",
                )
                for row in e.stages
            ),
        )
    )
    names = tuple(row.name for row in e.stages)
    part.tables.append(
        Table(
            ("questions", "number", *names),
            tuple(
                (
                    group,
                    f"{found['questions']:.0f}",
                    *(f"{found[name]:.0%}" for name in names),
                )
                for group, found in e.levels.items()
            ),
        )
    )
    return part


def _worth(e: Evaluation, pictures: bool) -> Section:
    part = Section("What λ means")
    one = e.preferences["balanced"]
    part.words.append(
        f"λ is what one more right answer is worth, in {e.unit}: with λ = {_cost(one.setting)}, "
        f"another stage is asked where it is expected to cost less than {_cost(one.setting)} times "
        "the chance that it makes a wrong answer right. At 0 the first stage always answers; "
        "at infinity all are asked."
    )
    part.words += wished(e)
    if pictures:
        from outrider.lab.cascade_plots import worth_plot  # noqa: PLC0415

        part.pictures.append(worth_plot(e))
    part.tables.append(
        Table(
            ("preference", "λ", f"cost, {e.unit}", "right", "ends early"),
            tuple((name, *_point(point)) for name, point in e.preferences.items()),
        )
    )
    points = e.curve(e.steered).points
    told = [p for p, before in zip(points, (None, *points), strict=False) if _differs(p, before)]
    chosen = [*told[: -1 : 1 + len(told) // ROWS], told[-1]]
    part.tables.append(
        Table(
            ("policy", "λ", f"cost, {e.unit}", "right", "ends early"),
            tuple((e.steered, *_point(point)) for point in chosen),
        )
    )
    return part


def _stopping(e: Evaluation, pictures: bool) -> Section:
    part = Section("Where questions end, by complexity")
    part.words.append(
        "Complexity is what the predictor makes of the question before any answer: simple, medium "
        "and complex are the thirds of the training questions by the first stage's chances."
    )
    if pictures:
        from outrider.lab.cascade_plots import stopping_stages  # noqa: PLC0415

        part.pictures.append(stopping_stages(e))
    names = tuple(row.name for row in e.stages)
    rows = [
        (
            _cost(worth),
            name,
            f"{cell.questions}",
            f"{cell.ms:,.0f}",
            _cost(cell.cost),
            "–" if cell.quality is None else f"{cell.quality:.1%}",
            *(f"{share:.0%}" for share in cell.shares),
        )
        for worth, cells in e.grid.items()
        for name in (*COMPLEXITIES, "all")
        for cell in [cells[name]]
    ]
    head = ("λ", "complexity", "questions", "latency, ms", f"cost, {e.unit}", "right", *names)
    part.tables.append(Table(head, tuple(rows)))
    return part


def _predictor(e: Evaluation, pictures: bool) -> Section:
    part = Section("The quality predictor")
    worst = max(row.quality.ece for row in e.predictors)
    calibrated = "within" if worst <= WELL_CALIBRATED else "above"
    part.words.append(
        f"Regressor: {e.regressor}. Every text counts once. ECE is the calibration error over ten "
        f"bins of equal mass; the greatest is {worst:.3f}, {calibrated} {WELL_CALIBRATED}. The "
        "last two columns are the same figures of length and key words alone."
    )
    if pictures:
        from outrider.lab.cascade_plots import reliability_plots  # noqa: PLC0415

        part.pictures.append(reliability_plots(e))
    rows = tuple(
        (
            row.name,
            f"{row.quality.questions}",
            f"{row.quality.base_rate:.1%}",
            f"{row.quality.brier:.4f}",
            f"{row.quality.ece:.3f}",
            _maybe(row.quality.auroc),
            _maybe(row.quality.r2),
            _maybe(row.baseline.auroc),
            f"{row.baseline.brier:.4f}",
        )
        for row in e.predictors
    )
    head = ("", "questions", "right", "Brier", "ECE", "AUROC", "R²", "AUROC, words", "Brier, words")
    part.tables.append(Table(head, rows))
    return part


def _differs(point: CurvePoint, before: CurvePoint | None) -> bool:
    """Whether a λ does anything else than the one before it; infinity is told in any case."""
    return before is None or point.cost != before.cost or math.isinf(point.setting)


def _point(point: CurvePoint) -> tuple[str, ...]:
    return (
        _cost(point.setting),
        _cost(point.cost),
        _share(point.quality),
        f"{point.early:.0%}",
    )


def _cost(value: float) -> str:
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _share(found: Interval) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:.1%}"
    return f"{found.value:.1%} [{found.low * 100:.1f}, {found.high * 100:.1f}]"


def _plain(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low or 0:.3f}, {found.high or 0:.3f}]"


def _points(share: float) -> str:
    return f"{share * 100:.1f} points"


def _more(share: float) -> str:
    return f"{_points(abs(share))} {'more' if share >= 0 else 'less'} often"


def _signed(share: float) -> str:
    # Adding nothing makes a rounded −0 a 0.
    return f"{round(share * 100, 1) + 0.0:+.1f}"


def _maybe(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
