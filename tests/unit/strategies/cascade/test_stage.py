from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
from strategies.cascade.scripted import Scripted, question_of

from outrider.errors import OutriderError, UsageError
from outrider.models.catalogue import DEFAULT_MODEL
from outrider.strategies.cascade.features import (
    answer_features,
    keyword_features,
    question_features,
)
from outrider.strategies.cascade.manager import Lease, Lender
from outrider.strategies.cascade.settings import Example, StageSettings
from outrider.strategies.cascade.stage import Answer, Limits, Stage, entropy, find_answer, winner
from outrider.tasks import Problem
from outrider.types import (
    Choice,
    Completion,
    Generator,
    Message,
    Request,
    Speculation,
    TokenLogprob,
    Usage,
)


def problem(question: str = "What is 4 + 9?", **more: object) -> Problem:
    return Problem(id="p", question=question, answer=None, **more)  # type: ignore[arg-type]


def stage(generator: Generator | Lender | None = None, **settings: object) -> Stage:
    known = StageSettings(name="s", **settings)  # type: ignore[arg-type]
    return Stage(known, generator or Scripted(lambda *_: ""))


def test_a_direct_question_is_a_chat() -> None:
    request = stage(system="Be brief.", opening="The answer is ").request(problem())
    assert request.messages == (
        Message("system", "Be brief."),
        Message("user", "What is 4 + 9?\nAnswer with the result only."),
        Message("assistant", "The answer is "),
    )
    assert (request.logprobs, request.n, request.sampling.temperature) == (5, 1, 0.0)


def test_examples_are_continued_as_plain_text() -> None:
    shown = (Example(question="What is 1 + 1?", answer="2"),)
    request = stage(style="examples", examples=shown).request(
        problem(earlier=(Message("user", "Hello"),)), seed=3
    )
    assert request.prompt == (
        "Question: What is 1 + 1?\nAnswer: 2\n\nUser: Hello\n\nQuestion: What is 4 + 9?\nAnswer:"
    )
    assert request.stop == ("\n\n",)
    assert request.sampling.seed == 3
    own = stage(style="examples", examples=shown, template="{question} {answer}", stop=("\n",))
    assert own.request(problem()).prompt == "What is 1 + 1? 2\n\nWhat is 4 + 9?"
    assert own.request(problem()).stop == ("\n",)


def test_examples_as_turns_of_a_chat() -> None:
    shown = (Example(question="What is 1 + 1?", answer="2"),)
    chat = stage(style="examples", examples=shown, raw=False, template="{question}")
    assert chat.request(problem()).messages == (
        Message("user", "What is 1 + 1?"),
        Message("assistant", "2"),
        Message("user", "What is 4 + 9?"),
    )


def test_choices_are_shown_with_their_letters() -> None:
    found = stage().request(problem("Which?", choices=("red", "blue")))
    assert question_of(found) == "Which?\nA. red\nB. blue\nAnswer with the result only."


class Late:
    """Lends a model that took a while to load."""

    def __init__(self, generator: Generator) -> None:
        self.lease = Lease(generator, 7.0)

    def lend(self) -> AbstractContextManager[Lease]:
        return nullcontext(self.lease)


def test_an_answer_tells_what_it_cost_and_how_sure_it_was() -> None:
    generator = Scripted(lambda *_: " 4 + 9 = 13. The answer is 13.", p=0.5)
    answer = stage(Late(generator), style="steps").ask(problem())
    assert (answer.answer, answer.votes, answer.tokens) == ("13", ("13",), 3)
    assert (answer.prompt_tokens, answer.cached_tokens, answer.loading_ms) == (10, 4, 7.0)
    assert answer.logprobs == (math.log(0.5),) * 3
    # Half, a quarter, and a quarter for all others.
    assert answer.entropies[0] == pytest.approx(1.5 * math.log(2))
    assert answer.model == "scripted"
    assert answer.ms > 0.0
    record = answer.record()
    assert Answer.of(record).answer == answer.answer
    assert Answer.of(record).logprobs == pytest.approx(answer.logprobs, rel=1e-3)


def test_samples_vote() -> None:
    said = ["It is 12.", "The answer is 13", "nothing", "I get 13.0", "12 + 1 = 14"]
    generator = Scripted(lambda _, index: said[index])
    answer = stage(generator, samples=5, temperature=0.7).ask(problem())
    assert answer.votes == ("12", "13", None, "13", "14")
    assert (answer.answer, answer.text) == ("13", "The answer is 13")
    assert answer.tokens == 15
    assert answer_features(answer)["agreement"] == pytest.approx(0.4)
    assert answer_features(answer)["different_answers"] == 3
    assert winner([None, None]) == 0
    assert winner(["a", "b", "b", "a"]) == 0


@pytest.mark.parametrize(("word", "expected"), [("Yes", 0.8), (" no", 0.2), ("maybe", None)])
def test_a_check_of_its_own_answer(word: str, expected: float | None) -> None:
    def script(request: Request, _: int) -> str:
        return word if "Is the proposed answer right?" in question_of(request) else "13"

    generator = Scripted(script, p=0.8)
    answer = stage(generator, self_check=True).ask(problem())
    assert "Proposed answer: 13" in question_of(generator.asked[1])
    assert generator.asked[1].max_tokens == 1
    assert (answer.yes is None) == (expected is None)
    if expected is not None:
        assert answer.yes == pytest.approx(expected)
    assert answer.tokens == 6
    assert math.isnan(answer_features(answer)["self_check"]) == (expected is None)


def test_a_server_without_log_probabilities() -> None:
    class Mute(Scripted):
        def generate(self, request: Request) -> Completion:
            choice = Choice("13", (), "stop", Usage(completion_tokens=1))
            return Completion((choice,), (), 0)

    answer = stage(Mute(lambda *_: "")).ask(problem())
    assert (answer.logprobs, answer.model) == ((), None)
    features = answer_features(answer)
    assert math.isnan(features["logprob_q50"])
    assert math.isnan(features["entropy_q90"])


def test_an_answer_that_failed_is_an_error() -> None:
    class Broken(Scripted):
        def generate(self, request: Request) -> Completion:
            choice = Choice("", (), "error", Usage(), error="no token was left")
            return Completion((choice,), (), 0)

    with pytest.raises(OutriderError, match="no token was left"):
        stage(Broken(lambda *_: "")).ask(problem())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"samples": 3}, "temperature 0, where all are the same"),
        ({"max_tokens": 0}, "max_tokens of the stage 's'"),
        ({"examples": (Example(question="a", answer="b"),)}, "its style shows none"),
        ({"style": "examples", "system": "x"}, "has no system"),
        ({"style": "stepwise"}, "did you mean 'steps'"),
        ({"name": ""}, "needs a name"),
        ({"temperature": -1.0}, "temperature"),
        ({"self_check": True, "logprobs": False}, "self-check of the stage 's' needs logprobs"),
        ({"endpoint": "localhost:80"}, "has to be an address such as http"),
        ({"endpoint": "http://a/v1#m", "model": "n"}, "names its model twice"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        StageSettings(**{"name": "s", **settings})  # type: ignore[arg-type]


def test_fingerprints_change_with_answers_and_not_with_costs() -> None:
    plain = StageSettings(name="s")
    assert plain.fingerprint() == StageSettings(name="t", pinned=True, memory=9).fingerprint()
    assert plain.fingerprint() != StageSettings(name="s", max_tokens=9).fingerprint()
    assert plain.fingerprint() == StageSettings(name="s", model=DEFAULT_MODEL).fingerprint()


def test_a_server_may_move_and_its_model_may_not_change() -> None:
    def fingerprint(endpoint: str, model: str | None = None) -> str:
        return StageSettings(name="s", endpoint=endpoint, model=model).fingerprint()

    assert fingerprint("http://a/v1", "m") == fingerprint("http://b/v1#m")
    assert fingerprint("http://a/v1") == fingerprint("http://b/v1") != fingerprint("http://a#m")
    assert fingerprint("http://a/v1", "m") != StageSettings(name="s", model="m").fingerprint()


def test_entropy_of_one_certain_token() -> None:
    assert entropy(TokenLogprob(1, 0.0, ((1, 0.0),))) == 0.0


def test_question_features() -> None:
    found = question_features(problem("What is (12 + (9 - 4)) * 3?"))
    assert found["numbers"] == 4
    assert (found["plus"], found["minus"], found["times"]) == (1, 1, 1)
    assert (found["bracket_depth"], found["brackets"]) == (2, 2)
    assert found["largest_number"] == pytest.approx(math.log10(13))
    assert found["first_number"] == pytest.approx(math.log10(13))
    assert found["last_number"] == pytest.approx(math.log10(4))
    assert found["second_above_first"] == 0.0
    assert question_features(problem("What is 26 - 95?"))["second_above_first"] == 1.0
    assert math.isnan(question_features(problem("What is half of 26?"))["second_above_first"])
    assert math.isnan(question_features(problem("Why?"))["first_number"])
    words = keyword_features(problem("How many are left? Explain why each costs twice."))
    assert (words["counts"], words["asks"], words["divides"], words["compares"]) == (2, 3, 1, 1)
    assert words.items() <= question_features(problem(
        "How many are left? Explain why each costs twice."
    )).items()  # fmt: skip


def test_a_conversation_is_asked_and_looked_at() -> None:
    earlier = (
        Message("system", "Be brief."),
        Message("user", "What is 40 + 2?"),
        Message("assistant", "42"),
    )
    asked = problem("Double it.", earlier=earlier)
    chat = stage(system="Be exact.").request(asked).messages or ()
    assert chat[0] == Message("system", "Be exact.\n\nBe brief.")
    assert chat[1:3] == earlier[1:]
    raw = stage(raw=True).request(asked).prompt or ""
    assert raw.startswith("Be brief.\n\nUser: What is 40 + 2?\n\nAssistant: 42\n\nDouble it.")
    generator = Scripted(lambda *_: "84")
    stage(generator, self_check=True).ask(asked)
    assert (generator.asked[1].messages or ())[:-1] == earlier
    found = question_features(asked)
    assert (found["earlier_turns"], found["earlier_characters"]) == (2, 17)
    assert (found["earlier_numbers"], found["refers_back"]) == (3, 1)
    assert found["largest_earlier_number"] == pytest.approx(math.log10(43))
    assert question_features(problem("Double it."))["refers_back"] == 0


def test_paragraphs_of_a_question_stay_in_a_chat() -> None:
    asked = problem("Read this.\n\nNow add 1.")
    assert question_of(stage().request(asked)).startswith("Read this.\n\nNow add 1.\nAnswer with")
    # In plain text an empty line would end the question.
    assert (stage(style="examples").request(asked).prompt or "").endswith(
        "Question: Read this.\nNow add 1.\nAnswer:"
    )


def test_a_callers_limits_hold_beside_the_stages_own() -> None:
    speculation = Speculation(enabled=False)
    limits = Limits(max_tokens=9, stop=("END", ";"), speculation=speculation)
    request = stage(max_tokens=20, stop=(";",)).request(problem(), limits=limits)
    assert (request.max_tokens, request.stop) == (9, (";", "END"))
    assert request.speculation == speculation
    assert stage(max_tokens=5).request(problem(), limits=limits).max_tokens == 5


def test_answers_are_compared_with_those_before() -> None:
    said = [Answer(stage=s, fingerprint="f", answer=a) for s, a in (("a", "1"), ("b", "2"))]
    third = Answer(stage="c", fingerprint="f", answer="2", votes=("2",))
    found = answer_features(third, said)
    assert (found["earlier_agreement"], found["agrees_with_last"]) == (0.5, 1.0)
    assert np.isnan(answer_features(third)["earlier_agreement"])


def test_equal_answers_are_equal_texts() -> None:
    assert find_answer(problem(), "The answer is 1,300.") == "1300"
    assert find_answer(problem(), "I get 0.5") == find_answer(problem(), "It is 1/2") == "1/2"
    assert find_answer(problem(), "no idea") is None
    assert find_answer(problem("Which?", choices=("red", "blue")), "B. blue") == "B"
