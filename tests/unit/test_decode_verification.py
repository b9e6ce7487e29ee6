"""The loop under the verifiers that are not the default."""

from __future__ import annotations

import pytest
from loop_tools import Asked, OracleDrafter, loop_on, plain, run

from outrider.constraints import AllowedTokens
from outrider.errors import UsageError
from outrider.tree import Tree
from outrider.types import Sampling, Speculation
from outrider.verify import RejectionVerifier

PROMPT = (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5)
WARM = Sampling(temperature=1.0, top_p=0.9, frequency_penalty=0.3)


@pytest.fixture(autouse=True)
def truth():
    """The oracle's answer: what plain greedy decoding says."""
    OracleDrafter.answers = {PROMPT: plain(PROMPT).tokens}
    yield
    OracleDrafter.answers = {}


def ask(verification: str, drafter: str, controller: str | None = None, **settings) -> Asked:
    speculation = Speculation(
        drafter=drafter, verification=verification, num_draft_tokens=4, controller=controller
    )
    return Asked(PROMPT, speculation=speculation, **settings)


@pytest.mark.parametrize("verification", ["rejection", "typical"])
@pytest.mark.parametrize(
    "drafter", ["random", "oracle", "branching", "ngram", "raising", "blurred"]
)
def test_greedily_all_say_what_plain_decoding_says(verification: str, drafter: str) -> None:
    asked = ask(verification, drafter)
    run(loop_on(), asked)
    assert asked.answer.tokens == plain(PROMPT).tokens


@pytest.mark.parametrize("sampling", [Sampling(), WARM])
def test_rejection_accepts_all_that_the_target_itself_drafts(sampling: Sampling) -> None:
    asked = ask("rejection", "self", sampling=sampling)
    run(loop_on(), asked)
    usage = asked.answer.usage
    assert usage.note is None
    assert usage.accepted_tokens == usage.draft_tokens > 0
    assert usage.steps == 5


@pytest.mark.parametrize("verification", ["rejection", "typical"])
@pytest.mark.parametrize("drafter", ["branching", "blurred"])
def test_the_same_seed_gives_the_same_tokens_in_any_company(
    verification: str, drafter: str
) -> None:
    alone = ask(verification, drafter, sampling=WARM)
    run(loop_on(), alone)
    again = ask(verification, drafter, sampling=WARM)
    run(loop_on(prefill_chunk=3), again, ask("coupled", "random", sampling=WARM, seed=8))
    assert again.answer.tokens == alone.answer.tokens
    assert 0 < alone.answer.usage.accepted_tokens < alone.answer.usage.draft_tokens


@pytest.mark.parametrize("verification", ["rejection", "typical"])
@pytest.mark.parametrize("drafter", ["random", "blurred"])
def test_a_constraint_holds(verification: str, drafter: str) -> None:
    asked = ask(verification, drafter, sampling=WARM, constraint=AllowedTokens([2, 3, 7], 48), n=3)
    run(loop_on(), asked)
    for answer in asked.answers:
        assert answer.reason == "length"
        assert set(answer.tokens) <= {2, 3, 7}


def test_a_drawn_token_that_the_constraint_forbids_is_refused_not_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dropped, it would leave its share of the draft's distribution to the target's whole one."""
    seen: list[Tree] = []

    class Watching(RejectionVerifier):
        def verify(self, outcome, root, position, tree, sampler, *, mask=None):
            seen.append(tree)
            return super().verify(outcome, root, position, tree, sampler, mask=mask)

    monkeypatch.setattr("outrider.verify.RejectionVerifier", Watching)
    allowed = {2, 3, 7}
    asked = ask("rejection", "blurred", sampling=WARM, constraint=AllowedTokens([*allowed], 48))
    run(loop_on(), asked)
    drafted = [tree for tree in seen if len(tree)]
    forbidden = [tree for tree in drafted if tree.tokens[-1] not in allowed]
    # Every draft gets this far, and what was drawn behind a forbidden token goes with it.
    assert len(drafted) == asked.answer.usage.steps - 1
    assert forbidden
    assert all(allowed.issuperset(tree.tokens[:-1]) for tree in drafted)


def test_a_controller_that_looks_at_draws_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"'choosy' .* 'rejection' .* 'blurred' draws"):
        loop_on().add(ask("rejection", "blurred", "choosy").job)
    for verification, drafter, controller in (
        ("rejection", "oracle", "choosy"),
        ("rejection", "blurred", "fixed"),
        ("coupled", "blurred", "choosy"),
        ("typical", "blurred", "choosy"),
    ):
        asked = ask(verification, drafter, controller)
        run(loop_on(), asked)
        assert asked.answer.tokens == plain(PROMPT).tokens
        assert asked.answer.usage.accepted_tokens > 0


def test_a_drafter_that_does_not_say_it_draws_is_decoded_plainly() -> None:
    asked = ask("rejection", "secretive")
    run(loop_on(), asked)
    assert asked.answer.usage.draft_tokens == 0
    assert "does not say it draws" in asked.answer.usage.note


@pytest.mark.parametrize("verification", ["rejection", "typical"])
def test_without_speculation_all_say_the_same(verification: str) -> None:
    off = Speculation(enabled=False, drafter="blurred", verification=verification)
    asked = Asked(PROMPT, speculation=off, sampling=WARM)
    run(loop_on(), asked)
    assert asked.answer.tokens == plain(PROMPT, sampling=WARM).tokens


def test_options_of_parts_reach_them() -> None:
    # A threshold that nothing exceeds leaves the target's own choices.
    own = plain(PROMPT, sampling=WARM).tokens
    for verification, same in (("typical:epsilon=1,delta=1e9", True), ("typical:epsilon=0", False)):
        asked = ask(verification, "oracle", sampling=WARM)
        run(loop_on(), asked)
        assert (asked.answer.tokens == own) == same
    with pytest.raises(UsageError, match="epsilon has to lie in"):
        loop_on().add(ask("typical:epsilon=2", "oracle").job)
