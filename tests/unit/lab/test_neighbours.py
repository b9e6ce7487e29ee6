"""Neighbours of speculation over the toy engine: asked as they say, told as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.toy_model import toy_llm
from lab.toy_runs import made, planned, toy_run, toy_setup

from outrider.errors import UsageError
from outrider.lab import report, runs
from outrider.lab.experiments.neighbours import PARTS
from outrider.lab.neighbours.batching import CONTINUOUS, PROMPTS, STATIC, STREAMS, lanes
from outrider.lab.neighbours.part import MS
from outrider.lab.neighbours.prefill import DECODING, WHOLE
from outrider.lab.neighbours.prefixes import FIRST, SEPARATE, SHARED
from outrider.lab.records import Measurement
from outrider.lab.run_folder import RunFolder

MANY = 12
"""Prompts: so many that parts with a group at every second one have six groups."""

ANSWER = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return toy_run(tmp_path_factory.mktemp("lab") / "run", "neighbours", prompts=MANY)


def of(folder: RunFolder, arm: str) -> list[Measurement]:
    return [m for m in folder.measurements() if m.arm == arm]


def valued(folder: RunFolder, path: Path, factors: Mapping[str, float]) -> RunFolder:
    """The same run with made-up milliseconds: 100, or that times an arm's factor."""
    copy = RunFolder.create(path, folder.description, folder.prompts())
    lines = []
    for measurement in folder.measurements():
        line = json.loads(measurement.line())
        wobble = 1.0 + 0.01 * (line["group"] % 3)
        for key in ("ms", "latency_ms", "first_token_ms"):
            if key in line["values"]:
                line["values"][key] = 100.0 * wobble * factors.get(line["arm"], 1.0)
        lines.append(json.dumps(line))
    (path / "measurements.jsonl").write_text("\n".join(lines) + "\n")
    return copy


def test_every_cell_is_measured_once_and_every_prompt_takes_part(folder: RunFolder) -> None:
    assert made(folder) == planned(folder)
    assert len(set(made(folder))) == len(made(folder))
    for arm in {m.arm for m in folder.measurements()}:
        asked = {s.prompt for m in of(folder, arm) for s in m.samples}
        assert asked == set(range(MANY)), arm


def test_a_cached_prefix_is_found_and_another_is_not(folder: RunFolder) -> None:
    cold = [s for m in of(folder, "prefix of 32") for s in m.samples]
    cached = [s for m in of(folder, "prefix of 32, cached") for s in m.samples]

    assert {s.usage.cached_tokens for s in cold} == {0}
    assert all(s.usage.cached_tokens >= 32 for s in cached)
    assert [s.prompt_tokens for s in cold] == [s.prompt_tokens for s in cached]


def test_the_same_answers_run_in_batches_or_as_there_is_room(folder: RunFolder) -> None:
    for static, continuous in zip(of(folder, STATIC), of(folder, CONTINUOUS), strict=True):
        assert static.group == continuous.group
        assert [s.tokens for s in static.samples] == [s.tokens for s in continuous.samples]
        assert len(static.samples) == PROMPTS
        ended = max(end for _, end in static.values["spans"][:STREAMS])
        assert all(begin >= ended for begin, _ in static.values["spans"][STREAMS:])
    running = [sum(end for _, end in m.values["spans"]) for m in of(folder, CONTINUOUS)]
    assert all(value > 0 for value in running)
    lengths = {s.count for m in of(folder, STATIC) for s in m.samples}
    assert lengths == {3, 6, ANSWER}


def test_a_document_is_shared_where_it_has_been_read(folder: RunFolder) -> None:
    found = {
        arm: [[s.usage.cached_tokens for s in m.samples] for m in of(folder, arm)]
        for arm in (SEPARATE, SHARED, FIRST)
    }

    assert all(set(each) == {0} for each in (*found[SEPARATE], *found[SHARED]))
    for first, *others in found[FIRST]:
        assert first == 0
        assert all(cached >= 60 for cached in others)
    separate = of(folder, SEPARATE)[0].samples
    assert len({s.prompt_tokens[:8] for s in separate}) == len(separate)


def test_a_long_prompt_comes_while_others_answer(folder: RunFolder) -> None:
    for measurement in of(folder, WHOLE):
        *others, newcomer = measurement.samples
        assert len(others) == DECODING
        waits = [ms for s in others for each in s.passes.values() for ms in each]
        assert measurement.values[MS] == pytest.approx(max(waits), abs=0.001)  # as it is kept
        assert all(sum(map(len, s.passes.values())) == s.count - 1 for s in others)
        assert len(newcomer.prompt_tokens) > 48
        assert newcomer.count == 1


def test_a_picture_needs_no_more_lanes_than_run_at_a_time(folder: RunFolder) -> None:
    for measurement in (*of(folder, STATIC), *of(folder, CONTINUOUS)):
        assert max(lanes(measurement.values["spans"])) < STREAMS


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=20))
def test_lanes_hold_one_at_a_time_and_are_as_few_as_can_be(found: list[tuple[int, int]]) -> None:
    spans = [(begin, begin + length) for begin, length in found]

    placed = lanes(spans)

    for lane in set(placed):
        own = sorted(span for span, at in zip(spans, placed, strict=True) if at == lane)
        assert all(a[1] <= b[0] for a, b in pairwise(own))
    busiest = max((sum(b <= t < e for b, e in spans) for t, _ in spans), default=0)
    assert len(set(placed)) == busiest


def test_advice_is_given_where_the_measurements_show_it(folder: RunFolder, tmp_path: Path) -> None:
    slower = {CONTINUOUS: 1.3, FIRST: 1.2, "prefix of 32, cached": 1.1, "chunks of 64": 2.0}
    faster = {arm: 1.0 / factor for arm, factor in slower.items()}
    told = []
    for name, factors in (("slower", slower), ("faster", faster), ("alike", {})):
        _, (chapter,) = report.write(valued(folder, tmp_path / name, factors))
        told.append((len(chapter.evidence.advice), " ".join(chapter.section.findings)))

    assert [count for count, _ in told] == [0, 4, 0]
    assert "Continuous batching is slower than static batches of 4" in told[0][1]
    assert "Continuous batching is 1.30 (1.30–1.30) times as fast" in told[1][1]
    assert "whether it is faster is undecided" in told[2][1]
    assert all("answered alike, token for token" in text for _, text in told)


def test_an_answer_that_differs_is_named(folder: RunFolder, tmp_path: Path) -> None:
    copy = valued(folder, tmp_path / "run", {})
    path = copy.path / "measurements.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    line = next(line for line in lines if line["arm"] == CONTINUOUS)
    line["samples"][0]["tokens"][0] += 1
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    _, (chapter,) = report.write(copy)

    assert chapter.section.findings[-1] == f"Answers differ where they must not: {CONTINUOUS}."


def test_half_a_run_is_told_of_what_all_arms_have(folder: RunFolder, tmp_path: Path) -> None:
    copy = valued(folder, tmp_path / "run", {})
    path = copy.path / "measurements.jsonl"
    lines = path.read_text().splitlines(keepends=True)

    for kept in range(1, len(lines), 7):
        path.write_text("".join(lines[:kept]))
        _, (chapter,) = report.write(copy)
        assert chapter.section.findings


def test_a_context_without_room_is_refused(tmp_path: Path) -> None:
    with toy_llm() as llm, pytest.raises(UsageError, match="needs a context of at least 64"):
        runs.begin(tmp_path / "run", llm, ["neighbours"], toy_setup(context=40), {})


def test_without_quick_more_is_varied() -> None:
    few, many = (
        [arm.name for part in PARTS for arm in part.arms(toy_setup(quick=quick, context=8192))]
        for quick in (True, False)
    )
    assert set(few) < set(many)
    assert "prefix of 2048" in many
    assert "chunks of 32" in many
