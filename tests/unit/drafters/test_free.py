from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from outrider import _native
from outrider.drafters.base import DraftEntry, Observation
from outrider.drafters.free import FreeDrafter, NgramDrafter, RecycleDrafter, SuffixDrafter
from outrider.engines.toy import ToyEngine
from outrider.errors import UsageError
from outrider.sampling import Sampler
from outrider.testing import GivenPass
from outrider.tree import EMPTY, ROOT, Tree
from outrider.types import Sampling, Verdict

VOCAB = 48
ANY = GivenPass(np.zeros((4096, VOCAB), np.float32))
TEXTS = st.permutations([t for t in range(6) for _ in range(6)]).flatmap(
    lambda text: st.integers(1, len(text)).map(lambda n: text[:n])
)


def entry_of(
    tokens: Sequence[int], nodes: int = 64, depth: int = 1, number: int = 0, temperature: float = 0
) -> DraftEntry:
    sampler = Sampler(Sampling(temperature=temperature), vocab_size=VOCAB, seed=0)
    return DraftEntry(number, list(tokens), len(tokens), sampler, max_nodes=nodes, max_depth=depth)


def begun(drafter: FreeDrafter, entry: DraftEntry) -> DraftEntry:
    drafter.begin(entry)
    return entry


def guessed(drafter: FreeDrafter, tokens: Sequence[int]) -> dict[int, float]:
    """What is guessed behind these tokens, likeliest first, with probabilities."""
    (tree,) = drafter.draft([begun(drafter, entry_of(tokens))])
    return dict(zip(tree.tokens, tree.probabilities, strict=True))


def say(
    drafter: FreeDrafter,
    entry: DraftEntry,
    token: int,
    outcome: GivenPass = ANY,
    tree: Tree = EMPTY,
) -> None:
    """The target rejects the tree, if any, and chooses this token."""
    entry.tokens.append(token)
    drafter.observe([Observation(entry, tree, Verdict((), token))], outcome)


def favouring(*rows: Sequence[int]) -> GivenPass:
    """A pass whose rows like these tokens, the first of each most."""
    logits = np.full((len(rows), VOCAB), -10.0, np.float32)
    for row, tokens in zip(logits, rows, strict=True):
        row[list(tokens)] = -np.arange(len(tokens))
    return GivenPass(logits)


# ---- the indices against plain models of them ---------------------------------------------------


def naive_ngram(text: Sequence[int], least: int, most: int) -> set[int]:
    """The most frequent follower of the longest known n-gram, the latest of equals; the latest."""
    for n in range(min(most, len(text)), least - 1, -1):
        places = [i for i in range(n, len(text)) if text[i - n : i] == text[-n:]]
        if places:
            counts = Counter(text[i] for i in places)
            latest = {text[i]: i for i in places}
            best = max(counts, key=lambda token: (counts[token], latest[token]))
            return {best, text[places[-1]]}
    return set()


def naive_matches(text: Sequence[int]) -> dict[int, int]:
    """For each token that followed what matches the end of the text, the longest match."""
    longest: dict[int, int] = {}
    for i in range(1, len(text)):
        n = 0
        while n < min(i, len(text)) and text[i - 1 - n] == text[len(text) - 1 - n]:
            n += 1
        if n:
            longest[text[i]] = max(longest.get(text[i], 0), n)
    return longest


@given(TEXTS, st.integers(1, 3), st.integers(0, 2))
def test_ngrams_are_those_of_a_plain_model(text: list[int], least: int, more: int) -> None:
    drafter = NgramDrafter(ToyEngine(), min_match=least, max_match=least + more)
    assert set(guessed(drafter, text)) == naive_ngram(text, least, least + more)


@given(TEXTS, st.integers(1, 4))
def test_suffixes_are_those_of_a_plain_model(text: list[int], least: int) -> None:
    drafter = SuffixDrafter(ToyEngine(), min_match=least)
    expected = {token for token, n in naive_matches(text).items() if n >= least}
    assert set(guessed(drafter, text)) == expected


@given(TEXTS, st.integers(1, 20))
def test_it_does_not_matter_how_a_text_came(text: list[int], chunk: int) -> None:
    engine = ToyEngine()
    whole, parts = (FreeDrafter(engine, ("ngram", "suffix")) for _ in range(2))
    expected = whole.draft([begun(whole, entry_of(text, depth=5))])
    entry = begun(parts, entry_of(text[:1], depth=5))
    for start in range(1, len(text), chunk):
        entry.tokens += text[start : start + chunk]
        parts.draft([entry])
    assert parts.draft([entry]) == expected


def test_a_text_that_outgrows_the_first_table_is_still_found() -> None:
    numbers = random.Random(3)
    text = [numbers.randrange(VOCAB) for _ in range(3000)]
    assert guessed(SuffixDrafter(ToyEngine()), text + text[700:710]).keys() >= {text[710]}


def test_the_longer_of_two_long_matches_is_trusted_more() -> None:
    long = [1, 2, 3, 4, 5, 6, 7, 8]
    found = guessed(SuffixDrafter(ToyEngine()), [*long, 20, 30, *long[4:], 21, 31, *long])
    assert found[20] > found[21]


def test_what_followed_more_often_is_trusted_more() -> None:
    found = guessed(SuffixDrafter(ToyEngine()), [1, 20, 1, 20, 1, 20, 1, 21, 1])
    assert found[20] > found[21]


# ---- past outputs -------------------------------------------------------------------------------


def finish(drafter: FreeDrafter, prompt: Sequence[int], output: Sequence[int]) -> None:
    entry = begun(drafter, entry_of(prompt))
    for token in output:
        say(drafter, entry, token)
    drafter.end(entry)


@pytest.mark.parametrize("past", [False, True])
def test_past_outputs_are_proposed_where_asked_for(past: bool) -> None:
    drafter = SuffixDrafter(ToyEngine(), past=past)
    finish(drafter, [1, 2], [3, 4, 5, 6])
    assert guessed(drafter, [7, 3, 4]).keys() == ({5} if past else set())
    assert not guessed(drafter, [7, 1])  # a prompt is no output


def test_outputs_do_not_run_into_one_another() -> None:
    drafter = SuffixDrafter(ToyEngine(), past=True)
    finish(drafter, [1], [2, 3])
    finish(drafter, [1], [4, 5])
    assert not guessed(drafter, [7, 3])


def test_the_oldest_outputs_are_forgotten() -> None:
    grower = _native.Grower(["suffix"], VOCAB, True, 1, 4, True, 8)

    def finish(tokens: Sequence[int]) -> None:
        grower.begin(0, 0, 0.0)
        grower.extend(0, tokens)
        grower.end(0, [])

    def proposed(tokens: Sequence[int]) -> tuple[int, ...]:
        grower.begin(1, 0, 0.0)
        ((drafted, *_),) = grower.draft([1], [list(tokens)], [8], [1], [0.0])
        return drafted

    finish([40, 41, 42, 43])
    assert proposed([40, 41, 42]) == (43,)
    filler = list(range(10)) * 4000
    while grower.past_tokens < _native.PAST_TOKENS:
        finish(filler)
    finish(filler)
    assert grower.past_tokens == _native.PAST_TOKENS
    assert proposed([40, 41, 42]) == ()
    assert 4 in proposed([1, 2, 3])


# ---- recycling ----------------------------------------------------------------------------------


def test_rejected_rows_are_recycled() -> None:
    drafter = RecycleDrafter(ToyEngine(), k=2)
    entry = begun(drafter, entry_of([1, 2]))
    say(drafter, entry, 9, favouring([3, 4], [5, 6]), Tree.chain([7], [0.5]))
    assert list(guessed(drafter, [1, 2])) == [3, 4]
    assert list(guessed(drafter, [2, 7])) == [5, 6]  # behind the rejected node
    assert not guessed(drafter, [1, 9])  # chosen, and not computed yet


def test_two_tokens_say_more_than_one() -> None:
    drafter = RecycleDrafter(ToyEngine(), k=1)
    entry = begun(drafter, entry_of([1, 2]))
    say(drafter, entry, 5, favouring([3]))
    entry.tokens += [6, 2]
    say(drafter, entry, 5, favouring([4]))
    assert list(guessed(drafter, [1, 2])) == [3]
    assert list(guessed(drafter, [6, 2])) == [4]
    assert list(guessed(drafter, [7, 2])) == [4]  # the latest


def test_the_surer_row_is_trusted_more() -> None:
    drafter = RecycleDrafter(ToyEngine(), k=2)
    entry = begun(drafter, entry_of([1, 2]))
    logits = np.full((1, VOCAB), -20.0, np.float32)
    logits[0, [3, 4]] = 5.0, 4.0
    say(drafter, entry, 6, GivenPass(logits))
    logits = logits.copy()
    logits[0, [3, 4]] = 5.0, -5.0
    say(drafter, entry, 7, GivenPass(logits))
    unsure, sure = guessed(drafter, [1, 2]), guessed(drafter, [2, 6])
    assert sure[3] > unsure[3] > unsure[4] > sure[4]


def test_shares_that_are_not_told_apart_keep_the_order_of_their_row() -> None:
    drafter = RecycleDrafter(ToyEngine(), k=2)
    entry = begun(drafter, entry_of([1, 2]))
    logits = np.full((1, VOCAB), -20.0, np.float32)
    logits[0, [4, 3]] = 5.0, 4.9
    say(drafter, entry, 6, GivenPass(logits))
    found = guessed(drafter, [1, 2])
    assert list(found) == [4, 3]
    assert found[4] == found[3]


def test_rows_that_are_not_numbers_are_not_recycled() -> None:
    drafter = RecycleDrafter(ToyEngine(), k=2)
    entry = begun(drafter, entry_of([1, 2]))
    logits = favouring([3, 4], [5, 6]).numpy([0, 1])
    logits[1, 40] = np.nan
    say(drafter, entry, 9, GivenPass(logits), Tree.chain([7], [0.5]))
    assert list(guessed(drafter, [1, 2])) == [3, 4]
    assert not guessed(drafter, [2, 7])


def test_all_requests_share_what_is_recycled() -> None:
    drafter = RecycleDrafter(ToyEngine())
    one, other = begun(drafter, entry_of([1, 2])), begun(drafter, entry_of([8, 2], number=1))
    say(drafter, one, 9, favouring([3]))
    assert drafter.draft([other])[0].tokens[0] == 3


def test_a_vocabulary_smaller_than_what_is_kept_of_a_row() -> None:
    drafter = RecycleDrafter(ToyEngine(vocab_size=5), k=8)
    entry = begun(drafter, entry_of([1, 2]))
    say(drafter, entry, 3, GivenPass(np.arange(5, dtype=np.float32)[None]))
    assert list(guessed(drafter, [1, 2])) == [4, 3, 2, 1, 0]


# ---- probabilities ------------------------------------------------------------------------------


def alternating(drafter: FreeDrafter, rate: float, temperature: float = 0.0) -> float:
    """What is thought of a guess after many that were right at this rate."""
    numbers = random.Random(1)
    for number in range(600):
        entry = begun(drafter, entry_of([1, 2, 3, 1, 2], 1, 1, number, temperature))
        say(drafter, entry, 3 if numbers.random() < rate else 9)
        drafter.end(entry)
    entry = begun(drafter, entry_of([1, 2, 3, 1, 2], 1, 1, 600, temperature))
    (tree,) = drafter.draft([entry])
    assert tree.tokens == (3,)
    return tree.probabilities[0]


SOURCES: list[Callable[[], FreeDrafter]] = [
    lambda: NgramDrafter(ToyEngine()),
    lambda: SuffixDrafter(ToyEngine()),
    lambda: FreeDrafter(ToyEngine(), ("ngram", "suffix")),
]


@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_calibration_converges_to_what_happens(
    make: Callable[[], FreeDrafter], rate: float
) -> None:
    assert alternating(make(), rate) == pytest.approx(rate, abs=0.05)


def test_temperatures_are_calibrated_apart() -> None:
    drafter = NgramDrafter(ToyEngine())
    assert alternating(drafter, 0.9) == pytest.approx(0.9, abs=0.05)
    assert alternating(drafter, 0.1, temperature=1.0) == pytest.approx(0.1, abs=0.05)
    assert alternating(drafter, 0.9) == pytest.approx(0.9, abs=0.05)


def test_sources_that_agree_are_judged_together() -> None:
    """Recycling is right where the text says the same, and wrong where it says otherwise."""
    drafter = FreeDrafter(ToyEngine(), ("ngram", "recycle"), k=1)
    both, alone = [1, 2, 3, 1, 2], [11, 12, 13, 14]
    for number in range(200):
        for tokens, recycled, came in ((both, [3], 3), (alone, [15], 9)):
            entry = begun(drafter, entry_of(tokens, number=number))
            for _ in range(2):  # the row is recycled, then judged
                drafter.observe(
                    [Observation(entry, EMPTY, Verdict((), came))],
                    favouring(recycled),
                )
                entry.tokens = list(tokens)
                drafter.begin(entry)
            entry.tokens.append(came)
            drafter.observe([Observation(entry, EMPTY, Verdict((), came))], favouring(recycled))
            drafter.end(entry)
    assert guessed(drafter, both)[3] > 0.9
    assert guessed(drafter, alone)[15] < 0.1


@given(TEXTS, st.integers(0, 100), st.booleans())
def test_siblings_add_up_to_at_most_one(text: list[int], seed: int, branches: bool) -> None:
    engine = ToyEngine(trees=branches)
    drafter = FreeDrafter(engine, ("ngram", "suffix", "recycle"))
    numbers = np.random.default_rng(seed)
    entry = begun(drafter, entry_of(text, nodes=40, depth=4))
    for _ in range(4):
        (tree,) = drafter.draft([entry])
        tree.check(VOCAB)
        for parent in range(ROOT, len(tree)):
            assert sum(tree.probabilities[n] for n in tree.children(parent)) <= 1.0
        paths = tree.path_probabilities()
        assert list(paths) == sorted(paths, reverse=True)  # best first
        logits: NDArray[np.float32] = numbers.normal(size=(len(tree) + 1, VOCAB)).astype(np.float32)
        say(drafter, entry, int(logits[0].argmax()), GivenPass(logits), EMPTY)


# ---- limits, resets, errors ---------------------------------------------------------------------


@pytest.mark.parametrize(("nodes", "depth"), [(0, 9), (9, 0), (1, 1), (3000, 7), (3000, 3000)])
def test_budgets_are_kept(nodes: int, depth: int) -> None:
    drafter = FreeDrafter(ToyEngine(), ("ngram", "suffix"))
    entry = begun(drafter, entry_of([1, 2, 1, 2, 1, 3, 1], nodes, depth))
    (tree,) = drafter.draft([entry])
    depths: list[int] = []
    for parent in tree.parents:
        depths.append(1 if parent == ROOT else depths[parent] + 1)
    assert len(tree) <= nodes
    assert max(depths, default=0) <= depth
    assert (len(tree) > 0) == (nodes > 0 and depth > 0)
    if nodes == depth == 3000:
        assert len(tree) == nodes


def test_thousands_of_tokens() -> None:
    numbers = random.Random(5)
    text = [numbers.randrange(VOCAB) for _ in range(20000)]
    drafter = FreeDrafter(ToyEngine(), ("ngram", "suffix", "recycle"))
    entry = begun(drafter, entry_of(text + text[:50], 8, 8))
    assert tuple(text[50:54]) == drafter.draft([entry])[0].tokens[:4]


@pytest.mark.parametrize("sources", [("ngram",), ("suffix",), ("recycle",)])
def test_a_reset_drafter_is_like_a_new_one(sources: tuple[str, ...]) -> None:
    def run(drafter: FreeDrafter) -> list[Tree]:
        trees = []
        numbers = np.random.default_rng(4)
        entry = begun(drafter, entry_of([1, 2, 3, 1, 2], 6, 3, 7))
        for _ in range(30):
            (tree,) = drafter.draft([entry])
            trees.append(tree)
            logits = numbers.normal(size=(len(tree) + 1, VOCAB)).astype(np.float32)
            say(drafter, entry, int(numbers.integers(4)), GivenPass(logits), tree)
        drafter.end(entry)
        return trees

    drafter = FreeDrafter(ToyEngine(), sources, past="suffix" in sources)
    first = run(drafter)
    assert run(drafter) != first
    drafter.reset()
    assert run(drafter) == first


def test_steps_that_nobody_told_of_are_read_unjudged() -> None:
    drafter = NgramDrafter(ToyEngine())
    entry = begun(drafter, entry_of([1, 2, 3], 2, 2))
    entry.tokens += [1, 2]
    say(drafter, entry, 3)
    assert drafter.draft([entry])[0].tokens[0] == 1


@pytest.mark.parametrize("make", [NgramDrafter, SuffixDrafter])
def test_steps_that_need_not_be_learned_from_are_read_later(
    make: Callable[[ToyEngine], FreeDrafter],
) -> None:
    told, skipped = (make(ToyEngine()) for _ in range(2))
    entries = [begun(drafter, entry_of([1, 2, 3, 4], 4, 4)) for drafter in (told, skipped)]
    for drafter, entry in zip((told, skipped), entries, strict=True):
        for token in (5, 6, 1, 2):
            entry.tokens.append(token)
            observation = Observation(entry, EMPTY, Verdict((), token), asked=drafter is told)
            drafter.observe([observation], ANY)
    trees = [told.draft(entries[:1])[0], skipped.draft(entries[1:])[0]]
    assert trees[0].tokens == trees[1].tokens == (3, 4, 5, 6)


def test_rows_of_steps_that_need_not_be_learned_from_are_not_recycled() -> None:
    drafter = RecycleDrafter(ToyEngine(), k=1)
    entry = begun(drafter, entry_of([1, 2]))
    entry.tokens.append(9)
    drafter.observe([Observation(entry, EMPTY, Verdict((), 9), asked=False)], favouring([3]))
    assert not guessed(drafter, [1, 2])


def test_past_outputs_are_whole_even_if_their_end_was_not_learned_from() -> None:
    drafter = SuffixDrafter(ToyEngine(), past=True)
    entry = begun(drafter, entry_of([1, 2]))
    entry.tokens += [3, 4, 5]
    drafter.end(entry)
    assert guessed(drafter, [7, 3, 4]).keys() == {5}


def test_each_entry_of_a_batch_learns_from_its_own_rows() -> None:
    drafter = RecycleDrafter(ToyEngine(), k=1)
    one, other = begun(drafter, entry_of([1, 2])), begun(drafter, entry_of([3, 4], number=1))
    for entry in (one, other):
        entry.tokens.append(9)
    seen = [
        Observation(one, Tree.chain([7], [0.5]), Verdict((), 9), root=0),
        Observation(other, EMPTY, Verdict((), 9), root=2),
    ]
    drafter.observe(seen, favouring([10], [11], [12]))
    assert list(guessed(drafter, [1, 2])) == [10]
    assert list(guessed(drafter, [2, 7])) == [11]
    assert list(guessed(drafter, [3, 4])) == [12]


def test_a_batch_gets_the_drafts_of_its_entries() -> None:
    texts = [[1, 2, 3, 1], [5, 6, 5, 6], [8, 9]]
    drafter = FreeDrafter(ToyEngine(), ("ngram", "suffix"))
    batch = [begun(drafter, entry_of(text, 4, 2, i)) for i, text in enumerate(texts)]
    batch[1].max_nodes = 0
    alone = [drafter.draft([entry])[0] for entry in batch]
    assert drafter.draft(batch) == alone
    assert alone[0].tokens == (2, 3)
    assert alone[1:] == [EMPTY, EMPTY]


def test_an_entry_that_never_began() -> None:
    drafter = SuffixDrafter(ToyEngine())
    entry = entry_of([1, 2], number=5)
    with pytest.raises(UsageError, match="request 5"):
        drafter.draft([entry])
    with pytest.raises(UsageError, match="request 5"):
        say(drafter, entry, 3)


@pytest.mark.parametrize("k", [0, 65])
def test_impossible_numbers_of_continuations(k: int) -> None:
    with pytest.raises(UsageError, match="Between 1 and 64"):
        RecycleDrafter(ToyEngine(), k=k)


def test_what_the_extension_refuses() -> None:
    grower = _native.Grower(["recycle"], VOCAB, True, 1, 4, False, 2)
    grower.begin(0, 0, 0.0)
    with pytest.raises(UsageError, match="outside the vocabulary"):
        grower.extend(0, [VOCAB])
    ids, logits = np.zeros((1, 2), np.int32), np.zeros((1, 2), np.float32)
    with pytest.raises(UsageError, match="continuations of 2 rows"):
        grower.observe([0], [[3]], [1], [[1]], [[-1]], ids, logits)
    with pytest.raises(UsageError, match="does not follow its parent"):
        grower.observe([0], [[3]], [1], [[1]], [[0]], np.repeat(ids, 2, 0), np.repeat(logits, 2, 0))
    with pytest.raises(UsageError, match="differ in length"):
        grower.observe([0], [[3]], [1], [[1]], [[]], np.repeat(ids, 2, 0), np.repeat(logits, 2, 0))
    with pytest.raises(UsageError, match="outside the vocabulary"):
        grower.observe([0], [[3]], [1], [[]], [[]], ids + VOCAB, logits)
    with pytest.raises(UsageError, match="differ in number"):
        grower.observe([0], [], [1], [[]], [[]], ids, logits)
    with pytest.raises(UsageError, match="differ in number"):
        grower.draft([0], [[3]], [1], [1], [])
    with pytest.raises(UsageError, match="no source of drafts"):
        _native.Grower(["magic"], VOCAB, True, 1, 4, False, 2)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_the_noise_tells_which_of_two_likely_tokens_comes(temperature: float) -> None:
    """Two tokens may come after every token; which one does, their noise decides."""
    drafter = RecycleDrafter(ToyEngine(vocab_size=VOCAB), k=2)
    entry = begun(drafter, entry_of([1], nodes=1, temperature=temperature))
    sampler = entry.sampler
    outcome = favouring([1, 2])
    logits = outcome.numpy([0])[0]
    right = []
    for _ in range(600):
        (tree,) = drafter.draft([entry])
        token = sampler.choose(logits, len(entry.tokens))
        right.append(bool(tree.tokens) and tree.tokens[0] == token)
        say(drafter, entry, token, outcome)
    assert np.mean(right[300:]) > 0.95
    (tree,) = drafter.draft([entry])
    assert tree.probabilities[0] > 0.9  # and it knows that it knows


def test_without_the_noise_it_is_a_toss_up() -> None:
    grower = _native.Grower(["recycle"], VOCAB, True, 1, 4, False, 2)
    sampler = Sampler(Sampling(temperature=1.0), vocab_size=VOCAB, seed=0)
    ids, logits = np.array([[1, 2]], np.int32), np.zeros((1, 2), np.float32)
    grower.begin(0, 1, 1.0)
    text = [1]
    right = []
    for position in range(1, 600):
        ((tokens, *_),) = grower.draft([0], [text], [1], [1], [0.0])
        noise = sampler.noise(position, [1, 2])
        token = 1 if noise[0] > noise[1] else 2
        right.append(bool(tokens) and tokens[0] == token)
        text.append(token)
        grower.observe([0], [text], [1], [[]], [[]], ids, logits)
    assert 0.35 < np.mean(right[300:]) < 0.65
