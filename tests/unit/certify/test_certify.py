"""The whole of `certify` over the toy engine: what is right passes, what is wrong is caught."""

from __future__ import annotations

from dataclasses import replace

import pytest
from loop_tools import load as loop_load

from outrider import registry
from outrider.certify import Wish, certify
from outrider.engines.toy import ToyEngine
from outrider.errors import UsageError
from outrider.tree import ROOT
from outrider.types import Verdict
from outrider.verify import CoupledVerifier, RejectionVerifier

PROMPTS = [(i, tuple((7 * i + 3 * j) % 48 for j in range(9 + i))) for i in range(8)]
WISH = Wish(drafters=("ngram",), controllers=("fixed",), max_tokens=48, draws=200)


class Once(CoupledVerifier):
    """Coupled, but at the n-th call whose draft is wrong it accepts a wrong child."""

    left = 0

    def verify(self, outcome, root, position, tree, sampler, *, mask=None):
        right = super().verify(outcome, root, position, tree, sampler, mask=mask)
        wrong = [n for n in tree.children(ROOT) if tree.tokens[n] != self._first(tree, right)]
        if not wrong or type(self).left == 0:
            return right
        type(self).left -= 1
        if type(self).left:
            return right
        (token,) = outcome.choose([root + 1 + wrong[0]], [sampler], [position + 1])
        type(self).wrong = (position, tree.tokens[wrong[0]])
        return Verdict((wrong[0],), token)

    @staticmethod
    def _first(tree, verdict):
        return tree.tokens[verdict.accepted[0]] if verdict.accepted else verdict.token


class Gullible(RejectionVerifier):
    """Accepts twice as readily as it may."""

    def verify(self, outcome, root, position, tree, sampler, *, mask=None):
        class Eager:
            def __getattr__(self, name):
                return getattr(sampler, name)

            def uniforms(self, *arguments):
                return sampler.uniforms(*arguments) / 2

        return super().verify(outcome, root, position, tree, Eager(), mask=mask)


def loading(**verifiers):
    def load(group: registry.Group, spec: str):
        if group == "verifiers" and spec in verifiers:
            return verifiers[spec]
        return loop_load(group, spec)

    return load


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("trees", [False, True])
def test_coupled_verification_is_identical(batch: bool, trees: bool) -> None:
    engine = ToyEngine(trees=trees, cache_tokens=4096)
    found = certify(engine, PROMPTS, replace(WISH, batch=batch))
    assert found.identical
    assert found.exit_status == 0
    assert {cell.status for cell in found.cells} == {"identical"}
    assert [cell.setting.temperature for cell in found.cells] == [0.0, 1.0]
    for cell in found.cells:
        assert min(cell.accepted, cell.rejected) >= 200
        assert 0 < cell.own < cell.accepted
        assert not cell.notes
    assert (found.cancelled > 0) == batch
    assert not engine.sequences


def test_mixed_batches_leave_little_room_in_the_cache() -> None:
    engine = ToyEngine(cache_tokens=4096)
    found = certify(engine, PROMPTS, replace(WISH, batch=True))
    longest = max(len(tokens) for _, tokens in PROMPTS) + WISH.max_tokens - 1
    assert found.room is not None
    assert longest <= found.room <= 4 * longest
    assert engine.free_tokens == 4096


@pytest.mark.parametrize("batch", [False, True])
def test_an_injected_wrong_acceptance_is_caught_where_it_happened(batch: bool) -> None:
    Once.left = 9
    wish = replace(WISH, temperatures=(0.0,), batch=batch)
    found = certify(ToyEngine(cache_tokens=4096), PROMPTS, wish, load=loading(coupled=Once))
    assert not found.identical
    assert found.exit_status == 1
    failure = found.failures[0]
    prompt = dict(PROMPTS)[failure.prompt]
    assert (len(prompt) + failure.position, failure.speculative.token) == Once.wrong
    assert failure.plain.logit > failure.speculative.logit
    assert failure.plain.logprob == pytest.approx(failure.plain.logprob_then)
    assert failure.speculative.logprob == pytest.approx(failure.speculative.logprob_then)
    assert failure.plain_continues[0] == failure.plain.token
    assert failure.speculative_continues[0] == failure.speculative.token


def test_rejection_is_tested_by_its_distribution() -> None:
    wish = replace(WISH, verifications=("rejection",), draws=400)
    greedy, sampled = certify(ToyEngine(), PROMPTS, wish).cells
    assert greedy.status == "identical"
    assert sampled.status == "passed"
    assert sampled.chi_square.degrees > 20


def test_rejection_that_accepts_too_much_is_caught() -> None:
    wish = replace(WISH, verifications=("rejection",), temperatures=(1.0,))
    found = certify(ToyEngine(), PROMPTS, wish, load=loading(rejection=Gullible))
    assert [cell.status for cell in found.cells] == ["different"]
    assert found.exit_status == 1


def test_typical_acceptance_is_measured_and_never_called_identical() -> None:
    wish = replace(WISH, verifications=("typical",))
    found = certify(ToyEngine(), PROMPTS, wish)
    assert {cell.status for cell in found.cells} == {"measured"}
    assert not found.identical
    greedy, sampled = (cell.divergence for cell in found.cells)
    assert (greedy.different, greedy.logprob_change) == (0.0, 0.0)
    assert 0.0 < sampled.different < 1.0
    assert sampled.logprob_change != 0.0


def test_a_cell_with_too_few_nodes_is_tried_again() -> None:
    found = certify(ToyEngine(), PROMPTS, replace(WISH, temperatures=(0.0,), max_tokens=24))
    (cell,) = found.cells
    assert cell.status == "identical"
    assert cell.checked > len(PROMPTS)
    assert min(cell.accepted, cell.rejected) >= 200


def test_too_few_nodes_are_inconclusive() -> None:
    found = certify(ToyEngine(), PROMPTS[:1], replace(WISH, max_tokens=8))
    assert found.identical
    assert {cell.status for cell in found.cells} == {"inconclusive"}
    assert found.exit_status == 2


def test_all_registered_drafters_that_run_are_certified() -> None:
    found = certify(ToyEngine(), PROMPTS[:1], Wish(max_tokens=4))
    tried = {cell.setting.drafter for cell in found.cells}
    left_out = {name for name, _ in found.left_out}
    assert "ngram" in tried
    assert {cell.setting.controller for cell in found.cells} == {"fixed", "cost"}
    assert tried | left_out == set(registry.names("drafters")) - {"none"}


def test_drafters_of_every_character_stay_identical() -> None:
    wish = replace(
        WISH, drafters=("random", "self", "raising"), controllers=("fixed", "cost", "choosy")
    )
    wish = replace(wish, max_tokens=16)
    found = certify(ToyEngine(), PROMPTS[:3], wish, load=loop_load)
    assert found.identical
    notes = {note for cell in found.cells for note in cell.notes}
    assert any("out of ideas" in note for note in notes)


def test_parts_that_do_not_go_together_are_left_out_by_name() -> None:
    wish = replace(WISH, drafters=("self",), controllers=("choosy",), verifications=("rejection",))
    with pytest.raises(UsageError, match="cannot judge"):
        certify(ToyEngine(), PROMPTS, wish, load=loop_load)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (replace(WISH, drafters=("none",)), "plain decoding itself"),
        (replace(WISH, drafters=("nothing",)), "Unknown drafter"),
        (Wish(max_tokens=500), "fit the context"),
        (Wish(seeds=()), "one seed"),
    ],
)
def test_what_cannot_be_certified_is_refused(wish: Wish, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        certify(ToyEngine(), PROMPTS, wish)
