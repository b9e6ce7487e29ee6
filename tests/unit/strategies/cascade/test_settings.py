from __future__ import annotations

from pathlib import Path

import pytest

from outrider.errors import UsageError
from outrider.strategies.cascade import CascadeSettings
from outrider.strategies.cascade.costs import StageCost, fit_line, stage_costs, weigh
from outrider.strategies.cascade.settings import Cost, Weights
from outrider.strategies.cascade.stage import Answer

YAML = """
memory: 600MB
tasks: [arithmetic]
cost: {ms: 1, tokens: 2.5}
predictor: {regressor: logistic, holdout: 0.25}
stages:
  - name: first
    max_tokens: 8
    stop: ["\\n"]
  - name: second
    style: examples
    cache: 64MiB
    cost: {money: 0.5}
    examples:
      - {question: "1 + 1?", answer: "2"}
"""
TOML = """
memory = "600MB"
tasks = ["arithmetic"]
cost = {ms = 1, tokens = 2.5}
predictor = {regressor = "logistic", holdout = 0.25}
[[stages]]
name = "first"
max_tokens = 8
stop = ["\\n"]
[[stages]]
name = "second"
style = "examples"
cache = "64MiB"
cost = {money = 0.5}
examples = [{question = "1 + 1?", answer = "2"}]
"""


def load(tmp_path: Path, text: str, name: str = "c.yml") -> CascadeSettings:
    path = tmp_path / name
    path.write_text(text)
    return CascadeSettings.load(path)


def test_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    found = load(tmp_path, YAML)
    assert found == load(tmp_path, TOML, "c.toml")
    assert found.memory == 600_000_000
    assert found.stages[1].cache == 64 * 2**20
    assert found.stages[1].examples[0].answer == "2"
    assert found.cost == Weights(ms=1.0, tokens=2.5)
    assert found.cost.unit == "1·ms + 2.5·tokens"
    assert Weights().unit == "ms"
    assert found.predictor.holdout == 0.25


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages: [{name: a, modle: x}]", "key in entry 1 of stages of .* 'modle'.*'model'"),
        ("stages: [{name: a}]\nmemry: 1", "'memry'; did you mean 'memory'"),
        ("stages: []", "at least one stage"),
        ("stages: [{max_tokens: 3}]", "lacks name"),
        ("stages: [{name: a}, {name: a}]", "Two stages are called 'a'"),
        ("stages: [{name: a, samples: many}]", "samples of .* whole number, not 'many'"),
        ("stages: [{name: a, pinned: 1}]", "has to be true or false"),
        ("stages: [{name: a, style: stepwise}]", "did you mean 'steps'"),
        ("stages: [{name: a, memory: big}]", "is not a size"),
        ("stages: [{name: a, stop: x}]", "has to be a list"),
        ("stages: {name: a}", "has to be a list"),
        ("stages: [{name: a}]\npredictor: {folds: 1}", "at least 2 folds"),
        ("stages: [{name: a}]\npredictor: {holdout: 1.0}", "holdout has to lie"),
        ("stages: [{name: a}]\ncost: {ms: 0}", "At least one weight"),
        ("stages: [{name: a, cost: {ms: -1}}]", "at least 0"),
        ("stages: [{name: a}]\nconcurrency: 0", "concurrency"),
        ("- a", "has no settings"),
        ("a: [", "is not YAML"),
        ("memory: 1", "lacks stages"),
    ],
)
def test_what_a_file_must_not_say(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load(tmp_path, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        CascadeSettings.load(tmp_path / "none.yml")
    (tmp_path / "b.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        CascadeSettings.load(tmp_path / "b.yml")
    with pytest.raises(UsageError, match="is not TOML"):
        load(tmp_path, "a = ", "c.toml")


def answer(tokens: int, ms: float, prompt: int = 0, loading: float = 0.0) -> Answer:
    return Answer(
        stage="first", fingerprint="f", tokens=tokens, ms=ms, prompt_tokens=prompt,
        loading_ms=loading,
    )  # fmt: skip


def test_costs_are_weighted_sums() -> None:
    declared = Cost(money=0.5, money_per_million_prompt_tokens=2.0, money_per_million_tokens=8.0)
    weights = Weights(ms=0.1, tokens=1.0, money=100.0)
    found = weigh(30.0, answer(50, 0.0, prompt=1000), declared, weights)
    assert found == pytest.approx(3.0 + 50.0 + 100 * (0.5 + 0.002 + 0.0004))


def test_milliseconds_come_from_answers_that_were_measured_alone(tmp_path: Path) -> None:
    settings = load(tmp_path, "stages: [{name: first}, {name: second, cost: {ms: 7}}]")
    alone = [answer(n, 20.0 + 5.0 * n, loading=300.0 * (n == 1)) for n in (1, 4, 9, 12)]
    among = [answer(n, 1000.0) for n in (1, 2)]
    first, second = stage_costs(settings, {"first": alone}, {"first": among})
    assert (first.base_ms, first.token_ms) == (pytest.approx(20.0), pytest.approx(5.0))
    assert (first.source, first.measured, first.loading_ms) == ("measured alone", 4, 300.0)
    assert first.ms(answer(10, 0.0)) == pytest.approx(70.0)
    # Both stages have the same model, which was loaded once.
    assert (second.source, second.loading_ms) == ("declared", 300.0)
    assert second.ms(answer(10, 99.0)) == 7.0
    assert stage_costs(settings, {}, {"first": among})[0].source == "measured among others"
    assert StageCost.of_record(first.record()) == first


def test_a_hiccup_does_not_move_the_line() -> None:
    answers = [answer(n, 10.0 + 2.0 * n) for n in range(1, 10)]
    answers[4] = answer(5, 900.0)
    base, slope = fit_line(answers)
    assert slope == pytest.approx(2.0, abs=0.3)
    assert base == pytest.approx(10.0, abs=2.0)
    assert fit_line([]) == (0.0, 0.0)
    assert fit_line([answer(3, 30.0)] * 4) == (30.0, 0.0)
    assert fit_line([answer(10, 5.0), answer(20, 30.0)])[0] == 0.0
