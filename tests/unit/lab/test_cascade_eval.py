from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from strategies.cascade.ladders import ladder, questions

from outrider.errors import UsageError
from outrider.lab.cascade_eval import evaluate, telling
from outrider.lab.cascade_figures import Evaluation
from outrider.lab.cascade_record import record
from outrider.lab.cascade_report import _signed, sections, verdicts
from outrider.lab.pages import markdown, page
from outrider.lab.statistics import Interval
from outrider.strategies.cascade.costs import stage_costs
from outrider.strategies.cascade.steering import Wish
from outrider.strategies.cascade.training import train


@pytest.fixture(scope="module")
def found() -> Evaluation:
    settings = ladder()
    known = questions(settings, 900)
    return evaluate(
        settings, train(known, settings, stage_costs(settings, {}, {})), known, sizes={"first": 5}
    )


def test_only_questions_that_training_left_out(found: Evaluation) -> None:
    assert found.questions + found.trained == 900
    assert found.tasks == {"made-up": found.questions}
    assert all(row.quality.questions == found.distinct for row in found.predictors)
    assert 0.9 * found.questions < found.distinct < found.questions
    settings = ladder()
    known = questions(settings, 300)
    predictor = train(known, settings, stage_costs(settings, {}, {}))
    changed = replace(settings.stages[0], max_tokens=3)
    other = replace(settings, stages=(changed, *settings.stages[1:]))
    with pytest.raises(UsageError, match="other settings"):
        evaluate(other, predictor, known)


def test_references_stand_where_they_must(found: Evaluation) -> None:
    first, last = found.stages[0], found.stages[-1]
    assert (first.cost, first.size, last.size) == (10.0, 5, 0)
    assert found.everything.cost == pytest.approx(310.0)
    assert found.everything.early == 0.0
    for row in found.stages:
        assert found.oracle.quality.value >= row.accuracy.value
        assert row.accuracy.low is not None
        assert row.accuracy.low < row.accuracy.value
    for curve in found.curves:
        assert curve.points[0].quality.value == first.accuracy.value
        assert curve.points[0].cost == first.cost
        assert found.oracle.quality.value >= max(p.quality.value for p in curve.points)
    assert {c.name for c in found.curves} == {
        "stopping", "routing", "learned", "pandora", "threshold",
    }  # fmt: skip


def test_stopping_pays_on_a_ladder_that_climbs(found: Evaluation) -> None:
    curve = found.curve("stopping")
    assert curve.gain.low is not None
    assert curve.gain.low > 0.0
    assert curve.aiq.value > found.mixing_aiq.value
    assert curve.apgr is not None
    assert curve.apgr > 0.5
    said = " ".join(verdicts(found))
    assert "The ladder climbs: 'third'" in said
    assert "which chance could be" not in said


def test_what_does_not_pay_is_said(found: Evaluation) -> None:
    flat = replace(found.stages[-1], accuracy=found.stages[0].accuracy)
    curves = tuple(
        replace(
            c,
            gain=Interval(0.01, -0.01, 0.03, 9),
            over_threshold=Interval(0.01, -0.01, 0.03, 9),
            over_mixing=Interval(-0.02, -0.03, -0.01, 9),
        )
        for c in found.curves
    )
    worse = tuple(replace(row, quality=row.baseline) for row in found.predictors)
    said = " ".join(
        verdicts(replace(found, stages=(*found.stages[:-1], flat), curves=curves, predictors=worse))
    )
    assert "No ladder of 15 points was found here" in said
    assert "which chance could be" in said
    assert "it does not beat a simple threshold on the same scores" in said
    assert "right 2.0 points less often than mixing single stages" in said
    assert "no better than length and key words do before any answer" in said


def test_the_grid_adds_up(found: Evaluation) -> None:
    for cells in found.grid.values():
        classes = [cells[name] for name in ("simple", "medium", "complex")]
        assert sum(c.questions for c in classes) == cells["all"].questions == found.questions
        for cell in cells.values():
            assert sum(cell.shares) == pytest.approx(1.0)
            assert cell.ms == pytest.approx(cell.cost)
    assert found.grid[0.0]["all"].shares == (1.0, 0.0, 0.0)
    assert found.preferences["fast"].cost <= found.preferences["best"].cost
    assert sum(group["questions"] for group in found.levels.values()) == found.questions


def test_a_wish_is_shown_on_questions_that_nothing_was_fitted_to() -> None:
    settings = ladder()
    known = questions(settings, 400)
    predictor = train(known, settings, stage_costs(settings, {}, {}))
    e = evaluate(settings, predictor, known, wish=Wish(budget=100.0))
    assert e.wished is not None
    was, now = e.wished.trained, e.wished.found
    assert was.worth == now.setting
    assert was.cost <= 100.0
    assert now.cost == pytest.approx(was.cost, rel=0.3)
    assert "Asked for budget 100: λ = " in markdown("Cascade", sections(e, pictures=False))


def test_the_record_is_json(found: Evaluation) -> None:
    values = json.loads(json.dumps(record(found), allow_nan=False))
    assert values["grid"]["0"]["all"]["shares"] == [1, 0, 0]
    assert values["curves"][0]["points"][-1]["setting"] == "infinity"
    assert values["oracle"]["setting"] is None
    assert "processor" in values["machine"]


def test_the_report_in_markdown(found: Evaluation) -> None:
    text = markdown("Cascade", sections(found, pictures=False))
    for heading in ("In short", "Quality against cost", "Every stage alone", "What λ means",
                    "Where questions end, by complexity", "The quality predictor"):  # fmt: skip
        assert f"## {heading}" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert any("| third |" in row for row in rows)
    assert any(row.startswith("| ∞ | complex |") for row in rows)
    assert "nan" not in text


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.refs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href"):
                self.refs.append(value or "")


def test_the_report_as_a_page(found: Evaluation) -> None:
    text = page("A & B", sections(found, pictures=True))
    read = Page()
    read.feed(text)
    assert read.tags.count("svg") == 4
    assert "<title>A &amp; B</title>" in text
    # It needs nothing else, and no picture takes another's parts.
    assert all(ref.startswith("#") for ref in read.refs)
    assert {ref[1:] for ref in read.refs} <= set(read.ids)
    assert len(read.ids) == len(set(read.ids))
    assert set(re.findall(r"url\(#([\w-]+)\)", text)) <= set(read.ids)
    assert "var(--ink)" in text
    assert "#1c1d21" not in text.partition("<body>")[2]
    colours = re.findall(r"(?:fill|stroke): (#\S+?)[;\"]", text)
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in colours)
    assert "prefers-color-scheme: dark" in text
    assert not math.isnan(found.oracle.cost)


def test_the_grid_shows_where_something_changes() -> None:
    first = np.array([[True, False, False]] * 4)
    swept = [(float(worth), first) for worth in range(20)]
    for number in range(1, 5):
        some = first.copy()
        some[:number, 1] = True
        swept.append((100.0 * number, some))
    swept.append((math.inf, swept[-1][1]))
    assert telling(swept, 9) == [0.0, 100.0, 200.0, 300.0, 400.0, math.inf]
    assert telling(swept, 3) == [0.0, 200.0, math.inf]
    assert telling(swept[:5], 9) == [0.0, 4.0]


def test_nothing_is_less_than_nothing() -> None:
    assert _signed(-0.0001) == _signed(0.0) == "+0.0"
    assert _signed(-0.0016) == "-0.2"
