"""Test suites that any engine, drafter or verifier has to pass; a plug-in's own tests inherit them.

    class TestMyEngine(EngineContract):
        @pytest.fixture
        def target(self):
            return MyEngine(...)

pytest is needed, and is no dependency of the package.
"""

# ruff: noqa: D102  (the name of a test says what it checks)

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from outrider.drafters.base import DraftEntry, Drafter, Observation
from outrider.engines.base import HISTORY, CachedSequence, Pass, Rows, TargetModel
from outrider.errors import CapacityError, SamplingError, UsageError
from outrider.sampling import Sampler, pack_mask, probabilities
from outrider.tree import ROOT, Tree
from outrider.types import Sampling, Verdict
from outrider.verify import Verifier, coupled_walk


def committed(
    sequence: CachedSequence, tokens: Sequence[int], tree: Tree | None = None, *, every: bool = True
) -> Rows:
    """A chain of committed rows and a tree below the last of them.

    Args:
        sequence: whose rows they are.
        tokens: of the committed rows; with none, the tree follows the history.
        tree: the drafted rows.
        every: False wants the logits of the last committed row and the tree alone.
    """
    tree, count = tree or Tree(), len(tokens)
    rows = count + len(tree)
    chain = list(range(HISTORY, count - 1))
    want = [every] * (count - 1) + [True] * (rows - max(count - 1, 0))
    return Rows(
        np.full(rows, sequence.id, np.int32),
        np.array([*tokens, *tree.tokens], np.int32),
        np.array([*chain, *(p + count for p in tree.parents)], np.int32),
        np.arange(rows) < count,
        np.array(want, np.bool_),
    )


def joined(*parts: Rows) -> Rows:
    """The rows of several sequences as one pass."""
    offsets = np.cumsum([0, *(len(part) for part in parts[:-1])])
    parents = [
        np.where(part.parent == HISTORY, HISTORY, part.parent + offset)
        for part, offset in zip(parts, offsets, strict=True)
    ]
    return Rows(
        np.concatenate([part.sequence for part in parts]),
        np.concatenate([part.token for part in parts]),
        np.concatenate(parents).astype(np.int32),
        np.concatenate([part.commit for part in parts]),
        np.concatenate([part.want_logits for part in parts]),
    )


class EngineContract:
    """What the loop relies on in a `TargetModel`.

    The engine needs a context of at least 64, `max_rows` of at least 32, and a cache that holds at
    least two and at most a thousand sequences as long as the context.
    """

    @pytest.fixture
    @abstractmethod
    def target(self) -> TargetModel:
        """The engine under test, with nothing open."""

    @pytest.fixture
    def tokens(self, target: TargetModel) -> list[int]:
        """A prompt of 24 tokens."""
        ids = np.random.default_rng(7).integers(0, target.vocab_size, 24)
        return [int(i) for i in ids]

    @pytest.fixture
    def tree(self, target: TargetModel) -> Tree:
        """A draft of six nodes; a chain where the engine takes nothing else."""
        ids = [int(i) for i in np.random.default_rng(8).permutation(target.vocab_size)[:6]]
        if not target.capabilities.trees:
            return Tree.chain(ids, [0.5] * 6)
        return Tree(tuple(ids), (ROOT, ROOT, 0, 0, 1, 2), (0.5,) * 6)

    def plain(self, target: TargetModel, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Logits behind each of the tokens, computed one by one in a sequence of their own."""
        sequence = target.open(tokens, len(tokens), share=False)
        rows = [target.forward(committed(sequence, [t])).numpy([0])[0] for t in tokens]
        target.close(sequence)
        return np.array(rows)

    def same(
        self, target: TargetModel, found: NDArray[np.float32], expected: NDArray[np.float32]
    ) -> None:
        """Equal in every byte where the engine claims so, else close."""
        if target.capabilities.bitwise:
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, atol=1e-2, rtol=1e-2)

    def test_chunks_change_nothing(self, target: TargetModel, tokens: list[int]) -> None:
        expected = self.plain(target, tokens)
        for size in (5, 16, 24):
            sequence = target.open(tokens, 24, share=False)
            for start in range(0, 24, size):
                chunk = tokens[start : start + size]
                outcome = target.forward(committed(sequence, chunk))
                found = outcome.numpy(range(len(chunk)))
                self.same(target, found, expected[start : start + size])
            target.close(sequence)

    def test_company_changes_nothing(
        self, target: TargetModel, tokens: list[int], tree: Tree
    ) -> None:
        other = tokens[::-1]
        a = target.open(tokens, 40, share=False)
        b = target.open(other, 40, share=False)
        rows = joined(committed(a, tokens[:10], tree), committed(b, other[:9]))
        outcome = target.forward(rows)
        self.same(target, outcome.numpy(range(10)), self.plain(target, tokens[:10]))

        rows = joined(committed(a, tokens[10:12]), committed(b, other[9:12]))
        found = target.forward(rows).numpy(range(5))
        self.same(target, found[:2], self.plain(target, tokens[:12])[10:])
        self.same(target, found[2:], self.plain(target, other[:12])[9:])

    def test_a_drafted_row_is_like_a_committed_one(
        self, target: TargetModel, tokens: list[int], tree: Tree
    ) -> None:
        sequence = target.open(tokens, 40, share=False)
        found = target.forward(committed(sequence, tokens, tree)).numpy(range(24, 30))
        for node in range(len(tree)):
            path = [tree.tokens[n] for n in tree.path(node)]
            self.same(target, found[node], self.plain(target, tokens + path)[-1])

    def test_drafts_may_follow_history(
        self, target: TargetModel, tokens: list[int], tree: Tree
    ) -> None:
        sequence = target.open(tokens, 40, share=False)
        target.forward(committed(sequence, tokens))
        found = target.forward(committed(sequence, [], tree)).numpy([0])[0]
        self.same(target, found, self.plain(target, [*tokens, tree.tokens[0]])[-1])

    def test_kept_rows_become_history_and_others_are_forgotten(
        self, target: TargetModel, tokens: list[int], tree: Tree
    ) -> None:
        for node in (0, len(tree) - 1):
            sequence = target.open(tokens, 40, share=False)
            target.forward(committed(sequence, tokens, tree))
            path = tree.path(node)
            target.keep(sequence, [24 + n for n in path])
            kept = [tree.tokens[n] for n in path]
            found = target.forward(committed(sequence, [tokens[0]], tree)).numpy([0])[0]
            self.same(target, found, self.plain(target, [*tokens, *kept, tokens[0]])[-1])
            # Nothing is kept this time.
            found = target.forward(committed(sequence, [tokens[1]])).numpy([0])[0]
            expected = self.plain(target, [*tokens, *kept, *tokens[:2]])[-1]
            self.same(target, found, expected)
            target.close(sequence)

    def test_only_what_was_drafted_can_be_kept(
        self, target: TargetModel, tokens: list[int], tree: Tree
    ) -> None:
        sequence = target.open(tokens, 40, share=False)
        target.forward(committed(sequence, tokens, tree))
        deep = next(n for n in range(len(tree)) if tree.parents[n] != ROOT)
        for rows in ([3], [24 + deep], [99]):
            with pytest.raises(UsageError):
                target.keep(sequence, rows)
        target.keep(sequence, [24])
        with pytest.raises(UsageError):
            target.keep(sequence, [24])

    def test_the_prefix_cache_changes_nothing(self, target: TargetModel, tokens: list[int]) -> None:
        prompt = [*tokens, *tokens]
        expected = self.plain(target, prompt)
        first = target.open(prompt, 60)
        assert first.cached == 0
        target.forward(committed(first, prompt[:24]))
        target.forward(committed(first, prompt[24:]))
        second = target.open(prompt, 60)
        assert 0 < second.cached < len(prompt)
        rest = prompt[second.cached :]
        found = target.forward(committed(second, rest[-30:])).numpy([len(rest[-30:]) - 1])[0]
        self.same(target, found, expected[-1])
        target.close(first)
        target.close(second)
        again = target.open(prompt, 60)
        assert again.cached > 0
        alone = target.open(prompt, 60, share=False)
        assert alone.cached == 0

    def test_a_cleared_cache_has_no_prefix(self, target: TargetModel, tokens: list[int]) -> None:
        prompt = [*tokens, *tokens]
        first = target.open(prompt, 60)
        for start in (0, 24):
            target.forward(committed(first, prompt[start : start + 24]))
        target.clear_cache()
        second = target.open(prompt, 60)
        assert second.cached > 0  # what is in use stays
        target.close(first)
        target.close(second)
        target.clear_cache()
        assert target.open(prompt, 60).cached == 0

    def test_nothing_is_left_behind_unshared(self, target: TargetModel, tokens: list[int]) -> None:
        prompt = [*tokens, *tokens]
        alone = target.open(prompt, 60, share=False)
        for start in (0, 24):
            target.forward(committed(alone, prompt[start : start + 24]))
        target.close(alone)
        assert target.open(prompt, 60).cached == 0

    def test_a_fork_goes_its_own_way(
        self, target: TargetModel, tokens: list[int], tree: Tree
    ) -> None:
        a = target.open(tokens, 40)
        outcome = target.forward(committed(a, tokens, tree))
        b = target.fork(a, 40)
        assert b.cached == 24
        assert b.id != a.id
        outcome.numpy([23])  # a pass outlives a fork
        target.keep(a, [24])
        rows = joined(committed(a, [tokens[1]]), committed(b, [tokens[2]]))
        found = target.forward(rows).numpy([0, 1])
        expected = self.plain(target, [*tokens, tree.tokens[0], tokens[1]])
        self.same(target, found[0], expected[-1])
        self.same(target, found[1], self.plain(target, [*tokens, tokens[2]])[-1])
        target.close(a)
        found = target.forward(committed(b, [tokens[3]])).numpy([0])[0]
        self.same(target, found, self.plain(target, [*tokens, tokens[2], tokens[3]])[-1])

    def test_room_is_set_aside_when_opened(self, target: TargetModel, tokens: list[int]) -> None:
        opened: list[CachedSequence] = []

        def open_all() -> None:
            while len(opened) <= 1000:
                opened.append(target.open(tokens[:1], target.context, share=False))

        with pytest.raises(CapacityError) as full:
            open_all()
        assert not full.value.never
        assert opened
        for sequence in opened:
            target.forward(committed(sequence, tokens[:2]))
        target.close(opened.pop())
        opened.append(target.open(tokens[:1], target.context, share=False))

    def test_capacity_is_the_end(self, target: TargetModel, tokens: list[int], tree: Tree) -> None:
        sequence = target.open(tokens[:4], 5, share=False)
        with pytest.raises(UsageError):
            target.forward(committed(sequence, tokens[:6]))
        with pytest.raises(UsageError):
            target.forward(committed(sequence, tokens[:5], tree))
        found = target.forward(committed(sequence, tokens[:5])).numpy([4])
        self.same(target, found[0], self.plain(target, tokens[:5])[-1])

    def test_wrong_rows_are_refused_and_change_nothing(
        self, target: TargetModel, tokens: list[int]
    ) -> None:
        sequence = target.open(tokens, 40, share=False)

        def spoilt(field: str, row: int, value: int) -> Rows:
            rows = committed(sequence, tokens[:4], Tree.chain(tokens[4:6], [0.5, 0.5]))
            getattr(rows, field)[row] = value
            return rows

        for field, row, value in (
            ("token", 2, target.vocab_size),
            ("token", 2, -1),
            ("sequence", 1, sequence.id + 1000),
            ("parent", 1, 1),
            ("parent", 2, 0),
            ("parent", 3, -2),
            ("parent", 4, HISTORY),
            ("parent", 5, 5),
            ("commit", 5, True),
        ):
            with pytest.raises(UsageError):
                target.forward(spoilt(field, row, value))
        found = target.forward(committed(sequence, tokens[:4])).numpy([3])[0]
        self.same(target, found, self.plain(target, tokens[:4])[-1])

    def test_a_pass_has_its_limits(self, target: TargetModel, tokens: list[int]) -> None:
        sequence = target.open(tokens, 40, share=False)
        outcome = target.forward(committed(sequence, tokens[:4], every=False))
        with pytest.raises(UsageError):
            outcome.numpy([0])
        target.forward(committed(sequence, tokens[4:5]))
        with pytest.raises(UsageError):
            outcome.numpy([3])
        target.close(sequence)
        with pytest.raises(UsageError):
            target.forward(committed(sequence, tokens[5:6]))
        with pytest.raises(UsageError):
            target.close(sequence)

    @pytest.mark.parametrize(
        "sampling", [Sampling(), Sampling(temperature=1.0, top_p=0.9, presence_penalty=0.5)]
    )
    def test_the_verbs_of_a_pass_agree_with_their_definitions(
        self, target: TargetModel, tokens: list[int], tree: Tree, sampling: Sampling
    ) -> None:
        vocab = target.vocab_size
        sequence = target.open(tokens, 60, share=False)
        sampler = Sampler(sampling, vocab_size=vocab, seed=3, prompt=tokens)
        outcome = target.forward(committed(sequence, tokens, tree))
        rows = list(range(23, 30))
        logits = outcome.numpy(rows)
        assert logits.shape == (7, vocab)
        assert logits.dtype == np.float32
        for seed in range(5):
            sampler = Sampler(sampling, vocab_size=vocab, seed=seed, prompt=tokens)
            expected = coupled_walk(logits, tree, sampler, 24)
            assert outcome.walk(23, 24, tree, sampler) == expected
        chosen = outcome.choose(rows, [sampler] * 7, list(range(24, 31)))
        assert chosen == [sampler.choose(logits[i], 24 + i) for i in range(7)]
        only = int(chosen[0] == 0)
        mask = np.zeros(-(-vocab // 32), np.uint32)
        mask[0] = 1 << only
        assert outcome.choose([23], [sampler], [24], [[]], [mask]) == [only]
        mask[0] = 0
        with pytest.raises(SamplingError):
            outcome.choose([23], [sampler], [24], [[]], [mask])

        ids, values = outcome.top(rows, 4)
        assert ids.shape == values.shape == (7, 4)
        second = outcome.logprobs(rows, ids[:, 1].tolist())
        np.testing.assert_allclose(np.asarray(second), np.asarray(values[:, 1]), atol=1e-6)
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        logprobs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        np.testing.assert_array_equal(ids, np.argsort(-logits, axis=1, kind="stable")[:, :4])
        np.testing.assert_allclose(values, np.take_along_axis(logprobs, ids, 1), atol=1e-5)

    def test_the_walk_accepts_what_the_target_says(
        self, target: TargetModel, tokens: list[int]
    ) -> None:
        said: list[int] = []
        for _ in range(3):
            said.append(int(self.plain(target, tokens + said)[-1].argmax()))
        sequence = target.open(tokens, 40, share=False)
        outcome = target.forward(committed(sequence, tokens, Tree.chain(said[:2], [0.5, 0.5])))
        sampler = Sampler(Sampling(), vocab_size=target.vocab_size, seed=0)
        verdict = outcome.walk(23, 24, Tree.chain(said[:2], [0.5, 0.5]), sampler)
        assert verdict == Verdict((0, 1), said[2])

    def test_partial_layers(self, target: TargetModel, tokens: list[int], tree: Tree) -> None:
        sequence = target.open(tokens, 40, share=False)
        target.forward(committed(sequence, tokens))
        if not target.capabilities.layers:
            with pytest.raises(UsageError):
                target.forward(committed(sequence, [], tree), layers=1)
            return
        partial = target.forward(committed(sequence, [], tree), layers=1).numpy([0])[0]
        full = target.forward(committed(sequence, [], tree)).numpy([0])[0]
        assert not np.array_equal(partial, full)
        with pytest.raises(UsageError):
            target.forward(committed(sequence, tokens[:1]), layers=1)
        with pytest.raises(UsageError):
            target.forward(committed(sequence, [], tree), layers=0)

    def test_hidden_states(self, target: TargetModel, tokens: list[int]) -> None:
        sequence = target.open(tokens, 40, share=False)
        if not target.capabilities.hidden:
            with pytest.raises(UsageError):
                target.forward(committed(sequence, tokens), hidden=(0,))
            return
        hidden = target.forward(committed(sequence, tokens), hidden=(0, 1)).hidden([0, 5, 23])
        assert hidden.shape[:2] == (2, 3)
        assert hidden.dtype == np.float32
        again = target.open(tokens, 40, share=False)
        found = target.forward(committed(again, tokens[:6]), hidden=(1,)).hidden([5])
        self.same(target, found[0], hidden[1, 1:2])
        with pytest.raises(UsageError):
            target.forward(committed(again, tokens[6:7]), hidden=(10_000,))

    def test_cost_grows_with_work(self, target: TargetModel) -> None:
        cost = target.cost
        assert 0 < cost.ms([(16, 1)]) <= cost.ms([(16, 1), (16, 8)]) * 1.5


class DraftingContext:
    """Runs a drafter against a target, greedily, and checks what it proposes."""

    def __init__(self, target: TargetModel, drafter: Drafter) -> None:
        self.target = target
        self.drafter = drafter

    def start(self, number: int, prompt: Sequence[int]) -> tuple[DraftEntry, CachedSequence]:
        """Open a sequence whose prompt but for the last token is computed."""
        sampler = Sampler(Sampling(), vocab_size=self.target.vocab_size, seed=number)
        entry = DraftEntry(number, list(prompt), len(prompt), sampler)
        sequence = self.target.open(prompt, self.target.context, share=False)
        self.target.forward(committed(sequence, prompt[:-1]))
        entry.sequence = sequence
        self.drafter.begin(entry)
        return entry, sequence

    def step(self, entry: DraftEntry, sequence: CachedSequence, tree: Tree) -> Verdict:
        """Verify a tree and tell the drafter."""
        outcome: Pass = self.target.forward(committed(sequence, entry.tokens[-1:], tree))
        verdict = outcome.walk(0, len(entry.tokens), tree, entry.sampler)
        self.target.keep(sequence, [1 + node for node in verdict.accepted])
        entry.tokens += [*(tree.tokens[n] for n in verdict.accepted), verdict.token]
        self.drafter.observe([Observation(entry, tree, verdict, 0)], outcome)
        return verdict


class DrafterContract:
    """What the loop relies on in a `Drafter`."""

    @pytest.fixture
    @abstractmethod
    def target(self) -> TargetModel:
        """A target with nothing open, of a context of at least 64."""

    @abstractmethod
    def make(self, target: TargetModel) -> Drafter:
        """A fresh drafter."""

    @pytest.fixture
    def prompts(self, target: TargetModel) -> list[list[int]]:
        """Prompts of different lengths, one of a single token, some that repeat themselves."""
        ids = [int(i) for i in np.random.default_rng(5).integers(0, target.vocab_size, 8)]
        return [ids[:1], ids[:5], ids + ids[:4], ids[:3] * 4]

    def test_trees_keep_the_rules(self, target: TargetModel, prompts: list[list[int]]) -> None:
        drafter = self.make(target)
        context = DraftingContext(target, drafter)
        running = [context.start(i, p) for i, p in enumerate(prompts) if len(p) > 1]
        for nodes, depth, worth in (
            (0, 4, 0.0),
            (4, 4, 0.0),
            (6, 2, 0.0),
            (6, 6, 0.3),
            (1, 1, 0.0),
        ):
            for entry, _ in running:
                entry.max_nodes, entry.max_depth = nodes, depth
                entry.min_path_probability = worth
            entries = [entry for entry, _ in running]
            before = [list(entry.tokens) for entry in entries]
            trees = drafter.draft(entries)
            assert len(trees) == len(entries)
            assert [entry.tokens for entry in entries] == before
            for (entry, sequence), tree in zip(running, trees, strict=True):
                tree.check(target.vocab_size)
                assert drafter.draws or not tree.distributions
                assert len(tree) <= nodes
                assert all(len(tree.path(node)) <= depth for node in range(len(tree)))
                if not target.capabilities.trees:
                    assert tree.parents == tuple(range(-1, len(tree) - 1))
                context.step(entry, sequence, tree)
        for entry, _ in running:
            drafter.end(entry)

    def test_a_prompt_of_one_token(self, target: TargetModel, prompts: list[list[int]]) -> None:
        drafter = self.make(target)
        sampler = Sampler(Sampling(), vocab_size=target.vocab_size, seed=0)
        entry = DraftEntry(0, list(prompts[0]), 1, sampler, max_nodes=4, max_depth=4)
        drafter.begin(entry)
        (tree,) = drafter.draft([entry])
        tree.check(target.vocab_size)
        drafter.end(entry)

    def test_no_entries(self, target: TargetModel) -> None:
        assert self.make(target).draft([]) == []

    def test_steps_without_a_draft_are_survived(
        self, target: TargetModel, prompts: list[list[int]]
    ) -> None:
        drafter = self.make(target)
        context = DraftingContext(target, drafter)
        entry, sequence = context.start(0, prompts[2])
        entry.max_nodes = entry.max_depth = 4
        drafter.draft([entry])
        for _ in range(3):
            context.step(entry, sequence, Tree())
        (tree,) = drafter.draft([entry])
        context.step(entry, sequence, tree)
        drafter.end(entry)

    def test_ids_may_be_used_again(self, target: TargetModel, prompts: list[list[int]]) -> None:
        drafter = self.make(target)
        sampler = Sampler(Sampling(), vocab_size=target.vocab_size, seed=0)
        for prompt in (prompts[3], prompts[1]):
            entry = DraftEntry(0, list(prompt), len(prompt), sampler, max_nodes=4, max_depth=4)
            drafter.begin(entry)
            drafter.draft([entry])
            drafter.end(entry)
        fresh = self.make(target)
        fresh.begin(entry)
        drafter.begin(entry)
        assert drafter.draft([entry])[0].tokens == fresh.draft([entry])[0].tokens

    def test_ending_twice_or_never_begun_is_harmless(
        self, target: TargetModel, prompts: list[list[int]]
    ) -> None:
        drafter = self.make(target)
        sampler = Sampler(Sampling(), vocab_size=target.vocab_size, seed=0)
        entry = DraftEntry(0, list(prompts[1]), 5, sampler)
        drafter.end(entry)
        drafter.begin(entry)
        drafter.end(entry)
        drafter.end(entry)


class GivenPass(Pass):
    """A pass with these logits, float32[rows, vocab_size]."""

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self._logits = logits

    def numpy(self, rows: Sequence[int]) -> NDArray[np.float32]:
        return self._logits[list(rows)]


class VerifierContract:
    """What the loop relies on in a `Verifier`, on trees of point masses."""

    VOCAB = 4
    DRAWS = 3000
    TREES = (
        Tree(),
        Tree.chain([2, 0], [0.5, 0.5]),
        Tree((1, 3, 0, 2, 1), (ROOT, ROOT, 1, 1, 0), (0.5,) * 5),
    )

    @abstractmethod
    def make(self) -> Verifier:
        """A fresh verifier."""

    def logits(self, path: Sequence[int]) -> NDArray[np.float32]:
        """What a made-up target says after these tokens."""
        normal = np.random.default_rng([9, *path]).normal(size=self.VOCAB)
        return (1.5 * normal).astype(np.float32)

    def outcome(self, tree: Tree, before: Sequence[int] = (), offset: int = 0) -> Pass:
        """The pass over a tree whose root is row `offset`."""
        paths = [[tree.tokens[n] for n in tree.path(node)] for node in range(ROOT, len(tree))]
        rows = [self.logits([*before, *path]) for path in paths]
        return GivenPass(np.array([rows[0]] * offset + rows))

    def sampler(self, sampling: Sampling, seed: int) -> Sampler:
        return Sampler(sampling, vocab_size=self.VOCAB, seed=seed)

    def said(self, tree: Tree, verdict: Verdict) -> list[int]:
        return [*(tree.tokens[node] for node in verdict.accepted), verdict.token]

    @pytest.mark.parametrize("tree", TREES)
    def test_accepted_nodes_are_a_path_that_ends(self, tree: Tree) -> None:
        verifier, outcome = self.make(), self.outcome(tree)
        for seed in range(100):
            sampler = self.sampler(Sampling(temperature=1.0), seed)
            verdict = verifier.verify(outcome, 0, 7, tree, sampler)
            last = verdict.accepted[-1] if verdict.accepted else ROOT
            assert verdict.accepted == tree.path(last)
            assert verdict.token not in [tree.tokens[child] for child in tree.children(last)]

    @pytest.mark.parametrize("tree", TREES)
    def test_the_same_seed_says_the_same_anywhere_in_a_pass(self, tree: Tree) -> None:
        sampling = Sampling(temperature=1.0, presence_penalty=0.5)
        verdicts = [
            [
                self.make().verify(
                    self.outcome(tree, (), offset), offset, 7, tree, self.sampler(sampling, seed)
                )
                for seed in range(50)
            ]
            for offset in (0, 3)
        ]
        assert verdicts[0] == verdicts[1]
        assert len(set(verdicts[0])) > 1

    @pytest.mark.parametrize("tree", TREES)
    def test_masks_are_kept(self, tree: Tree) -> None:
        allowed = {node: {(node + 1) % 4, (node + 3) % 4} for node in range(ROOT, len(tree))}
        verifier, outcome = self.make(), self.outcome(tree)
        for temperature in (0.0, 1.0):
            for seed in range(50):
                sampler = self.sampler(Sampling(temperature=temperature), seed)
                verdict = verifier.verify(
                    outcome, 0, 7, tree, sampler, mask=lambda n: pack_mask(list(allowed[n]), 4)
                )
                reached = [ROOT, *verdict.accepted]
                for node, token in zip(reached, self.said(tree, verdict), strict=True):
                    assert token in allowed[node]

    @pytest.mark.parametrize("temperature", [0.0, 1.0])
    def test_no_token_can_be_chosen(self, temperature: float) -> None:
        tree = Tree.chain([1], [0.5])
        sampler = self.sampler(Sampling(temperature=temperature), 0)
        nan = GivenPass(np.full((2, 4), np.nan, np.float32))
        with pytest.raises(SamplingError):
            self.make().verify(nan, 0, 7, tree, sampler)
        with pytest.raises(SamplingError):
            self.make().verify(
                self.outcome(tree), 0, 7, tree, sampler, mask=lambda _: pack_mask([], 4)
            )


class ExactVerifierContract(VerifierContract):
    """What the loop relies on in a `Verifier` that is not lossy."""

    def test_it_does_not_call_itself_lossy(self) -> None:
        assert not self.make().lossy

    @pytest.mark.parametrize("tree", VerifierContract.TREES)
    def test_greedily_it_says_what_the_target_says(self, tree: Tree) -> None:
        for before in range(20):
            outcome = self.outcome(tree, [before])
            expected = coupled_walk(
                outcome.numpy(range(1 + len(tree))), tree, self.sampler(Sampling(), 0), 7
            )
            assert self.make().verify(outcome, 0, 7, tree, self.sampler(Sampling(), 0)) == expected

    @pytest.mark.parametrize("tree", VerifierContract.TREES)
    @pytest.mark.parametrize(
        "sampling",
        [Sampling(temperature=1.0), Sampling(temperature=0.8, top_k=3, frequency_penalty=1.0)],
    )
    def test_two_tokens_have_the_target_s_distribution(
        self, tree: Tree, sampling: Sampling
    ) -> None:
        verifier = self.make()
        first = self.outcome(tree)
        counts = np.zeros((self.VOCAB, self.VOCAB))
        for seed in range(self.DRAWS):
            sampler = self.sampler(sampling, seed)
            said = self.said(tree, verifier.verify(first, 0, 7, tree, sampler))
            if len(said) == 1:
                sampler.advance(said)
                second = GivenPass(self.logits(said)[None])
                said.append(verifier.verify(second, 0, 8, Tree(), sampler).token)
            counts[said[0], said[1]] += 1
        joint = np.array(
            [
                p * probabilities(self.logits([token]), sampling, output=[token])
                for token, p in enumerate(probabilities(self.logits([]), sampling))
            ]
        )
        assert (counts[joint == 0.0] == 0.0).all()
        expected = self.DRAWS * joint[joint > 0.0]
        chi_square = ((counts[joint > 0.0] - expected) ** 2 / expected).sum()
        # A chi-square of k degrees of freedom exceeds k + 2 sqrt(k t) + 2 t with probability at
        # most e^-t (Laurent and Massart, 2000).
        k, t = expected.size - 1, 14.0
        assert chi_square < k + 2 * (k * t) ** 0.5 + 2 * t
