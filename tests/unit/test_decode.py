import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loop_tools import DRAFTERS, Asked, OracleDrafter, loop_on, plain, run

from outrider.constraints import AllowedTokens
from outrider.engines.toy import ToyEngine
from outrider.errors import UsageError
from outrider.plan import Plan
from outrider.types import Sampling, Speculation

SAMPLERS = [
    Sampling(),
    Sampling(temperature=1.0, top_p=0.9),
    Sampling(temperature=0.7, top_k=5, repetition_penalty=1.3, frequency_penalty=0.5),
]
PROMPT = (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5)


@pytest.fixture(autouse=True)
def truth():
    """The oracle's answers, filled by the tests."""
    OracleDrafter.answers = {}
    yield OracleDrafter.answers
    OracleDrafter.answers = {}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_speculation_changes_no_token(truth, data):
    """Any drafters, budgets, samplers, chunks and company: token for token what plain gives."""
    count = data.draw(st.integers(1, 4), "requests")
    chunk = data.draw(st.integers(1, 20), "prefill chunk")
    streams = data.draw(st.integers(1, 4), "streams")
    asked, expected = [], []
    for seed in range(count):
        prompt = tuple(data.draw(st.lists(st.integers(0, 47), min_size=1, max_size=30), "prompt"))
        sampling = data.draw(st.sampled_from(SAMPLERS), "sampler")
        drafter = data.draw(
            st.sampled_from(["random", "oracle", "branching", "ngram", "raising", "none"]),
            "drafter",
        )
        budget = data.draw(st.sampled_from([0, 1, 3, 8, 1000]), "K")
        options = {"sampling": sampling, "seed": seed, "max_tokens": 20}
        answer = plain(prompt, **options)
        truth.setdefault(prompt, answer.tokens)
        speculation = Speculation(drafter=drafter, num_draft_tokens=budget)
        asked.append(Asked(prompt, speculation=speculation, **options))
        expected.append(answer.tokens)
    run(loop_on(max_streams=streams, prefill_chunk=chunk), *asked)
    assert [one.answer.tokens for one in asked] == expected
    assert all(one.answer.reason == "length" for one in asked)


def test_the_target_as_its_own_drafter_is_always_right(truth):
    truth[PROMPT] = plain(PROMPT).tokens
    asked = Asked(PROMPT, speculation=Speculation(drafter="oracle", num_draft_tokens=4))
    run(loop_on(), asked)
    usage = asked.answer.usage
    assert usage.accepted_tokens == usage.draft_tokens > 0
    # 24 tokens: one from the prompt's own pass, then four passes of five and one of three.
    assert (usage.steps, usage.mean_accepted_length) == (5, 23 / 5)
    assert usage.accepted_per_position == [5, 5, 4, 4]
    assert sum(o is not None for o in asked.answer.origins) == usage.accepted_tokens


@pytest.mark.parametrize("end", range(1, 12))
def test_an_end_of_text_inside_an_accepted_span_ends_exactly_there(truth, end):
    truth[PROMPT] = tokens = plain(PROMPT).tokens
    stop = frozenset({tokens[end]})
    first = tokens.index(tokens[end])
    asked = Asked(
        PROMPT, stop_tokens=stop, speculation=Speculation(drafter="oracle", num_draft_tokens=7)
    )
    run(loop_on(), asked)
    assert asked.answer.tokens == tokens[:first]
    assert asked.answer.reason == "stop"
    assert asked.answer.usage.completion_tokens == first
    assert asked.answer.usage.accepted_tokens <= first


@pytest.mark.parametrize("end", range(1, 12))
def test_a_stop_string_inside_an_accepted_span_ends_exactly_there(truth, end):
    truth[PROMPT] = tokens = plain(PROMPT).tokens
    first = tokens.index(tokens[end])
    asked = Asked(
        PROMPT, stop=tokens[end], speculation=Speculation(drafter="oracle", num_draft_tokens=7)
    )
    run(loop_on(), asked)
    assert asked.answer.tokens == tokens[: first + 1]
    assert asked.answer.text == "".join(f"{t}," for t in tokens[: first + 1])
    assert asked.answer.reason == "stop"


@pytest.mark.parametrize("most", range(1, 12))
def test_max_tokens_inside_an_accepted_span_ends_exactly_there(truth, most):
    truth[PROMPT] = tokens = plain(PROMPT).tokens
    asked = Asked(
        PROMPT, max_tokens=most, speculation=Speculation(drafter="oracle", num_draft_tokens=7)
    )
    run(loop_on(), asked)
    assert (asked.answer.tokens, asked.answer.reason) == (tokens[:most], "length")


def test_a_prompt_may_fill_the_context_to_the_last_position():
    engine = ToyEngine(context=32)
    asked = Asked(range(32), max_tokens=1)
    run(loop_on(engine), asked)
    assert len(asked.answer.tokens) == 1
    beyond = Asked(range(32), max_tokens=2)
    run(loop_on(engine), beyond)
    assert beyond.answer.reason == "error"
    assert beyond.answer.error


def test_completions_of_one_prompt_differ_by_their_index_alone():
    sampling = Sampling(temperature=1.0)
    asked = Asked(PROMPT, n=3, sampling=sampling)
    loop = loop_on()
    run(loop, asked)
    texts = [tuple(answer.tokens) for answer in asked.answers]
    assert len(set(texts)) == 3
    assert texts[0] == tuple(plain(PROMPT, sampling=sampling).tokens)
    # The prompt was computed once: the others found all of it in the cache.
    assert [answer.usage.cached_tokens for answer in asked.answers] == [0, 11, 11]
    again = Asked(PROMPT, n=3, sampling=sampling, speculation=Speculation(drafter="random"))
    run(loop_on(prefill_chunk=3), again)
    assert [tuple(answer.tokens) for answer in again.answers] == texts


def test_everything_is_given_back():
    engine = ToyEngine()
    loop = loop_on(engine)
    free = engine.free_tokens
    run(loop, *(Asked(PROMPT, n=n, seed=n) for n in (1, 3, 2)))
    assert engine.free_tokens == free
    assert not engine.sequences


def test_log_probabilities_are_the_raw_model_s():
    sampling = Sampling(temperature=1.5, top_k=3)
    asked = Asked(PROMPT, sampling=sampling, logprobs=2, prompt_logprobs=1, max_tokens=6)
    run(loop_on(prefill_chunk=4), asked)
    answer = asked.answer
    assert [entry.token for entry in answer.logprobs] == answer.tokens
    assert [entry.token for entry in answer.prompt_logprobs] == list(PROMPT[1:])
    # The same numbers, computed from an engine directly: one committed row after the other.
    engine = ToyEngine()
    text = [*PROMPT, *answer.tokens]
    state = _logits_after_each(engine, text)
    for i, entry in enumerate([*answer.prompt_logprobs, *answer.logprobs]):
        logits = state[i].astype(np.float64)
        norm = np.log(np.exp(logits - logits.max()).sum()) + logits.max()
        assert entry.logprob == pytest.approx(logits[text[i + 1]] - norm, abs=1e-9)
        best = np.argsort(-logits, kind="stable")[: len(entry.top)]
        assert [token for token, _ in entry.top] == best.tolist()


def _logits_after_each(engine, tokens):
    from outrider.testing import committed

    sequence = engine.open(tokens, len(tokens))
    return engine.forward(committed(sequence, tokens)).numpy(range(len(tokens)))


def test_log_probabilities_of_drafted_tokens_are_the_same(truth):
    truth[PROMPT] = plain(PROMPT).tokens
    expected = plain(PROMPT, logprobs=3).logprobs
    asked = Asked(
        PROMPT, logprobs=3, speculation=Speculation(drafter="branching", num_draft_tokens=6)
    )
    run(loop_on(), asked)
    assert asked.answer.logprobs == expected


def test_prompt_log_probabilities_do_not_depend_on_the_cache():
    loop = loop_on()
    first, second = (Asked(PROMPT, prompt_logprobs=0) for _ in range(2))
    run(loop, first)
    run(loop, second)
    assert second.answer.prompt_logprobs == first.answer.prompt_logprobs
    assert len(first.answer.prompt_logprobs) == len(PROMPT) - 1


@pytest.mark.parametrize("drafter", ["none", "random", "ngram"])
def test_a_constraint_holds_with_and_without_drafts(drafter):
    allowed = AllowedTokens([2, 3, 7], 48)
    options = {"constraint": allowed, "sampling": Sampling(temperature=1.0)}
    expected = plain(PROMPT, **options).tokens
    assert set(expected) <= {2, 3, 7}
    asked = Asked(PROMPT, speculation=Speculation(drafter=drafter, num_draft_tokens=6), **options)
    run(loop_on(), asked)
    assert asked.answer.tokens == expected


class _Contrary(AllowedTokens):
    """Raises, or contradicts itself, at its third token."""

    def __init__(self, fault: str) -> None:
        super().__init__([2, 3, 7], 48)
        self._fault = fault

    def start(self):
        if self._fault == "start":
            raise KeyError("no beginning")
        return 0

    def advance(self, state, token):
        if state == 2 and self._fault == "advance":
            raise RuntimeError("lost")
        return None if state == 2 and self._fault == "refuse" else state + 1

    def mask(self, state):
        if state == 2 and self._fault == "mask":
            raise RuntimeError("lost")
        return super().mask(state)


@pytest.mark.parametrize("drafter", ["none", "random"])
@pytest.mark.parametrize("fault", ["start", "advance", "mask", "refuse"])
def test_a_constraint_that_fails_ends_its_request_alone(fault, drafter):
    speculation = Speculation(drafter=drafter, num_draft_tokens=4)
    broken = Asked(PROMPT, constraint=_Contrary(fault), speculation=speculation)
    whole = Asked(PROMPT, speculation=speculation)
    engine = ToyEngine()
    run(loop_on(engine), broken, whole)
    assert broken.answer.reason == "error"
    assert "constraint" in broken.answer.error
    assert whole.answer.tokens == plain(PROMPT).tokens
    assert whole.answer.usage.note is None
    assert not engine.sequences


def test_a_wrong_setting_ends_its_request_alone():
    broken, whole = Asked(PROMPT, sampling=Sampling(logit_bias={999: 1.0})), Asked(PROMPT)
    run(loop_on(), broken, whole)
    assert broken.answer.reason == "error"
    assert "999" in broken.answer.error
    assert whole.answer.tokens == plain(PROMPT).tokens


class _Broken(ToyEngine):
    """Gives logits that are not numbers after one token."""

    def logits(self, state, token, layers):
        logits = super().logits(state, token, layers)
        return logits * np.nan if token == 47 else logits


def test_a_row_that_is_not_a_number_fails_its_request_alone():
    loop = loop_on(_Broken())
    broken, whole = Asked((1, 47)), Asked(PROMPT)
    run(loop, broken, whole)
    assert broken.answer.reason == "error"
    assert "NaN" in broken.answer.error
    assert 47 not in whole.answer.tokens
    assert whole.answer.tokens == plain(PROMPT).tokens


@pytest.mark.parametrize("drafter", ["raising", "foreign"])
def test_a_drafter_that_fails_costs_the_speed_up_alone(drafter):
    asked = Asked(PROMPT, speculation=Speculation(drafter=drafter))
    run(loop_on(), asked)
    assert asked.answer.tokens == plain(PROMPT).tokens
    assert "Drafter failed" in asked.answer.usage.note


def test_a_draft_beyond_the_pass_costs_the_speed_up_alone():
    asked = Asked(PROMPT, speculation=Speculation(drafter="greedy", controller="wasteful"))
    run(loop_on(), asked)
    assert asked.answer.tokens == plain(PROMPT).tokens
    assert "rows" in asked.answer.usage.note


def test_steps_without_a_draft_are_told_apart(truth):
    truth[PROMPT] = plain(PROMPT).tokens
    asked = Asked(PROMPT, speculation=Speculation(drafter="oracle", num_draft_tokens=0))
    run(loop_on(), asked)
    usage = asked.answer.usage
    assert (usage.plain_steps, usage.draft_steps) == (23, 0)
    assert usage.note is None


def test_a_step_is_counted_by_its_rows(truth):
    truth[PROMPT] = plain(PROMPT).tokens
    loop = loop_on(prefill_chunk=4)
    loop.add(Asked(PROMPT, speculation=Speculation(drafter="oracle", num_draft_tokens=3)).job)
    steps = [loop.step() for _ in range(4)]
    assert [s.prefill_rows for s in steps] == [4, 4, 3, 0]
    assert (steps[3].decode_rows, steps[3].draft_rows, steps[3].accepted) == (1, 3, 3)
    assert loop.totals.draft_rows == 3


def test_cancelling_ends_a_request_where_it_is():
    engine = ToyEngine()
    loop = loop_on(engine, max_streams=1)
    running, waiting = Asked(PROMPT), Asked(PROMPT, n=2)
    loop.add(running.job)
    loop.add(waiting.job)
    for _ in range(5):
        loop.step()
    loop.cancel(running.job)
    loop.cancel(waiting.job)
    assert running.answer.reason == "cancelled"
    assert running.answer.tokens == plain(PROMPT).tokens[: len(running.answer.tokens)]
    assert [answer.reason for answer in waiting.answers] == ["cancelled"] * 2
    assert loop.idle
    assert not engine.sequences


def test_plain_decoding_makes_no_drafter():
    loop = loop_on(plan=Plan())
    off = Asked(PROMPT, speculation=Speculation(enabled=False))
    run(loop, off)
    assert set(loop.parts.drafters) == {"none"}
    on = Asked(PROMPT, speculation=Speculation())
    run(loop, on)
    assert set(loop.parts.drafters) == {"none", "mixed"}
    assert on.answer.tokens == off.answer.tokens


def test_unknown_parts_are_refused_by_name():
    with pytest.raises(UsageError, match="ngram"):
        loop_on().add(Asked(PROMPT, speculation=Speculation(drafter="ngrams")).job)
    with pytest.raises(UsageError, match="verifier"):
        loop_on().add(Asked(PROMPT, speculation=Speculation(verification="magic")).job)


@pytest.mark.parametrize("streams", [0, 65])
def test_max_streams_has_to_fit_a_pass(streams):
    with pytest.raises(UsageError, match="max_streams"):
        loop_on(max_streams=streams)


class _Notebook(OracleDrafter):
    """Writes down what it is told."""

    def __init__(self, target) -> None:
        super().__init__(target)
        self.asked: list[bool] = []

    def observe(self, batch, outcome) -> None:
        self.asked += [observation.asked for observation in batch]


@pytest.mark.parametrize("nodes", [0, 2])
def test_drafters_are_told_of_steps_that_nobody_asked_them_for(nodes, monkeypatch):
    """The prompt's step comes first; nobody could have asked for a draft there."""
    prompt = (3, 1, 4, 1, 5)
    monkeypatch.setitem(OracleDrafter.answers, prompt, plain(prompt).tokens)
    monkeypatch.setitem(DRAFTERS, "notebook", _Notebook)
    speculation = Speculation(drafter="notebook", num_draft_tokens=nodes)
    loop = loop_on()
    run(loop, Asked(prompt, speculation=speculation))
    (drafter,) = (d for d in loop.parts.drafters.values() if isinstance(d, _Notebook))
    first, *others = drafter.asked
    assert first
    assert set(others) == {nodes > 0}
