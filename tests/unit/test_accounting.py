from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_tools import Asked, OracleDrafter, loop_on, plain, run

from outrider import accounting
from outrider.layout import Draft, Planned
from outrider.types import Speculation, Step, Usage

PROMPT = (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5)
TIMES = ("draft_ms", "pass_ms", "sampling_ms", "rest_ms")


@pytest.fixture(autouse=True)
def truth():
    OracleDrafter.answers = {PROMPT: plain(PROMPT).tokens}
    yield
    OracleDrafter.answers = {}


class _Run:
    def __init__(self) -> None:
        self.usage = Usage()


def decoded(gained: int, speculated: bool) -> Planned:
    draft = Draft() if speculated else None
    return Planned(_Run(), 0, 1, draft, 0, prefill=False, gained=gained)  # type: ignore[arg-type]


milliseconds = st.floats(0.0, 100.0)
parts = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=6)


@given(parts, milliseconds, milliseconds, milliseconds)
def test_a_step_is_charged_in_full(parts, draft_ms, pass_ms, plain_ms):
    step = Step(draft_ms=draft_ms, pass_ms=pass_ms, sampling_ms=1.0, rest_ms=2.0)
    plan = [decoded(gained if speculated else 1, speculated) for gained, speculated in parts]
    accounting.charge(step, plain_ms, plan)
    usages = [planned.run.usage for planned in plan]
    for name in TIMES:
        assert sum(getattr(u, name) for u in usages) == pytest.approx(getattr(step, name))
    saved = [u.saved_ms for u in usages]
    assert all(s == 0.0 for s, p in zip(saved, plan, strict=True) if p.draft is None)
    if any(planned.draft for planned in plan):
        tokens = sum(planned.gained for planned in plan)
        expected = tokens * plain_ms / len(plan) - draft_ms - pass_ms
        assert sum(saved) == pytest.approx(expected, abs=1e-9)


def test_the_end_of_a_step_that_read_prompts_says_nothing_of_the_next():
    step, plan = Step(draft_ms=1.0, pass_ms=2.0, sampling_ms=3.0), []
    assert accounting.report(step, plan, None).rest_ms is None
    assert accounting.report(step, plan, Step(prefill_rows=3, rest_ms=9.0)).rest_ms is None
    assert accounting.report(step, plan, Step(decode_rows=3, rest_ms=0.5)).rest_ms == 0.5


@pytest.mark.parametrize("chunk", [4, 11])
def test_every_row_of_a_completion_is_counted(chunk):
    asked = Asked(PROMPT, speculation=Speculation(drafter="random", num_draft_tokens=3))
    loop = loop_on(prefill_chunk=chunk)
    run(loop, asked)
    usage = asked.answer.usage
    assert usage.rows == len(PROMPT) + usage.steps + usage.draft_tokens
    totals = loop.totals
    assert usage.rows == totals.prefill_rows + totals.decode_rows + totals.draft_rows


def test_a_pass_without_its_drafts_is_as_much_shorter_as_the_cost_curve_says():
    asked = Asked(PROMPT, speculation=Speculation(drafter="oracle", num_draft_tokens=3))
    seen, real = [], accounting.plain_ms

    def watch(step, plan, cost):
        seen.append((step.pass_ms, step.draft_rows, found := real(step, plan, cost)))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounting, "plain_ms", watch)
        run(loop_on(), asked)
    drafted = [(pass_ms, found) for pass_ms, rows, found in seen if rows == 3]
    assert len(drafted) == 5
    # The toy's pass costs 1 and a tenth a row.
    assert [f for _, f in drafted] == pytest.approx([ms * 1.1 / 1.4 for ms, _ in drafted])
    assert all(pass_ms == found for pass_ms, rows, found in seen if rows == 0)


def test_a_pass_without_decoding_is_nobody_s():
    accounting.charge(Step(pass_ms=3.0), 3.0, [])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_tokens": 1},
        {"stop": 9},
        {"n": 3},
        {"speculation": Speculation(drafter="oracle", num_draft_tokens=5)},
    ],
)
def test_what_is_emitted_is_complete(settings):
    """Nothing is added to the counters once a listener has them."""
    asked, handed_out = Asked(PROMPT, **settings), []

    def emit(event):
        asked.answers[event.index].add(event)
        if event.usage is not None:
            positions = list(event.usage.accepted_per_position)
            handed_out.append((replace(event.usage, accepted_per_position=positions), event.usage))

    loop = loop_on()
    asked.job = replace(asked.job, emit=emit)
    run(loop, asked)
    assert len(handed_out) == len(asked.answers)
    for then, now in handed_out:
        assert then == now
    decoding = [step for step in loop.steps if step.decode_rows]
    for name in ("draft_ms", "pass_ms", "sampling_ms"):
        total = sum(getattr(then, name) for then, _ in handed_out)
        assert total == pytest.approx(sum(getattr(step, name) for step in decoding))
    assert sum(u.rest_ms for u, _ in handed_out) <= sum(step.rest_ms for step in decoding)


@pytest.mark.parametrize("stop", [frozenset(), frozenset({9})])
def test_plain_decoding_saves_nothing(stop):
    for speculation in (Speculation(enabled=False), Speculation(enabled=False, drafter="oracle")):
        asked = Asked(PROMPT, speculation=speculation, stop_tokens=stop)
        run(loop_on(), asked)
        assert asked.answer.usage.steps
        assert asked.answer.usage.saved_ms == 0.0


def test_company_that_drafts_costs_plain_decoding_nothing():
    alone = Asked(PROMPT, speculation=Speculation(enabled=False))
    drafted = Asked(PROMPT, speculation=Speculation(drafter="random", num_draft_tokens=20))
    run(loop_on(), alone, drafted)
    assert alone.answer.usage.saved_ms == 0.0
    assert drafted.answer.usage.draft_tokens
    assert drafted.answer.usage.saved_ms != 0.0


def test_an_end_of_text_counts_among_the_tokens_gained():
    tokens = OracleDrafter.answers[PROMPT]
    asked = Asked(
        PROMPT,
        stop_tokens=frozenset({tokens[3]}),
        speculation=Speculation(drafter="oracle", num_draft_tokens=2),
    )
    gained, charge = [], accounting.charge

    def watch(step, plain_ms, plan):
        gained.extend(planned.gained for planned in plan)
        charge(step, plain_ms, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounting, "charge", watch)
        run(loop_on(), asked)
    assert asked.answer.tokens == tokens[:3]
    # One token came with the prompt's pass; two more and the end of text with the draft's.
    assert gained == [3]
