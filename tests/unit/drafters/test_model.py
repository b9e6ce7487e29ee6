from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from loop_tools import PLAIN, Asked, run

from outrider import LLM, registry
from outrider.control.fixed import FixedController
from outrider.decode import Loop
from outrider.drafters.base import Drafter
from outrider.drafters.cached import CachedDrafter
from outrider.drafters.early_exit import EarlyExitDrafter
from outrider.drafters.model import ModelDrafter, model_drafter
from outrider.drafters.quantized import QuantizedDrafter, four_bit_copy
from outrider.drafters.through_text import Alignment, TextDrafter, Translation
from outrider.engines import machine
from outrider.engines.native import NativeEngine
from outrider.engines.toy import ToyEngine
from outrider.errors import CapacityError, ModelFileError, UsageError
from outrider.models.gguf import GgufFile
from outrider.plan import Plan
from outrider.text import Tokenizer
from outrider.types import Sampling, Speculation

SAMPLINGS = (
    Sampling(),
    Sampling(temperature=1.0, top_p=0.9),
    Sampling(temperature=0.7, top_k=20, presence_penalty=0.7, repetition_penalty=1.2),
)
PROMPT = tuple(int(t) for t in np.random.default_rng(1).integers(3, 403, 30))


@pytest.fixture(scope="module")
def engine(files: Path) -> NativeEngine:
    return NativeEngine(files / "target.gguf", threads=1, cache_bytes=1 << 24)


Make = Callable[[NativeEngine], Drafter]


def loop_with(engine: NativeEngine, make: Make, k: int | None = None) -> tuple[Loop, list[Drafter]]:
    """A loop whose drafter is what `make` makes, and where that can be found."""
    made: list[Drafter] = []

    def load(group: registry.Group, name: str):
        if group == "drafters" and name == "tested":
            return lambda target: made.append(make(target)) or made[-1]
        return registry.load(group, name)

    plan = Plan(drafter="tested", controller="fixed", num_draft_tokens=k)
    return Loop(engine, load=load, plan=plan), made


def answers(engine: NativeEngine, make: Make | None, *asked: Asked, k: int | None = None):
    loop, _ = loop_with(engine, make, k) if make else (Loop(engine, plan=PLAIN), [])
    run(loop, *asked)
    return [one.answer for one in asked]


def ask(sampling: Sampling, drafts: bool = True, prompt=PROMPT, **settings) -> Asked:
    speculation = Speculation() if drafts else Speculation(enabled=False)
    values = {"max_tokens": 40, "sampling": sampling, "speculation": speculation} | settings
    return Asked(prompt, **values)


def with_model(files: Path, name: str, **options) -> Make:
    return lambda target: ModelDrafter(target, draft_model=str(files / f"{name}.gguf"), **options)


# ------------------------------------------------------------------- the same tokens as plain


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("draft", {}),
        ("draft", {"branch": 3}),
        ("draft", {"draws": True}),
        ("short", {}),
        ("padded", {}),
        ("target", {"branch": 2}),
    ],
)
def test_tokens_are_those_of_plain_decoding(
    engine: NativeEngine, files: Path, name: str, options: dict, sampling: Sampling
) -> None:
    batch = [ask(sampling, prompt=PROMPT[: 5 + 5 * i], seed=i) for i in range(4)]
    plain = [ask(sampling, False, prompt=PROMPT[: 5 + 5 * i], seed=i) for i in range(4)]
    found = answers(engine, with_model(files, name, **options), *batch, k=6)
    expected = answers(engine, None, *plain)
    assert [a.tokens for a in found] == [a.tokens for a in expected]
    assert all(a.usage.draft_tokens for a in found)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("branch", [1, 2])
def test_the_target_as_its_own_drafter_accepts_everything(
    engine: NativeEngine, files: Path, branch: int, sampling: Sampling
) -> None:
    (answer,) = answers(
        engine, with_model(files, "target", branch=branch), ask(sampling, max_tokens=41), k=4
    )
    usage = answer.usage
    assert usage.note is None
    if branch == 1:
        # Of 41 tokens the prompt's pass says the first, and every step four drafted and one more.
        assert (usage.steps, usage.accepted_tokens, usage.draft_tokens) == (8, 32, 32)
    else:
        assert usage.accepted_tokens >= 20


def test_drawn_chains_of_the_target_are_accepted_by_rejection(
    engine: NativeEngine, files: Path
) -> None:
    sampling = Sampling(temperature=1.0)
    loop, _ = loop_with(engine, with_model(files, "target", draws=True), 4)
    loop.parts.plan = loop.parts.plan.but(verification="rejection")
    asked = ask(sampling, max_tokens=41)
    run(loop, asked)
    assert asked.answer.usage.accepted_tokens == asked.answer.usage.draft_tokens == 32


def test_catching_up_takes_no_pass_of_its_own(engine: NativeEngine, files: Path) -> None:
    loop, made = loop_with(engine, with_model(files, "target"), 4)
    asked = ask(Sampling(), max_tokens=41)
    run(loop, asked)
    (drafter,) = made
    assert isinstance(drafter, CachedDrafter)
    assert asked.answer.usage.steps == 8
    # A pass a drafted token. The first pass of the first draft reads prompt and first answer,
    # later ones two tokens after full acceptance: the draft's last and the bonus token. The
    # others compute 1, 2 and 3 drafted nodes.
    assert drafter.passes == 8 * 4
    assert drafter.computed_rows == (len(PROMPT) + 1) + 7 * 2 + 8 * (1 + 2 + 3)


def test_a_long_prompt_is_read_in_chunks(engine: NativeEngine, files: Path, monkeypatch) -> None:
    monkeypatch.setattr("outrider.drafters.cached.CATCH_UP", 8)
    plain = answers(engine, None, ask(Sampling(), False))
    asked = ask(Sampling())
    answers(engine, with_model(files, "target"), asked, k=4)
    assert asked.answer.tokens == plain[0].tokens
    # 31 tokens are missing at first, and each step that reads 8 of them brings one more.
    assert asked.answer.usage.empty_steps == 4


def test_a_short_draft_context_ends_the_drafts(engine: NativeEngine, files: Path) -> None:
    asked = ask(Sampling(), max_tokens=30)
    (answer,) = answers(engine, with_model(files, "short"), asked, k=4)
    assert answer.usage.note is None
    # The draft model has the target's weights: all is accepted while its 40 positions last, and
    # what follows the last of them can still be guessed.
    assert answer.usage.accepted_tokens + answer.usage.draft_steps == 41 - 31
    assert answer.tokens == answers(engine, None, ask(Sampling(), False, max_tokens=30))[0].tokens


def test_a_prompt_beyond_the_draft_context_is_decoded_plainly(
    engine: NativeEngine, files: Path
) -> None:
    asked = ask(Sampling(), prompt=PROMPT + PROMPT)
    (answer,) = answers(engine, with_model(files, "short"), asked)
    assert answer.usage.draft_tokens == 0
    assert "the draft model's cache holds 40" in answer.usage.note


def test_the_context_is_filled_to_its_last_position(engine: NativeEngine, files: Path) -> None:
    settings = {"max_tokens": engine.context - len(PROMPT)}
    for make in (with_model(files, "target", branch=2), lambda t: EarlyExitDrafter(t, layers=2)):
        (answer,) = answers(engine, make, ask(Sampling(), **settings), k=5)
        assert answer.usage.note is None
        assert answer.tokens == answers(engine, None, ask(Sampling(), False, **settings))[0].tokens
        assert len(answer.tokens) == settings["max_tokens"]


def test_cancelled_entries_leave_the_draft_cache_free(engine: NativeEngine, files: Path) -> None:
    loop, made = loop_with(engine, with_model(files, "draft"), 3)
    batch = [ask(Sampling(temperature=1.0), prompt=PROMPT[i : i + 9], seed=i) for i in range(6)]
    for one in batch:
        loop.add(one.job)
    for step in range(400):
        if step in (2, 4):
            loop.cancel(batch[step].job)
        if loop.idle:
            break
        loop.step()
    kept = [one for i, one in enumerate(batch) if i not in (2, 4)]
    plain = [
        ask(Sampling(temperature=1.0), False, prompt=PROMPT[i : i + 9], seed=i) for i in range(6)
    ]
    answers(engine, None, *plain)
    expected = [one.answer.tokens for i, one in enumerate(plain) if i not in (2, 4)]
    assert [one.answer.tokens for one in kept] == expected
    (drafter,) = made
    assert isinstance(drafter, CachedDrafter)
    drafter.engine.clear_cache()
    assert drafter.engine.free_tokens == drafter.engine.cache_tokens


def test_a_full_draft_cache_costs_only_drafts(engine: NativeEngine, files: Path) -> None:
    probe = with_model(files, "draft")(engine)
    assert isinstance(probe, CachedDrafter)
    budget = probe.engine.token_bytes * 96
    batch = [ask(Sampling(), prompt=PROMPT[i:], seed=i) for i in range(3)]
    plain = [ask(Sampling(), False, prompt=PROMPT[i:], seed=i) for i in range(3)]
    found = answers(engine, with_model(files, "draft", cache_budget=budget), *batch)
    expected = answers(engine, None, *plain)
    assert [a.tokens for a in found] == [a.tokens for a in expected]
    assert all(a.usage.note is None for a in found)
    roomy = [ask(Sampling(), prompt=PROMPT[i:], seed=i) for i in range(3)]
    full = answers(engine, with_model(files, "draft"), *roomy)
    drafted = [sum(a.usage.draft_tokens for a in some) for some in (found, full)]
    assert 0 < drafted[0] < drafted[1]


# ------------------------------------------------------------------- early exit


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("options", [{"layers": 1}, {"layers": 2, "branch": 2}, {"draws": True}])
def test_early_exit_changes_no_token(
    engine: NativeEngine, sampling: Sampling, options: dict
) -> None:
    batch = [ask(sampling, prompt=PROMPT[i:], seed=i) for i in range(3)]
    plain = [ask(sampling, False, prompt=PROMPT[i:], seed=i) for i in range(3)]
    found = answers(engine, lambda target: EarlyExitDrafter(target, **options), *batch)
    assert [a.tokens for a in found] == [a.tokens for a in answers(engine, None, *plain)]
    assert all(a.usage.draft_tokens and a.usage.note is None for a in found)


def test_early_exit_guesses_what_the_first_layers_say(engine: NativeEngine, files: Path) -> None:
    # A model of the target's first layer alone, with the target's output layer, guesses the same.
    early = ask(Sampling())
    (first,) = answers(engine, lambda target: EarlyExitDrafter(target, layers=1), early, k=3)
    (second,) = answers(engine, with_model(files, "draft"), ask(Sampling()), k=3)
    assert first.usage.accepted_per_position == second.usage.accepted_per_position
    assert first.usage.draft_tokens == second.usage.draft_tokens


@pytest.mark.parametrize("layers", [0, 3, 17])
def test_early_exit_needs_layers_that_are_there(engine: NativeEngine, layers: int) -> None:
    with pytest.raises(UsageError, match="1 to 2 of this model's 3 layers"):
        EarlyExitDrafter(engine, layers=layers)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.8, top_p=0.95)])
def test_early_exit_of_the_default_model(model_path: Path, sampling: Sampling) -> None:
    engine = NativeEngine(model_path, context=128, cache_bytes=1 << 25)
    prompt = tuple(Tokenizer.from_metadata(engine.file.metadata).encode("One, two, three, four"))
    asked, plain = (ask(sampling, drafts, prompt=prompt, max_tokens=24) for drafts in (True, False))
    make = lambda target: EarlyExitDrafter(target, layers=27, branch=2)  # noqa: E731
    (found,) = answers(engine, make, asked, k=4)
    assert found.tokens == answers(engine, None, plain)[0].tokens
    assert found.usage.accepted_tokens > 0


# ------------------------------------------------------------------- quantized


@pytest.mark.parametrize("name", ["eight_bits", "sixteen_bits"])
def test_a_quantized_copy_drafts_well_and_is_made_once(
    files: Path, name: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("OUTRIDER_CACHE", str(tmp_path))
    engine = NativeEngine(files / f"{name}.gguf", threads=1, cache_bytes=1 << 24)
    (answer,) = answers(engine, QuantizedDrafter, ask(Sampling()))
    assert answer.tokens == answers(engine, None, ask(Sampling(), False))[0].tokens
    assert answer.usage.acceptance_rate > 0.2
    (copy,) = (tmp_path / "copies").iterdir()
    made = copy.stat().st_mtime_ns
    assert four_bit_copy(engine.file, "Q4_0") == copy
    assert copy.stat().st_mtime_ns == made
    copy.write_bytes(copy.read_bytes()[:1000])
    assert GgufFile(four_bit_copy(engine.file, "Q4_0")).tensors()


def test_four_bit_targets_are_refused(engine: NativeEngine) -> None:
    with pytest.raises(UsageError, match=r"have 5\.0 bits a weight already"):
        QuantizedDrafter(engine)
    with pytest.raises(UsageError, match="Q4_0"):
        QuantizedDrafter(engine, type="Q8_0")


# ------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("larger", "it has 405 tokens, not 403"),
        ("renamed", "its token 300 is "),
        ("other", "it has 300 tokens, not 403"),
    ],
)
def test_another_vocabulary_is_an_error_that_says_how(
    engine: NativeEngine, files: Path, name: str, difference: str
) -> None:
    with pytest.raises(UsageError, match=difference):
        with_model(files, name)(engine)


def test_a_model_larger_than_memory_is_an_error(
    engine: NativeEngine, files: Path, monkeypatch
) -> None:
    monkeypatch.setattr("outrider.drafters.cached.memory_bytes", lambda: 10_000)
    with pytest.raises(CapacityError, match=r"0\.0 MB of memory are free; use a smaller one"):
        with_model(files, "draft")(engine)
    assert machine.memory_bytes() > 10_000


def test_a_model_that_is_not_there_is_an_error_at_load(files: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.gguf' does not exist"):
        LLM(files / "target.gguf", draft_model=str(tmp_path / "gone.gguf"), context=64)
    (tmp_path / "damaged.gguf").write_bytes(b"GGUF and no more")
    with pytest.raises(ModelFileError, match=r"The draft model .*damaged\.gguf"):
        LLM(files / "target.gguf", draft_model=str(tmp_path / "damaged.gguf"), context=64)


def test_a_file_that_disappears_later_is_not_missed(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "draft.gguf"
    path.write_bytes((files / "draft.gguf").read_bytes())
    with LLM(files / "target.gguf", draft_model=str(path), context=64) as llm:
        path.unlink()
        completion = llm.generate(tokens=PROMPT, max_tokens=12, ignore_eos=True)
        assert completion.usage.draft_tokens > 0
        assert completion.usage.note is None
        assert completion.record["draft_model"] == "synthetic"
        assert completion.record["draft_cache_bytes"] > 0


def test_a_draft_engine_that_fails_costs_only_the_drafts(
    engine: NativeEngine, files: Path, monkeypatch
) -> None:
    loop, made = loop_with(engine, with_model(files, "draft"), 3)
    batch = [ask(Sampling(), prompt=PROMPT[i:], seed=i) for i in range(3)]
    for one in batch:
        loop.add(one.job)
    loop.step()
    loop.step()
    (drafter,) = made
    assert isinstance(drafter, CachedDrafter)

    def fail(*_: object) -> None:
        raise OSError("the draft model has gone")

    monkeypatch.setattr(drafter.engine, "forward", fail)
    while not loop.idle:
        loop.step()
    plain = [ask(Sampling(), False, prompt=PROMPT[i:], seed=i) for i in range(3)]
    assert [one.answer.tokens for one in batch] == [a.tokens for a in answers(engine, None, *plain)]
    for one in batch:
        assert "the draft model has gone" in one.answer.usage.note
    drafter.engine.clear_cache()
    assert drafter.engine.free_tokens == drafter.engine.cache_tokens


def test_options_that_cannot_be_had(engine: NativeEngine, files: Path) -> None:
    with pytest.raises(UsageError, match="--draft-model NAME"):
        model_drafter(engine)
    with pytest.raises(UsageError, match="branch has to be at least 1"):
        with_model(files, "draft", branch=0)(engine)
    with pytest.raises(UsageError, match="branch has to be 1 with draws"):
        with_model(files, "draft", branch=2, draws=True)(engine)
    with pytest.raises(UsageError, match="loaded from a model file"):
        ModelDrafter(ToyEngine(), draft_model="draft")
    with pytest.raises(UsageError, match="no draws"):
        model_drafter(engine, draft_model="x", through_text=True, draws=True)


@pytest.mark.parametrize("branch", [1, 3])
def test_after_a_reset_a_prompt_is_drafted_for_as_if_it_were_the_first(
    engine: NativeEngine, files: Path, branch: int
) -> None:
    proposed: list[tuple[float, ...]] = []

    class Watched(ModelDrafter):
        def draft(self, batch):
            trees = super().draft(batch)
            proposed.extend(tree.probabilities for tree in trees)
            return trees

    path = str(files / "draft.gguf")
    make = lambda target: Watched(target, draft_model=path, branch=branch)  # noqa: E731
    loop, made = loop_with(engine, make, 4)
    seen = []
    for _ in range(2):
        asked = ask(Sampling(temperature=1.0), max_tokens=60)
        run(loop, asked)
        (drafter,) = made
        assert isinstance(drafter, CachedDrafter)
        usage = asked.answer.usage
        seen.append(
            (usage.draft_tokens, usage.accepted_tokens, drafter.computed_rows, list(proposed))
        )
        drafter.computed_rows = 0
        proposed.clear()
        loop.forget()
    assert seen[0] == seen[1]


def test_a_worth_of_rows_is_kept_to(engine: NativeEngine, files: Path) -> None:
    class Picky(FixedController):
        def limit(self, batch, room) -> None:
            super().limit(batch, room)
            for entry in batch:
                entry.min_path_probability = 2.0

    loop, made = loop_with(engine, with_model(files, "draft"), 6)
    real = loop.parts._load
    loop.parts._load = lambda group, name: Picky if group == "controllers" else real(group, name)
    asked = ask(Sampling())
    run(loop, asked)
    assert asked.answer.usage.draft_tokens == 0
    (drafter,) = made
    assert isinstance(drafter, CachedDrafter)
    # Nothing is worth a second pass.
    assert drafter.passes == asked.answer.usage.empty_steps


# ------------------------------------------------------------------- through text


def tokenizer(files: Path, name: str) -> Tokenizer:
    return Tokenizer.from_metadata(GgufFile(files / f"{name}.gguf").metadata)


def test_a_translation_settles_word_by_word(files: Path) -> None:
    target, other = tokenizer(files, "target"), tokenizer(files, "other")
    alignment = Alignment(target, other)
    text = "the sonar tested line, a trial of nested things"
    tokens = [
        *target.encode("<|im_start|>", parse_special=True),
        *target.encode(text + " again"),
    ]
    translation = Translation()
    for end in range(1, len(tokens) + 1):
        alignment.read(translation, tokens[:end])
        whole = b"".join(map(target.token_bytes, tokens[:end]))
        settled = b"".join(map(other.token_bytes, translation.settled))
        assert settled + translation.open == whole
        assert len(translation.open) < 10
    assert translation.settled == [
        *other.encode("<|im_start|>", parse_special=True),
        *other.encode(text),
    ]


def test_a_continuation_has_to_align(files: Path) -> None:
    target = tokenizer(files, "target")
    alignment = Alignment(target, tokenizer(files, "other"))
    history = target.encode("one two th")
    whole = target.encode("one two thx ate")
    assert alignment.continuation(history, b"x ate") == whole[len(history) :]
    # "t" and "h" as two tokens, where the tokenizer would have made one of them.
    apart = [*target.encode("one two "), *target.encode("t"), *target.encode("h")]
    assert len(apart) > len(history)
    assert alignment.continuation(apart, b"x ate") == []


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("name", ["other", "target", "short"])
def test_through_text_changes_no_token(
    engine: NativeEngine, files: Path, name: str, sampling: Sampling
) -> None:
    def make(target: NativeEngine) -> Drafter:
        return TextDrafter(target, draft_model=str(files / f"{name}.gguf"))

    words = tokenizer(files, "target").encode("the sonar tested line, a trial of things")
    batch = [ask(sampling, prompt=words[: 9 + 3 * i], seed=i) for i in range(3)]
    plain = [ask(sampling, False, prompt=words[: 9 + 3 * i], seed=i) for i in range(3)]
    found = answers(engine, make, *batch)
    assert [a.tokens for a in found] == [a.tokens for a in answers(engine, None, *plain)]
    assert all(a.usage.note is None for a in found)
    assert sum(a.usage.draft_tokens for a in found) > 0
