"""The loop where drafts meet an end: of the pass, the context, the answer, a mask, the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from loop_tools import DRAFTERS, Answer, Asked, OracleDrafter, load, loop_on, plain, run

import synthetic
from outrider import registry
from outrider.decode import Loop
from outrider.drafters.base import DraftEntry, Drafter
from outrider.engines.native import NativeEngine
from outrider.engines.toy import ToyEngine
from outrider.sampling import pack_mask
from outrider.tree import ROOT, Tree
from outrider.types import Sampling, Speculation
from synthetic import Shape

VOCAB = 48
PROMPT = (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5)
WARM = Sampling(temperature=1.0, top_p=0.95)
VERIFIERS = ("coupled", "rejection", "typical")


@pytest.fixture(autouse=True)
def truth():
    """The oracle's answers: what plain greedy decoding says."""
    OracleDrafter.answers = {PROMPT: plain(PROMPT).tokens}
    yield OracleDrafter.answers
    OracleDrafter.answers = {}


class WideDrafter(Drafter):
    """Every token of the vocabulary at once, and below the first of them again."""

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        every = tuple(range(self.target.vocab_size))
        parents = (ROOT,) * len(every) + (0,) * len(every)
        return [Tree(every * 2, parents, (1.0 / len(every),) * len(parents)) for _ in batch]


class PoisonDrafter(OracleDrafter):
    """The truth, and beside each of its tokens one behind which nothing is a number."""

    def draft(self, batch: Sequence[DraftEntry]) -> list[Tree]:
        trees = []
        for chain in super().draft(batch):
            tokens, parents, last = [], [], ROOT
            for token in chain.tokens[:4]:
                tokens += [POISON, token]
                parents += [last, last]
                last = len(tokens) - 1
            trees.append(Tree(tuple(tokens), tuple(parents), (0.5,) * len(tokens)))
        return trees


POISON = 47


class PoisonedEngine(ToyEngine):
    """Never says one token, and is lost behind it."""

    def logits(self, state, token, layers):
        logits = super().logits(state, token, layers)
        logits[POISON] = -np.inf
        return logits * np.nan if token == POISON else logits


@pytest.fixture(autouse=True)
def more_drafters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DRAFTERS, "wide", WideDrafter)
    monkeypatch.setitem(DRAFTERS, "poison", PoisonDrafter)


def drafted(drafter: str, *, loop: Loop | None = None, prompt=PROMPT, **settings) -> Answer:
    """The answer with drafts of up to a thousand nodes."""
    wish = {"num_draft_tokens": 1000} | settings.pop("wish", {})
    asked = Asked(prompt, speculation=Speculation(drafter=drafter, **wish), **settings)
    run(loop or loop_on(), asked)
    return asked.answer


# ---- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("controller", registry.names("controllers"))
def test_trees_wider_than_the_pass_are_cut(controller: str) -> None:
    """Every controller keeps to the rows there are."""
    engine = ToyEngine()
    loop = loop_on(engine)
    asked = [
        Asked(
            PROMPT[i:],
            speculation=Speculation(drafter="wide", controller=controller, num_draft_tokens=1000),
        )
        for i in range(3)
    ]
    run(loop, *asked)
    for i, one in enumerate(asked):
        assert one.answer.tokens == plain(PROMPT[i:]).tokens
        assert one.answer.usage.note is None
    if controller == "fixed":
        assert loop.totals.draft_rows > 0
    most = max(step.decode_rows + step.draft_rows + step.prefill_rows for step in loop.steps)
    assert most <= engine.capabilities.max_rows


def test_a_tree_wider_than_the_pass_that_nobody_cuts_is_decoded_plainly() -> None:
    answer = drafted("wide", wish={"controller": "wasteful"})
    assert answer.tokens == plain(PROMPT).tokens
    assert "more than the 63 rows there are" in answer.usage.note


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("limits")
    synthetic.write(directory / "target.gguf", Shape(layers=3, vocab=300, context=64))
    synthetic.write(directory / "draft.gguf", Shape(layers=1, vocab=300, context=64))
    return directory


@pytest.fixture(scope="module")
def native(files: Path) -> NativeEngine:
    return NativeEngine(files / "target.gguf", threads=1, cache_bytes=1 << 22, max_rows=24)


NATIVE_PROMPT = (7, 8, 9, 7, 8, 9, 7, 8)
NAMES = (
    "ngram",
    "suffix",
    "recycle:k=64",
    "mixed",
    "early_exit:layers=1,branch=3",
    "model:draft_model={}/draft.gguf",
    "model:draft_model={}/draft.gguf,branch=3",
    "wide",
)


def native_answer(native: NativeEngine, speculation: Speculation, **settings) -> Answer:
    asked = Asked(NATIVE_PROMPT, speculation=speculation, **settings)
    run(Loop(native, load=load, max_streams=4), asked)
    return asked.answer


@pytest.mark.parametrize("count", [0, 5000])
@pytest.mark.parametrize("controller", registry.names("controllers"))
@pytest.mark.parametrize("name", NAMES)
def test_budgets_of_nothing_and_of_thousands(
    native: NativeEngine, files: Path, name: str, controller: str, count: int
) -> None:
    """The answer fills the context to its last position; scratch rows are 24."""
    settings = {"max_tokens": native.context - len(NATIVE_PROMPT) + 1, "sampling": WARM}
    speculation = Speculation(
        drafter=name.format(files), controller=controller, num_draft_tokens=count
    )
    answer = native_answer(native, speculation, **settings)
    expected = native_answer(native, Speculation(drafter="none"), **settings)
    assert answer.tokens == expected.tokens
    assert len(answer.tokens) == settings["max_tokens"]
    assert answer.usage.note is None
    if count == 0:
        assert answer.usage.draft_tokens == answer.usage.empty_steps == 0
        assert answer.usage.plain_steps == answer.usage.steps


# ---- the context --------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [1, 2, 3, 8])
@pytest.mark.parametrize("drafter", ["oracle", "branching", "random", "wide", "mixed"])
def test_drafts_end_with_the_context(truth, drafter: str, left: int) -> None:
    engine = ToyEngine(context=32)
    # The last token is said and never computed, so it needs no position.
    prompt, most = tuple(range(33 - left)), left
    alone = Asked(prompt, max_tokens=most)
    run(loop_on(ToyEngine(context=32)), alone)
    truth[prompt] = alone.answer.tokens
    answer = drafted(drafter, loop=loop_on(engine), prompt=prompt, max_tokens=most)
    assert answer.tokens == alone.answer.tokens
    assert len(answer.tokens) == most
    assert answer.usage.note is None
    assert not engine.sequences


# ---- ends inside an accepted span ---------------------------------------------------------------


@pytest.mark.parametrize("verification", VERIFIERS)
@pytest.mark.parametrize("drafter", ["oracle", "branching"])
@pytest.mark.parametrize("end", [1, 2, 5, 11])
def test_every_end_inside_an_accepted_span(
    truth, drafter: str, verification: str, end: int
) -> None:
    """End of text, stop strings and max_tokens at once: the first of them counts."""
    tokens = truth[PROMPT]
    wish = {"num_draft_tokens": 16, "verification": verification}
    for settings in (
        {"stop_tokens": frozenset({tokens[end]})},
        {"stop": tokens[end]},
        {"max_tokens": end},
        {"stop_tokens": frozenset({tokens[end + 1]}), "stop": tokens[end], "max_tokens": end + 3},
        {"stop_tokens": frozenset({tokens[end]}), "stop": tokens[end]},
    ):
        answer, expected = drafted(drafter, wish=wish, **settings), plain(PROMPT, **settings)
        for name in ("tokens", "text", "reason"):
            assert getattr(answer, name) == getattr(expected, name)
        usage = answer.usage
        assert usage.completion_tokens == len(answer.tokens)
        assert usage.accepted_tokens == sum(usage.accepted_per_position)
        assert usage.accepted_tokens == sum(origin is not None for origin in answer.origins)
        assert usage.accepted_tokens <= usage.completion_tokens


# ---- masks --------------------------------------------------------------------------------------


class Steps:
    """Allows one set of tokens after another; after the last of them, nothing."""

    def __init__(self, *sets: Sequence[int]) -> None:
        self._sets = sets

    def start(self) -> object:
        return 0

    def advance(self, state, token):
        return state + 1 if state < len(self._sets) and token in self._sets[state] else None

    def mask(self, state):
        allowed = self._sets[state] if state < len(self._sets) else ()
        return pack_mask(sorted(allowed), VOCAB)


@pytest.mark.parametrize("verification", VERIFIERS)
@pytest.mark.parametrize("drafter", ["oracle", "branching", "random", "wide", "mixed", "blurred"])
def test_a_mask_that_allows_one_token(truth, drafter: str, verification: str) -> None:
    forced = [5, 9, 5, 9, 9, 9, 2, 40, 41, 42]
    truth[PROMPT] = forced
    settings = {
        "constraint": Steps(*([token] for token in forced)),
        "max_tokens": len(forced),
        "sampling": WARM,
        "wish": {"num_draft_tokens": 6, "verification": verification, "controller": "fixed"},
    }
    answer = drafted(drafter, **settings)
    assert (answer.tokens, answer.reason) == (forced, "length")
    assert answer.usage.note is None
    if drafter == "oracle":
        assert answer.usage.accepted_tokens == answer.usage.draft_tokens == 7


@pytest.mark.parametrize("verification", VERIFIERS)
@pytest.mark.parametrize("drafter", ["oracle", "branching", "random", "wide", "mixed", "none"])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_mask_that_allows_none_ends_its_request_alone(
    truth, drafter: str, verification: str, steps: int
) -> None:
    """Whether it is met at the root or in the middle of a draft, and whatever shares the pass."""
    whole = Speculation(drafter="random", num_draft_tokens=4)
    speculation = Speculation(drafter=drafter, num_draft_tokens=3, verification=verification)
    broken = Asked(PROMPT, constraint=Steps(*[range(VOCAB)] * steps), speculation=speculation)
    other = Asked(PROMPT[1:], speculation=whole)
    engine = ToyEngine()
    run(loop_on(engine), broken, other)
    assert broken.answer.reason == "error"
    assert "No token is left" in broken.answer.error
    # A pass that fails says nothing, so of what came before its draft nothing is missing.
    assert broken.answer.tokens == truth[PROMPT][: len(broken.answer.tokens)]
    assert len(broken.answer.tokens) <= steps
    if drafter == "none":
        assert len(broken.answer.tokens) == steps
    assert other.answer.tokens == plain(PROMPT[1:]).tokens
    assert not engine.sequences


# ---- numbers ------------------------------------------------------------------------------------


def plain_on_poisoned(**settings) -> Answer:
    asked = Asked(PROMPT, **settings)
    run(loop_on(PoisonedEngine()), asked)
    return asked.answer


@pytest.mark.parametrize("verification", VERIFIERS)
@pytest.mark.parametrize("sampling", [Sampling(), WARM])
def test_rows_that_are_no_numbers_beside_the_path_do_no_harm(
    truth, verification: str, sampling: Sampling
) -> None:
    truth[PROMPT] = expected = plain_on_poisoned(sampling=sampling).tokens
    assert POISON not in expected
    wish = {"num_draft_tokens": 8, "verification": verification}
    answer = drafted("poison", loop=loop_on(PoisonedEngine()), sampling=sampling, wish=wish)
    assert answer.reason == "length"
    if verification == "coupled" or sampling.temperature == 0:
        assert answer.tokens == expected
    assert answer.usage.note is None
    assert answer.usage.draft_tokens > answer.usage.accepted_tokens > 0


@pytest.mark.parametrize("drafter", ["recycle", "mixed", "early_exit:layers=2", "wide"])
def test_drafters_survive_rows_that_are_no_numbers(drafter: str) -> None:
    """Drafters learn from rejected rows too, those behind the poisoned token included."""
    prompt = (*PROMPT, POISON, *PROMPT)
    engine = PoisonedEngine()
    asked = Asked(prompt, speculation=Speculation(drafter=drafter, num_draft_tokens=20))
    run(loop_on(engine), asked)
    alone = Asked(prompt)
    run(loop_on(PoisonedEngine()), alone)
    assert asked.answer.tokens == alone.answer.tokens
    assert asked.answer.usage.note is None


class LostEngine(ToyEngine):
    """Nothing is a number behind one token."""

    def logits(self, state, token, layers):
        logits = super().logits(state, token, layers)
        return logits * np.nan if token == self.lost else logits

    lost = -1


@pytest.mark.parametrize("verification", VERIFIERS)
@pytest.mark.parametrize("drafter", ["oracle", "branching", "none"])
def test_a_path_that_is_no_number_ends_its_request_alone(
    truth, drafter: str, verification: str
) -> None:
    tokens = truth[PROMPT]
    engine = LostEngine()
    engine.lost = tokens[3]
    assert engine.lost not in (*PROMPT, *tokens[:3])
    speculation = Speculation(drafter=drafter, num_draft_tokens=6, verification=verification)
    broken = Asked(PROMPT, speculation=speculation)
    whole = Asked((1, 2), max_tokens=2, speculation=Speculation(drafter="random"))
    run(loop_on(engine), broken, whole)
    assert broken.answer.reason == "error"
    assert "NaN" in broken.answer.error
    # What leads to the fault is said, drafted or not.
    assert broken.answer.tokens == tokens[:4]
    assert whole.answer.reason == "length"
    assert not engine.sequences
