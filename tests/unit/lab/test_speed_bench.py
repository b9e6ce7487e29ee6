"""The figures of a contest, from answers made up to have known ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from lab.toy_model import toy_llm

from outrider.errors import UsageError
from outrider.lab import speed_plot
from outrider.lab.contest import PLAIN, Sample, contest
from outrider.lab.speed_bench import SpeedBench, is_exact, summarise, verdict
from outrider.lab.speed_record import record
from outrider.plan import Plan
from outrider.prompts import Prompt
from outrider.types import Usage, summed

NGRAM = Plan(name="ngram", drafter="ngram")
LOOP = (7,) * 11


def answer(
    plan: Plan, prompt: int, pace: float, tokens: Sequence[int] = tuple(range(11)), **changes
) -> Sample:
    """One that takes `pace` milliseconds a token behind 100 of prefill."""
    usage = Usage(
        prompt_tokens=5,
        completion_tokens=len(tokens),
        steps=10,
        draft_tokens=0 if plan is PLAIN else 20,
        accepted_tokens=0 if plan is PLAIN else 5,
        first_token_ms=100.0,
        decode_ms=pace * (len(tokens) - 1),
        total_ms=100.0 + pace * (len(tokens) - 1),
        draft_ms=2.0,
        saved_ms=30.0,
    )
    sample = Sample(
        plan=plan.name,
        prompt=prompt,
        category="code" if prompt % 2 else "prose",
        repeat=0,
        group=prompt,
        tokens=tuple(tokens),
        reason="length",
        usage=usage,
    )
    return replace(sample, **changes)


def measured(paces: Sequence[tuple[float, float]], **options) -> SpeedBench:
    """A contest of plain and n-grams, at (plain, n-grams) milliseconds a token for each prompt."""
    samples = [
        answer(plan, prompt, pace)
        for prompt, each in enumerate(paces)
        for plan, pace in zip((PLAIN, NGRAM), each, strict=True)
    ]
    return summarise([PLAIN, NGRAM], samples, **options)


def test_speed_runs_from_the_first_token_to_the_last_and_end_to_end_beside_it() -> None:
    plain, ngram = measured([(10.0, 5.0), (30.0, 15.0)]).plans

    assert plain.overall.tokens_per_second == pytest.approx(1000 / 20)
    assert ngram.overall.tokens_per_second == pytest.approx(1000 / 10)
    assert ngram.overall.speedup is not None
    assert ngram.overall.speedup.value == pytest.approx(2.0)
    assert ngram.overall.end_to_end_tokens_per_second == pytest.approx(22 / 400 * 1000)
    assert ngram.overall.end_to_end_speedup is not None
    assert ngram.overall.end_to_end_speedup.value == pytest.approx(600 / 400)
    assert plain.overall.speedup is not None
    assert plain.overall.speedup.value == 1.0
    assert ngram.saved_ms == pytest.approx(200.0)
    assert ngram.estimated_ms == pytest.approx(60.0)


def test_categories_are_measured_apart() -> None:
    _, ngram = measured([(10.0, 5.0), (10.0, 20.0), (30.0, 15.0)]).plans

    assert list(ngram.categories) == ["prose", "code"]
    prose, code = ngram.categories["prose"], ngram.categories["code"]
    assert (prose.prompts, code.prompts) == (2, 1)
    assert prose.speedup is not None
    assert prose.speedup.value == pytest.approx(2.0)
    assert code.speedup is not None
    assert (code.speedup.value, code.speedup.low) == (pytest.approx(0.5), None)
    assert code.usage.accepted_tokens == 5


def test_prompts_that_loop_are_left_out_of_one_figure() -> None:
    samples = [
        answer(plan, prompt, pace, LOOP if prompt else tuple(range(11)))
        for prompt, each in enumerate([(10.0, 10.0), (10.0, 1.0)])
        for plan, pace in zip((PLAIN, NGRAM), each, strict=True)
    ]
    _, ngram = summarise([PLAIN, NGRAM], samples).plans

    assert ngram.looping_share == 0.5
    assert ngram.overall.speedup is not None
    assert ngram.overall.speedup.value == pytest.approx(200 / 110)
    assert ngram.without_looping is not None
    assert ngram.without_looping.value == pytest.approx(1.0)


def test_counters_are_summed_and_rates_derived() -> None:
    _, ngram = measured([(10.0, 5.0), (30.0, 15.0)]).plans

    usage = ngram.overall.usage
    assert (usage.steps, usage.draft_tokens, usage.accepted_tokens) == (20, 40, 10)
    assert usage.acceptance_rate == 0.25
    assert usage.mean_accepted_length == 1.5
    assert ngram.overall.rows_per_step == 3.0
    assert ngram.overall.phase_ms("draft") == pytest.approx(0.2)
    both = summed(
        [Usage(accepted_per_position=[3, 1]), Usage(accepted_per_position=[2, 2, 1], note="x")]
    )
    assert both.accepted_per_position == [5, 3, 1]


@pytest.mark.parametrize(
    ("verification", "temperature", "exact"),
    [
        ("coupled", 1.0, True),
        ("rejection", 0.0, True),
        ("rejection", 1.0, False),
        ("typical", 0.0, False),
    ],
)
def test_which_plans_have_to_say_what_plain_says(
    verification: str, temperature: float, exact: bool
) -> None:
    plan = replace(NGRAM, verification=verification)
    assert is_exact(plan, temperature) is exact
    samples = [answer(PLAIN, 0, 10.0), answer(plan, 0, 5.0, (1, 2, 3))]
    found = summarise([PLAIN, plan], samples, temperature=temperature)
    assert found.plans[1].different == (0,)
    assert found.identical is not exact
    assert ("differs on prompt 0" in verdict(found)) is exact


@pytest.mark.parametrize(
    ("paces", "words"),
    [
        ([(10.0, 5.0)] * 5, "ngram is 2.00 times (95%: 2.00 to 2.00) as fast as plain."),
        ([(10.0, 12.5)] * 5, "Do not speculate here: the best plan, ngram, is 0.80 times"),
        ([(10.0, 5.0), (10.0, 15.0)] * 3, "No plan is shown to be faster than plain"),
        ([(10.0, 5.0)], "ngram is 2.00 times as fast as plain here, but the prompts are too few"),
        ([(10.0, 5.0)] * 4, "the prompts are too few"),
        ([(10.0, 5.0), (10.0, 11.0)] * 6, "It is slower on code (0.91)."),
    ],
)
def test_the_verdict(paces: list[tuple[float, float]], words: str) -> None:
    said = verdict(measured(paces))
    assert words in said
    assert said.endswith("Every answer that has to be plain's is.")


def test_there_has_to_be_something_to_measure() -> None:
    with pytest.raises(UsageError, match="let it be the first plan"):
        summarise([NGRAM], [answer(NGRAM, 0, 1.0)])
    with pytest.raises(UsageError, match="No answer has two tokens"):
        summarise([PLAIN], [answer(PLAIN, 0, 1.0, (3,))])


def test_a_record_has_the_figures_and_every_answer() -> None:
    prompts = [Prompt(0, ("abcabcab",), "chant"), Prompt(4, ("bcabcabc",), "chant")]
    with toy_llm() as llm:
        samples = contest(llm, [PLAIN, NGRAM], prompts, repeats=2, max_tokens=60)
        found = summarise([PLAIN, NGRAM], samples)
        values = json.loads(json.dumps(record(llm, found, {"model": "toy"}, {"streams": 1})))

    assert (values["model"], values["identical"], values["streams"]) == ("toy", True, 1)
    plain, ngram = values["plans"]
    assert (plain["name"], ngram["name"]) == ("plain", "ngram")
    assert plain["speedup"] == plain["speedup_low"] == plain["speedup_high"] == 1.0
    assert ngram["speedup_low"] <= ngram["speedup"] <= ngram["speedup_high"]
    assert ngram["categories"]["chant"]["mean_accepted_length"] == ngram["mean_accepted_length"]
    assert 0 < ngram["acceptance_rate"] <= 1
    assert ngram["plan"]["drafter"] == "ngram"
    assert sum(ngram["accepted_per_position"]) == ngram["accepted_tokens"] > 0
    answers = values["answers"]
    assert {len(column) for column in answers.values()} == {8}
    assert sorted(set(answers["prompt"])) == [0, 4]
    assert sum(answers["completion_tokens"]) == sum(len(s.tokens) for s in samples)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_plot_is_drawn(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"speed{suffix}"
    speed_plot.check(path)
    speed_plot.draw(measured([(10.0, 5.0), (10.0, 20.0), (30.0, 15.0)]), path, "a title")
    start = path.read_bytes()[:100]
    assert start.startswith(b"\x89PNG") if suffix == ".png" else b"<?xml" in start


def test_a_plot_that_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"ends in .png, .svg, .pdf"):
        speed_plot.check(tmp_path / "speed.gif")
    with pytest.raises(UsageError, match="directory does not exist"):
        speed_plot.check(tmp_path / "nowhere" / "speed.png")
    with pytest.raises(UsageError, match="there is none"):
        speed_plot.draw(
            summarise([PLAIN], [answer(PLAIN, 0, 1.0)]), tmp_path / "speed.png", "plain alone"
        )
    monkeypatch.setattr(speed_plot, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'outrider\[plot\]'"):
        speed_plot.check(tmp_path / "speed.png")
