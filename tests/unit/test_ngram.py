from __future__ import annotations

import pytest

from outrider.drafters.base import DraftEntry, Observation
from outrider.drafters.free import NgramDrafter
from outrider.engines.base import Pass, Rows
from outrider.engines.toy import ToyEngine
from outrider.errors import UsageError
from outrider.sampling import Sampler
from outrider.testing import committed
from outrider.tree import ROOT, Tree
from outrider.types import Sampling, Verdict


def entry_of(tokens: list[int], nodes: int = 4, number: int = 0) -> DraftEntry:
    sampler = Sampler(Sampling(), vocab_size=48, seed=0)
    return DraftEntry(number, tokens, len(tokens), sampler, max_nodes=nodes, max_depth=nodes)


def drafter(trees: bool = False, **options: int) -> NgramDrafter:
    return NgramDrafter(ToyEngine(trees=trees), **options)


def draft(tokens: list[int], nodes: int = 4, trees: bool = False, **options: int) -> Tree:
    made = drafter(trees, **options)
    entry = entry_of(tokens, nodes)
    made.begin(entry)
    return made.draft([entry])[0]


def some_pass() -> Pass:
    target = ToyEngine()
    rows: Rows = committed(target.open([1], 8), [1])
    return target.forward(rows)


def test_what_followed_before_is_proposed() -> None:
    assert draft([1, 2, 3, 4, 5, 9, 1, 2]).tokens == (3, 4, 5, 9)


def test_nothing_where_nothing_matches() -> None:
    assert len(draft([1, 2, 3, 4])) == 0


def test_the_longest_match_wins() -> None:
    assert draft([1, 2, 7, 3, 2, 8, 5, 2, 8, 6, 1, 2], nodes=1).tokens == (7,)


def test_a_match_shorter_than_the_least_is_not_taken() -> None:
    tokens = [1, 2, 3, 4, 5, 2]
    assert draft(tokens, nodes=1).tokens == (3,)
    assert len(draft(tokens, nodes=1, min_match=2)) == 0


def test_the_most_frequent_follower_and_of_equals_the_latest() -> None:
    assert draft([1, 2, 1, 2, 1, 3, 1], nodes=1, max_match=1).tokens == (2,)
    assert draft([1, 2, 1, 3, 1], nodes=1, max_match=1).tokens == (3,)


def test_the_latest_is_a_second_guess() -> None:
    tree = draft([1, 2, 1, 2, 1, 3, 1], nodes=8, trees=True, max_match=1)
    first_level = [tree.tokens[n] for n in tree.children(ROOT)]
    assert first_level == [2, 3]
    assert sum(tree.probabilities[n] for n in tree.children(ROOT)) <= 1


def test_a_draft_goes_round_and_round() -> None:
    assert draft([1, 2, 1, 2], nodes=6).tokens == (1, 2, 1, 2, 1, 2)


def test_longer_matches_are_trusted_more() -> None:
    long = draft([1, 2, 3, 4, 9, 1, 2, 3], nodes=1)
    short = draft([1, 2, 3, 4, 9, 8, 7, 3], nodes=1)
    assert long.tokens == short.tokens == (4,)
    assert long.probabilities[0] > short.probabilities[0]


def test_price_of_a_row_is_respected() -> None:
    entry = entry_of([1, 2, 1, 2, 1, 2], nodes=30)
    made = drafter()
    made.begin(entry)
    entry.min_path_probability = 0.2
    (tree,) = made.draft([entry])
    assert 0 < len(tree) < 30
    assert min(tree.path_probabilities()) >= 0.2


def test_new_tokens_are_read_as_they_come() -> None:
    made = drafter()
    entry = entry_of([1, 2, 3])
    made.begin(entry)
    assert len(made.draft([entry])[0]) == 0
    entry.tokens += [1, 2]
    assert made.draft([entry])[0].tokens == (3, 1, 2, 3)


def test_probabilities_follow_what_is_observed() -> None:
    outcome = some_pass()
    made = drafter()

    def run(right: bool, number: int) -> float:
        entry = entry_of([1, 2, 3, 4, 1, 2], nodes=1, number=number)
        made.begin(entry)
        (tree,) = made.draft([entry])
        verdict = Verdict((0,), 9) if right else Verdict((), 9)
        entry.tokens += [3, 9] if right else [9]
        made.observe([Observation(entry, tree, verdict)], outcome)
        made.end(entry)
        return tree.probabilities[0]

    prior = run(True, 0)
    for number in range(1, 60):
        risen = run(True, number)
    assert risen > max(prior, 0.9)
    for number in range(60, 300):
        fallen = run(False, number)
    assert fallen < 0.3


def test_one_request_may_differ_from_the_rest() -> None:
    outcome = some_pass()
    made = drafter()
    lucky, other = entry_of([1, 2, 1, 2], 1, 0), entry_of([1, 2, 1, 2], 1, 1)
    for entry in (lucky, other):
        made.begin(entry)
    for _ in range(20):
        (tree,) = made.draft([lucky])
        lucky.tokens += [tree.tokens[0], 2 if tree.tokens[0] == 1 else 1]
        verdict = Verdict((0,), lucky.tokens[-1])
        made.observe([Observation(lucky, tree, verdict)], outcome)
    first, second = made.draft([lucky, other])
    assert first.probabilities[0] > second.probabilities[0]


def test_guesses_without_a_row_are_judged_too() -> None:
    outcome = some_pass()
    made = drafter()
    entry = entry_of([1, 2] * 3, 1)
    made.begin(entry)
    before = made.draft([entry])[0].probabilities[0]
    for _ in range(10):
        made.draft([entry])
        came = 1 if entry.tokens[-1] == 2 else 2
        entry.tokens.append(came)
        made.observe([Observation(entry, Tree(), Verdict((), came))], outcome)
    assert made.draft([entry])[0].probabilities[0] > before


@pytest.mark.parametrize(("least", "most"), [(0, 3), (3, 2)])
def test_impossible_match_lengths(least: int, most: int) -> None:
    with pytest.raises(UsageError, match="min_match"):
        drafter(min_match=least, max_match=most)
