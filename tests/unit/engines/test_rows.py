"""The rules of `Rows`, of `keep` and of a pass: breaking them is told, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from outrider.engines.base import Rows
from outrider.engines.native import NativeEngine
from outrider.errors import SamplingError, UsageError
from outrider.sampling import Sampler
from outrider.tree import Tree
from outrider.types import Sampling
from passes import Batch, Engines, Oracle, feed, same_bytes
from synthetic import MIXED, Shape, random_tensors, stored, write

TEXT = [int(t) for t in np.random.default_rng(5).integers(0, 288, 60)]
Breaks = Callable[[Batch, int, int], object]


def parent_behind(b: Batch, s: int, _: int) -> None:
    b.add(s, 1, 1)
    b.add(s, 1)


def commit_after_draft(b: Batch, s: int, _: int) -> None:
    (root,) = b.commit(s, [1])
    b.add(s, 2, root)
    b.add(s, 3, root, commit=True)


def commit_below_draft(b: Batch, s: int, _: int) -> None:
    b.add(s, 3, b.add(s, 1), commit=True)


def draft_beside_commit(b: Batch, s: int, _: int) -> None:
    b.commit(s, [1])
    b.add(s, 2)


def draft_on_earlier_commit(b: Batch, s: int, _: int) -> None:
    first, _ = b.commit(s, [1, 2])
    b.add(s, 2, first)


def two_chains_of_commits(b: Batch, s: int, _: int) -> None:
    b.commit(s, [1])
    b.commit(s, [2])


BROKEN: dict[str, tuple[Breaks, str]] = {
    "no rows": (lambda b, s, o: None, "1 to 32 rows, not 0"),
    "too many rows": (lambda b, s, o: b.chain(s, [1] * 33), "1 to 32 rows, not 33"),
    "negative token": (lambda b, s, o: b.add(s, -1), "Row 0 has token -1"),
    "token beyond the vocabulary": (lambda b, s, o: b.chain(s, [1, 288]), "Row 1 has token 288"),
    "unknown sequence": (lambda b, s, o: b.add(999, 1), "999"),
    "parent that is itself": (lambda b, s, o: b.add(s, 1, 0), "Row 0 has parent 0"),
    "parent behind": (parent_behind, "Row 0 has parent 1"),
    "parent below history": (lambda b, s, o: b.add(s, 1, -2), "Row 0 has parent -2"),
    "parent elsewhere": (lambda b, s, o: b.add(o, 1, b.add(s, 1)), "Row 1 .* another sequence"),
    "commit after a draft": (commit_after_draft, "Row 2 is committed"),
    "commit below a draft": (commit_below_draft, "Row 1 is committed"),
    "two chains of commits": (two_chains_of_commits, "Row 1 is committed"),
    "draft beside a commit": (draft_beside_commit, "Row 1 follows the history"),
    "draft on an earlier commit": (draft_on_earlier_commit, "Row 2 does not follow the last"),
    "beyond the capacity": (lambda b, s, o: b.commit(s, [1] * 13), "Row 12 .* position 30 .* 30"),
    "draft beyond the capacity": (lambda b, s, o: b.chain(s, [1] * 13), "Row 12 .* position 30"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rules_change_nothing(name: str, fresh: Engines, oracle: Oracle) -> None:
    engine = fresh(max_rows=32)
    sequence, other = engine.open(TEXT[:20], 30), engine.open([], 30)
    before = Batch()
    before.commit(sequence, TEXT[:18])
    before.commit(other, TEXT[:3])
    before.run(engine)
    before = Batch()
    rows = before.chain(sequence, TEXT[18:20])
    earlier = before.run(engine)
    free = engine.free_tokens

    breaks, message = BROKEN[name]
    batch = Batch()
    # What is wrong stands behind rows that are right.
    breaks(batch, sequence.id, other.id)
    with pytest.raises(UsageError, match=message):
        batch.run(engine)

    # The pass before is still there, can be kept, and goes on rightly.
    assert same_bytes(earlier.numpy(rows), oracle.every(TEXT[:20])[18:])
    engine.keep(sequence, rows)
    assert (sequence.length, other.length) == (20, 3)
    assert engine.free_tokens == free
    assert same_bytes(feed(engine, sequence, TEXT[20:25]), oracle.every(TEXT[:25])[20:])
    assert same_bytes(feed(engine, other, TEXT[3:6]), oracle.every(TEXT[:6])[3:])


def test_a_wrong_row_behind_right_ones_changes_nothing(fresh: Engines, oracle: Oracle) -> None:
    engine = fresh()
    sequence, other = engine.open([], 40), engine.open([], 40)
    feed(engine, sequence, TEXT[:14])
    batch = Batch()
    batch.commit(sequence, TEXT[14:40])  # into new blocks
    batch.commit(other, [*TEXT[:40], 1])  # one too many
    with pytest.raises(UsageError, match="position 40"):
        batch.run(engine)
    assert (sequence.length, other.length) == (14, 0)
    assert same_bytes(feed(engine, sequence, TEXT[14:40]), oracle.every(TEXT[:40])[14:])
    assert same_bytes(feed(engine, other, TEXT[:40]), oracle.every(TEXT[:40]))


def test_arrays_of_different_lengths(fresh: Engines) -> None:
    engine = fresh()
    sequence = engine.open([], 10)
    batch = Batch()
    batch.commit(sequence, [1, 2])
    for name in ("sequence", "token", "parent", "commit", "want_logits"):
        rows = batch.rows()
        setattr(rows, name, getattr(rows, name)[:1])
        with pytest.raises(UsageError, match="length"):
            engine.forward(rows)
    assert sequence.length == 0


@pytest.mark.parametrize("layers", [0, -3, 3])
def test_layers_out_of_range(layers: int, fresh: Engines) -> None:
    engine = fresh()
    batch = Batch()
    batch.chain(engine.open([], 10), [1])
    with pytest.raises(UsageError, match=f"layers .* 1 and 2, not {layers}"):
        batch.run(engine, layers=layers)


@pytest.mark.parametrize(
    ("hidden", "layers", "message"),
    [
        ((3,), None, "layer 3"),
        ((-1,), None, "layer -1"),
        ((2,), 1, "layer 2"),
        ((1, 1), None, "twice"),
    ],
)
def test_hidden_out_of_range(
    hidden: tuple[int, ...], layers: int | None, message: str, fresh: Engines
) -> None:
    engine = fresh()
    batch = Batch()
    batch.chain(engine.open([], 10), [1])
    with pytest.raises(UsageError, match=message):
        batch.run(engine, layers=layers, hidden=hidden)


def test_first_layers_take_no_committed_rows_and_cannot_be_kept(
    fresh: Engines, oracle: Oracle
) -> None:
    engine = fresh()
    sequence = engine.open([], 20)
    feed(engine, sequence, TEXT[:5])
    batch = Batch()
    batch.commit(sequence, TEXT[5:6])
    with pytest.raises(UsageError, match="Row 0 cannot become history"):
        batch.run(engine, layers=1)
    batch = Batch()
    rows = batch.chain(sequence, TEXT[5:8])
    batch.run(engine, layers=1)
    engine.keep(sequence, [])
    with pytest.raises(UsageError, match="first 1 layers"):
        engine.keep(sequence, rows)
    assert sequence.length == 5
    batch.run(engine, layers=2)
    engine.keep(sequence, rows)
    assert same_bytes(feed(engine, sequence, TEXT[8:9])[0], oracle.after(TEXT[:9]))


def test_keep_takes_a_path_from_the_history(fresh: Engines, oracle: Oracle) -> None:
    engine = fresh()
    sequence, other = engine.open([], 40), engine.open([], 40)
    feed(engine, sequence, TEXT[:10])
    feed(engine, other, TEXT[:10])
    batch = Batch()
    (root,) = batch.commit(sequence, TEXT[10:11])
    a = batch.chain(sequence, TEXT[11:14], root)
    b = batch.chain(sequence, [7, 8], a[0])
    foreign = batch.chain(other, [1, 2])
    batch.run(engine)
    for wrong in (
        [root],
        [99],
        [-1],
        foreign,
        [a[1]],
        [a[0], a[2]],
        [a[0], b[1]],
        [a[0], a[1], b[1]],
        [a[0], a[0]],
        [a[1], a[0]],
        [b[0]],
        [*a, b[0]],
    ):
        with pytest.raises(UsageError, match="Row"):
            engine.keep(sequence, wrong)
        assert sequence.length == 11
    engine.keep(sequence, [a[0], *b])
    assert sequence.length == 14
    for twice in ([a[0]], [a[1]], b):
        with pytest.raises(UsageError, match="Row"):
            engine.keep(sequence, twice)
    engine.keep(other, foreign[:1])
    path = [*TEXT[:12], 7, 8]
    assert same_bytes(feed(engine, sequence, [3])[0], oracle.after([*path, 3]))
    assert same_bytes(feed(engine, other, [3])[0], oracle.after([*TEXT[:10], 1, 3]))


def test_rows_of_an_earlier_pass_cannot_be_kept(fresh: Engines) -> None:
    engine = fresh()
    sequence = engine.open([], 40)
    batch = Batch()
    rows = batch.chain(sequence, TEXT[:3])
    batch.run(engine)
    other = Batch()
    other.commit(sequence, [4])
    other.run(engine)
    with pytest.raises(UsageError, match="Row 0"):
        engine.keep(sequence, rows)


def test_a_pass_is_over_with_the_next(fresh: Engines) -> None:
    engine = fresh()
    sequence = engine.open([], 40)
    batch = Batch()
    batch.chain(sequence, [1])
    old = batch.run(engine, hidden=(1,))
    sampler = Sampler(Sampling(), vocab_size=288, seed=0)
    batch.run(engine)
    for use in (
        lambda: old.numpy([0]),
        lambda: old.hidden([0]),
        lambda: old.choose([0], [sampler], [1]),
        lambda: old.walk(0, 1, Tree(), sampler),
        lambda: old.logprobs([0], [1]),
        lambda: old.top([0], 1),
    ):
        with pytest.raises(UsageError, match="over"):
            use()


def test_questions_about_rows_without_logits(fresh: Engines) -> None:
    engine = fresh()
    sequence = engine.open([], 40)
    batch = Batch()
    batch.add(sequence, 1, want=False)
    batch.add(sequence, 2)
    result = batch.run(engine)
    sampler = Sampler(Sampling(), vocab_size=288, seed=0)
    for row in (0, 2, -1):
        with pytest.raises(UsageError, match=f"Row {row} "):
            result.numpy([row])
        with pytest.raises(UsageError, match=f"Row {row} "):
            result.choose([row], [sampler], [1])
    with pytest.raises(UsageError, match="row"):
        batch.run(engine, hidden=(1,)).hidden([2])


def test_questions_that_do_not_fit_the_model(fresh: Engines) -> None:
    engine = fresh()
    batch = Batch()
    batch.chain(engine.open([], 40), [1, 2])
    result = batch.run(engine)
    larger = Sampler(Sampling(), vocab_size=289, seed=0)
    with pytest.raises(UsageError, match=r"289 .* 288"):
        result.choose([0], [larger], [1])
    with pytest.raises(UsageError, match=r"289 .* 288"):
        result.walk(0, 1, Tree((2,), (-1,), (1.0,)), larger)
    sampler = Sampler(Sampling(), vocab_size=288, seed=0)
    with pytest.raises(UsageError, match="differ in length"):
        result.walk(0, 1, Tree((2,), (), (1.0,)), sampler)
    with pytest.raises(UsageError, match="mask"):
        result.choose([0], [sampler], [1], masks=[np.zeros(8, np.uint32)])
    for k in (-1, 289, 1 << 30):
        with pytest.raises(UsageError):
            result.top([0], k)
    for token in (-1, 288):
        with pytest.raises(UsageError, match=str(token)):
            result.logprobs([0], [token])


def test_the_verbs_of_a_pass_equal_their_reference(fresh: Engines) -> None:
    from outrider.engines.base import Pass

    class Reference(Pass):
        def __init__(self, result: Pass) -> None:
            self.result = result

        def numpy(self, rows: object) -> object:  # type: ignore[override]
            return self.result.numpy(rows)  # type: ignore[arg-type]

    engine = fresh()
    sequence = engine.open([], 40)
    batch = Batch()
    (root,) = batch.commit(sequence, TEXT[:1])
    probe = batch.run(engine).numpy([root])[0]
    best = [int(t) for t in np.argsort(-probe)[:3]]
    batch = Batch()
    (root,) = batch.commit(sequence, [5])
    first = [batch.add(sequence, t, root) for t in range(200)]
    second = [batch.add(sequence, t, first[3]) for t in best]
    result = batch.run(engine)
    reference = Reference(result)
    tree = Tree((*range(200), *best), (*[-1] * 200, *[3] * 3), (*[0.0] * 203,))
    accepted = 0
    for seed in range(40):
        sampler = Sampler(Sampling(temperature=1.5), vocab_size=288, seed=seed)
        verdict = result.walk(root, 2, tree, sampler)
        assert verdict == reference.walk(root, 2, tree, sampler)
        accepted += len(verdict.accepted)
        assert result.choose([root, second[0]], [sampler, sampler], [2, 4], [[], [3, best[0]]]) == (
            reference.choose([root, second[0]], [sampler, sampler], [2, 4], [[], [3, best[0]]])
        )
    assert accepted > 0
    rows = [root, *second]
    ids, values = result.top(rows, 5)
    expected_ids, expected = reference.top(rows, 5)
    assert np.array_equal(ids, expected_ids)
    np.testing.assert_allclose(values, expected, atol=1e-9)
    np.testing.assert_allclose(
        result.logprobs(rows, [1, 2, 3, 4]), reference.logprobs(rows, [1, 2, 3, 4]), atol=1e-9
    )


# ------------------------------------------------------------------------------ not a number


def poisoned(path: Path, name: str, row: int, shape: Shape = MIXED) -> None:
    """A model one of whose matrices has a row that is not a number."""
    values = random_tensors(shape)[name]
    kind = shape.types.get(name, shape.type)
    data = stored(values, kind)
    scales = data[row].reshape(-1, 34 if kind is Type.Q8_0 else 20)
    scales[:, :2] = np.frombuffer(np.float16(np.nan).tobytes(), np.uint8)
    write(path, shape, tensors={name: (data, kind)})


@pytest.mark.parametrize("float32", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_not_a_number_spoils_its_own_row_only(
    float32: bool, threads: int, tmp_path: Path
) -> None:
    # The output layer is another matrix: only the lookup of token 7 is spoilt.
    shape = Shape(types={"token_embd.weight": Type.Q8_0}, tied=False)
    poisoned(tmp_path / "bad.gguf", "token_embd.weight", 7, shape)
    write(tmp_path / "good.gguf", shape)
    good, bad = (
        NativeEngine(tmp_path / name, threads=threads, cache_bytes=4 << 20, float32=float32)
        for name in ("good.gguf", "bad.gguf")
    )
    expected = Oracle(good)
    sequence, spoilt, third = bad.open([], 40), bad.open([], 40), bad.open([], 300)
    feed(bad, sequence, TEXT[:20])
    feed(bad, third, (TEXT * 5)[:270])
    text = [t for t in TEXT if t != 7]
    batch = Batch()
    (root,) = batch.commit(sequence, text[20:21])
    bads = batch.chain(sequence, [7, 1], root)
    rows = batch.chain(sequence, text[21:25], root)
    bads += batch.commit(spoilt, [1, 7, 2, 3])[1:]
    far = batch.chain(third, [4, 5])
    result = batch.run(bad)
    assert np.isnan(result.numpy(bads)).all()
    history = [*TEXT[:20], *text[20:25]]
    assert same_bytes(result.numpy([root, *rows]), expected.every(history)[20:])
    assert same_bytes(result.numpy(far), expected.every([*(TEXT * 5)[:270], 4, 5])[270:])

    sampler = Sampler(Sampling(), vocab_size=288, seed=0)
    with pytest.raises(SamplingError):
        result.choose(bads[:1], [sampler], [1])
    with pytest.raises(SamplingError):
        result.top(bads[:1], 3)

    # Where it stood in the cache and in the scratch, others go on unharmed.
    bad.keep(sequence, rows)
    bad.close(spoilt)
    bad.clear_cache()
    assert same_bytes(feed(bad, sequence, [9])[0], expected.after([*history, 9]))
    fresh = bad.open([], 40, share=False)
    assert same_bytes(feed(bad, fresh, TEXT[:30]), expected.every(TEXT[:30]))


@pytest.mark.parametrize("kernel", ["scalar", ""])
@pytest.mark.parametrize("name", ["blk.0.attn_q.weight", "blk.1.ffn_gate.weight"])
def test_what_is_not_a_number_is_never_swallowed(name: str, kernel: str, tmp_path: Path) -> None:
    poisoned(tmp_path / "bad.gguf", name, 3)
    engine = NativeEngine(tmp_path / "bad.gguf", threads=1, cache_bytes=4 << 20, kernel=kernel)
    assert np.isnan(feed(engine, engine.open([], 20), TEXT[:20])).all()


def test_arrays_of_other_types_are_taken_by_value(fresh: Engines, oracle: Oracle) -> None:
    engine = fresh()
    sequence = engine.open([], 10)
    rows = Rows(
        sequence=np.full(3, sequence.id, np.int64),  # type: ignore[arg-type]
        token=np.array([1, 2, 3], np.int64),  # type: ignore[arg-type]
        parent=np.array([-1, 0, 1], np.int64),  # type: ignore[arg-type]
        commit=np.ones(6, np.bool_)[::2],
        want_logits=np.ones(3, np.bool_),
    )
    assert same_bytes(engine.forward(rows).numpy([0, 1, 2]), oracle.every([1, 2, 3]))
