from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from strategies.thinking.scripted import Scripted

from outrider.errors import OutriderError, UsageError
from outrider.lab import thinking_bench
from outrider.lab.thinking_bench import Answer, Arm, Setup, compare, describe, measure, room
from outrider.lab.thinking_record import Journal, default_output, record, sidecar, write
from outrider.strategies.thinking import ThinkingConfig
from outrider.tasks import Grade, Problem, Task
from outrider.types import Completion, Request, Sampling, Usage

PROBLEMS = tuple(Problem(id=str(i), question=f"Q{i}", answer="4") for i in range(2))
CONFIG = ThinkingConfig(probe_tokens=3, small_template="plain", large_template="plain")


def grader(problem: Problem, text: str) -> Grade:
    return Grade(text.rstrip(".").endswith(str(problem.answer)), text[-2:], "")


def setup(small: Scripted, large: Scripted, **changes: Any) -> Setup:
    made = Setup(
        task=Task("sums", PROBLEMS, "{question}", grader),
        runs=1,
        config=CONFIG,
        sampling=Sampling(temperature=0.6, seed=1),
        max_tokens=50,
        models={"small": small, "large": large},
    )
    return replace(made, **changes)


def answer(arm: Arm, problem: int, **changes: Any) -> Answer:
    values: dict[str, Any] = {
        "run": 0,
        "latency": 2.0,
        "total_tokens": 10,
        "large_tokens": 10,
        "nominal_large_tokens": 10,
        "validations": 0,
        "generated_tokens": 10,
        "rejected_tokens": 0,
        "correct": True,
        "extracted": "4",
        "finish_reason": "stop",
        "small_seconds": 0.0,
        "large_seconds": 2.0,
    }
    return Answer(arm=arm, problem=problem, **{**values, **changes})


def test_both_arms_answer_every_problem_in_turn() -> None:
    small = Scripted(["One.\n\nWait, is it", " is 5.", "It is 4."])
    large = Scripted(["It is 4.", "I say it", "It is 5."])
    arms = thinking_bench.MODES["both"]
    found = list(measure(setup(small, large), arms))
    assert [(a.arm, a.problem) for a in found] == [
        ("large_model", 0),
        ("speculative_thinking", 0),
        ("speculative_thinking", 1),
        ("large_model", 1),
    ]
    assert [a.correct for a in found] == [True, False, True, False]
    pair = found[1]
    assert (pair.total_tokens, pair.large_tokens, pair.validations) == (7, 3, 1)
    assert (pair.generated_tokens, pair.rejected_tokens) == (10, 3)
    assert pair.large_model_ratio == pytest.approx(3 / 7)
    assert pair.rejected_share == pytest.approx(0.3)
    assert 0 <= pair.orchestration_share <= 1
    # The arms share a problem's seed as far as one model is asked; another problem has another.
    first, *_ = [r.sampling.seed for r in large.requests]
    assert large.requests[0].prompt == "Q0\n\n"
    assert first != large.requests[2].sampling.seed


def test_what_is_there_is_not_measured_again() -> None:
    small, large = Scripted(["It is 4."]), Scripted([])
    done = [answer("small_model", 0)]
    found = list(measure(setup(small, large), ("small_model",), done))
    assert [(a.arm, a.problem) for a in found] == [("small_model", 1)]
    assert found[0].large_tokens == 0


def test_a_model_that_fails_ends_the_measurement() -> None:
    class Failing(Scripted):
        def generate(self, request: Request) -> Completion:
            done = super().generate(request)
            bad = replace(done.choices[0], finish_reason="error", error="out of luck")
            return replace(done, choices=(bad,))

    with pytest.raises(OutriderError, match="Problem 0: out of luck"):
        list(measure(setup(Scripted([]), Failing(["x"])), ("large_model",)))


class Bounded(Scripted):
    context = 40

    def generate(self, request: Request) -> Completion:
        done = super().generate(request)
        choice = replace(done.choices[0], usage=Usage(prompt_tokens=8, completion_tokens=1))
        return replace(done, choices=(choice,))


def test_answers_are_clipped_to_what_the_contexts_hold() -> None:
    small, large = Scripted(["x"]), Bounded(["x"])
    assert room(setup(small, large), ("speculative_thinking",)) == 32
    assert room(setup(Scripted(["x"]), Bounded([])), ("small_model",)) == 50
    assert room(setup(small, Bounded(["x"]), max_tokens=9), ("large_model",)) == 9


def test_figures_of_values() -> None:
    assert describe([3.0]) == {"mean": 3.0, "median": 3.0, "std": 0.0, "min": 3.0, "max": 3.0}
    found = describe([1.0, 2.0, 6.0])
    assert (found["mean"], found["median"], found["std"]) == (3.0, 2.0, pytest.approx(7**0.5))


def both(*pair: Answer) -> Sequence[Answer]:
    return [*(answer("large_model", p) for p in range(len(pair))), *pair]


def test_the_comparison() -> None:
    pair = answer("speculative_thinking", 0, latency=1.0, total_tokens=20, large_tokens=5)
    wrong = replace(pair, problem=1, correct=False, latency=0.5)
    found = compare(both(pair, wrong))
    assert found is not None
    assert found.speedup == pytest.approx(2.0 / 0.75)
    assert found.throughput_improvement == pytest.approx((20 + 40) / 2 / 5)
    assert found.large_model_reduction == pytest.approx(0.75)
    assert found.accuracy_difference.value == -0.5
    interval = found.speedup_interval
    assert interval is not None
    assert interval.value == pytest.approx(found.speedup)
    assert interval.low == pytest.approx(2.0)
    assert interval.high == pytest.approx(4.0)
    assert found.pace_interval is not None
    assert found.pace_interval.value == pytest.approx(40 / 1.5 / 5)
    assert compare([pair]) is None


def config(**changes: Any) -> dict[str, Any]:
    return {"target_model": "L", "speculative_model": "S", "num_runs": 1, "tuple": (1,), **changes}


def test_the_record_opens_as_users_know_it(tmp_path: Path) -> None:
    answers = both(answer("speculative_thinking", 0, latency=1.0, large_tokens=4))
    file = tmp_path / "results" / "out.json"
    write(file, record(config(), answers, "20260105_143022"))
    results = json.loads(file.read_text())
    assert list(results)[:2] == ["timestamp", "config"]
    assert results["large_model"]["statistics"]["latency"]["mean"] == 2.0
    assert results["speculative_thinking"]["statistics"]["latency"]["mean"] == 1.0
    assert results["comparison"]["speedup"] == 2.0
    assert results["comparison"]["large_model_reduction"] == pytest.approx(0.6)
    assert results["large_model"]["results"]["latency"] == [2.0]
    assert results["speculative_thinking"]["results"]["large_model_ratio"] == [0.4]
    assert results["small_model"] is None
    for arm in ("large_model", "speculative_thinking"):
        for metric in results[arm]["statistics"].values():
            assert set(metric) == {"mean", "median", "std", "min", "max"}


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    first = Journal(file, config(), ("large_model",))
    first.add(answer("large_model", 0))
    with sidecar(file).open("a") as lines:
        lines.write('{"arm": "large_mo')  # cut off in the middle of a line
    again = Journal(file, config(), ("large_model",))
    assert again.answers == [answer("large_model", 0)]
    assert again.resumed == 1
    again.add(answer("large_model", 1))
    assert [a.problem for a in Journal(file, config(), ("large_model",)).answers] == [0, 1]
    with pytest.raises(UsageError, match="num_runs was 1 and is 2"):
        Journal(file, config(num_runs=2), ("large_model",))
    write(file, record(config(), again.answers, "now"))
    assert not sidecar(file).exists()


def test_one_mode_after_the_other_gives_one_comparison(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    write(file, record(config(), [answer("large_model", 0, extracted=None)], "now"))
    journal = Journal(file, config(), ("speculative_thinking",))
    assert journal.answers == [answer("large_model", 0, extracted=None)]
    journal.add(answer("speculative_thinking", 0, latency=1.0))
    assert record(config(), journal.answers, "then")["comparison"]["speedup"] == 2.0

    with pytest.raises(UsageError, match="holds the arm large_model already"):
        Journal(file, config(), ("large_model",))
    with pytest.raises(UsageError, match="other settings"):
        Journal(file, config(target_model="M"), ("speculative_thinking",))
    for content in ("no JSON", "[]", '{"config": {}, "large_model": {"results": {}}}'):
        file.write_text(content)
        with pytest.raises(UsageError, match=r"no benchmark|other settings"):
            Journal(file, config(), ("speculative_thinking",))


def test_the_file_of_a_user_who_names_none() -> None:
    from datetime import datetime

    path = default_output(datetime(2026, 1, 5, 14, 30, 22))
    assert path == Path("benchmark_results/speedup_benchmark_20260105_143022.json")
