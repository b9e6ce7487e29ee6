"""The sampler in C++ against its numpy reference, and the reference against definitions."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider import _native
from outrider.errors import SamplingError, UsageError
from outrider.sampling import (
    Sampler,
    StreamId,
    derive_seed,
    draw_seed,
    gumbel,
    hash_noise,
    logprob,
    pack_mask,
    probabilities,
    processed_logits,
    reference_candidates,
    reference_choose,
    reference_draw,
    top,
    uniform,
)
from outrider.types import Sampling

KERNELS = _native.sampling_kernels()


@pytest.fixture(params=KERNELS, autouse=True, scope="module")
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test runs with every instruction set that the machine has."""
    _native.use_sampling_kernels(request.param)
    yield request.param
    _native.use_sampling_kernels(KERNELS[0])


def normal_logits(n: int, seed: int = 0, scale: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=n) * scale).astype(np.float32)


@st.composite
def cases(draw: st.DrawFn) -> dict:
    """A row, settings, history, path and mask; rows are often full of ties."""
    n = draw(st.sampled_from([1, 2, 3, 5, 16, 31, 33, 64, 255, 257, 700, 5000]))
    seed = draw(st.integers(0, 2**64 - 1))
    rng = np.random.default_rng(seed % 2**32)
    logits = rng.normal(size=n) * draw(st.sampled_from([0.0, 0.1, 3.0, 20.0]))
    step = draw(st.sampled_from([0.0, 0.25, 1.0, 5.0]))
    if step:
        logits = np.round(logits / step) * step
    logits = logits.astype(np.float32)
    if draw(st.booleans()):
        logits[rng.random(n) < 0.3] = -np.inf
        logits[rng.integers(n)] = 1.0
    tokens = st.lists(st.integers(0, n - 1), max_size=6)
    mask = None
    if draw(st.booleans()):
        finite = np.flatnonzero(np.isfinite(logits))
        allowed = np.flatnonzero(rng.random(n) < draw(st.sampled_from([0.05, 0.5, 1.0])))
        mask = pack_mask(np.append(allowed, rng.choice(finite)), n)
    sampling = Sampling(
        temperature=draw(st.sampled_from([0.0, 1e-300, 1e-3, 0.3, 0.8, 1.0, 2.0, 100.0])),
        top_k=draw(st.sampled_from([0, 0, 1, 2, 7, 50, 300, n, n + 1])),
        top_p=draw(st.sampled_from([1.0, 1.0, 1e-9, 0.1, 0.5, 0.77, 0.95, 0.9999])),
        min_p=draw(st.sampled_from([0.0, 0.0, 1e-5, 0.05, 0.4, 1.0])),
        repetition_penalty=draw(st.sampled_from([1.0, 1.0, 0.5, 1.3])),
        presence_penalty=draw(st.sampled_from([0.0, 0.0, -0.5, 1.5])),
        frequency_penalty=draw(st.sampled_from([0.0, 0.0, -0.25, 0.7])),
        logit_bias=draw(st.dictionaries(st.integers(0, n - 1), st.floats(-20, 20), max_size=3)),
    )
    return {
        "logits": logits,
        "sampling": sampling,
        "seed": seed,
        "index": draw(st.integers(0, 5)),
        "stream": draw(st.sampled_from(StreamId)),
        "position": draw(st.integers(0, 2**40)),
        "prompt": draw(tokens),
        "output": draw(tokens),
        "path": draw(tokens),
        "mask": mask,
    }


def make_sampler(case: dict) -> Sampler:
    sampler = Sampler(
        case["sampling"],
        vocab_size=len(case["logits"]),
        seed=case["seed"],
        index=case["index"],
        stream=case["stream"],
        prompt=case["prompt"],
    )
    sampler.advance(case["output"])
    return sampler


@given(case=cases())
@settings(max_examples=300, deadline=None)
def test_choose_equals_the_reference(case: dict) -> None:
    expected = reference_choose(
        case["logits"],
        case["sampling"],
        seed=case["seed"],
        index=case["index"],
        stream=case["stream"],
        position=case["position"],
        prompt=case["prompt"],
        output=case["output"] + case["path"],
        mask=case["mask"],
    )
    sampler = make_sampler(case)
    assert sampler.choose(case["logits"], case["position"], case["path"], case["mask"]) == expected


@given(case=cases(), share=st.floats(0.0, 1.0))
@settings(max_examples=300, deadline=None)
def test_candidates_equal_the_reference(case: dict, share: float) -> None:
    k = 1 + int(share * min(len(case["logits"]) - 1, 40))
    expected, values = reference_candidates(
        case["logits"],
        case["sampling"],
        k,
        seed=case["seed"],
        index=case["index"],
        stream=case["stream"],
        position=case["position"],
        prompt=case["prompt"],
        output=case["output"] + case["path"],
    )
    sampler = make_sampler(case)
    found = sampler.candidates(case["logits"], case["position"], case["path"], k)
    assert found[0] == expected
    np.testing.assert_allclose(found[1], values, rtol=1e-12, atol=1e-12)
    assert found[0][0] == sampler.choose(case["logits"], case["position"], case["path"])


def test_candidates_keep_the_order_of_small_differences() -> None:
    sampling = Sampling(temperature=0.0, logit_bias={0: 1.0, 2: 5e-29})
    logits = np.zeros(3, np.float32)
    expected, _ = reference_candidates(logits, sampling, 3, seed=0, position=0)
    assert expected == [0, 2, 1]
    assert Sampler(sampling, vocab_size=3, seed=0).candidates(logits, 0, [], 3)[0] == expected


@pytest.mark.parametrize("temperature", [0.0, 1e-3, 0.7, 100.0])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 3.0, 1e4])
def test_candidates_are_the_largest_noised_values(temperature: float, scale: float) -> None:
    n = 3001
    sampling = Sampling(temperature=temperature)
    sampler = Sampler(sampling, vocab_size=n, seed=7)
    for position in range(20):
        logits = normal_logits(n, position, scale)
        expected, _ = reference_candidates(logits, sampling, 9, seed=7, position=position)
        assert sampler.candidates(logits, position, (), 9)[0] == expected


@pytest.mark.parametrize("k", [0, -1, 6])
def test_candidates_out_of_range(k: int) -> None:
    with pytest.raises(UsageError, match="candidates"):
        Sampler(Sampling(), vocab_size=5, seed=0).candidates(normal_logits(5), 0, (), k)


@given(case=cases())
@settings(max_examples=200, deadline=None)
def test_processed_equals_the_reference(case: dict) -> None:
    expected = processed_logits(
        case["logits"],
        case["sampling"],
        prompt=case["prompt"],
        output=case["output"] + case["path"],
        mask=case["mask"],
    )
    x = make_sampler(case).processed(case["logits"], case["path"], case["mask"])
    np.testing.assert_array_equal(x, expected)


@given(case=cases())
@settings(max_examples=200, deadline=None)
def test_probabilities_equal_the_reference(case: dict) -> None:
    expected = probabilities(
        case["logits"],
        case["sampling"],
        prompt=case["prompt"],
        output=case["output"] + case["path"],
        mask=case["mask"],
    )
    p = make_sampler(case).probabilities(case["logits"], case["path"], case["mask"])
    np.testing.assert_allclose(p, expected, rtol=1e-12, atol=1e-300)
    assert p.sum() == pytest.approx(1.0, rel=1e-12)
    # Just what can be chosen has a probability, but for what no float64 of a sum could feel.
    x = make_sampler(case).processed(case["logits"], case["path"], case["mask"])
    assert (p[x > -699.0] > 0.0).all()
    assert (p[x < -701.0] == 0.0).all()


@given(
    n=st.sampled_from([1, 2, 15, 16, 17, 300, 5000]),
    width=st.sampled_from([1, 3, 10_000]),
    scale=st.sampled_from([1e-300, 1e-3, 1.0, 1e300]),
    seed=st.integers(0, 2**64 - 1),
    index=st.integers(0, 5),
    position=st.integers(0, 2**40),
)
@settings(max_examples=200, deadline=None)
def test_draw_equals_the_reference(
    n: int, width: int, scale: float, seed: int, index: int, position: int
) -> None:
    rng = np.random.default_rng(seed % 2**32)
    weights = scale * rng.permutation(np.where(np.arange(n) < width, rng.random(n), 0.0))
    weights[rng.integers(n)] = scale
    key = {"seed": seed, "index": index, "stream": StreamId.RESIDUAL, "position": position}
    sampler = Sampler(Sampling(), vocab_size=n, seed=seed, index=index)
    expected = reference_draw(weights, **key)
    assert sampler.draw(weights, position, StreamId.RESIDUAL) == expected
    assert weights[expected] > 0.0


def test_draws_are_a_sampler_s_choices_from_the_same_distribution() -> None:
    """The exponential race and the Gumbel-max trick are one and the same."""
    n = 500
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.9), vocab_size=n, seed=4)
    logits = normal_logits(n)
    p = sampler.probabilities(logits)
    for position in range(300):
        assert sampler.draw(3.0 * p, position, StreamId.TARGET) == sampler.choose(logits, position)


def test_uniforms_equal_the_reference() -> None:
    sampler = Sampler(Sampling(), vocab_size=10, seed=3, index=2)
    expected = uniform(hash_noise(3, 2, StreamId.ACCEPTANCE, 77, np.arange(20)))
    found = sampler.uniforms(77, 20, StreamId.ACCEPTANCE)
    np.testing.assert_array_equal(found, expected)
    assert uniform(np.array([0, 2**32 - 1], np.uint32)).tolist() == [2.0**-33, 1.0 - 2.0**-33]
    assert sampler.uniforms(77, 0, StreamId.ACCEPTANCE).shape == (0,)


def test_nothing_to_draw_from() -> None:
    for nothing in (np.zeros(40), np.full(40, -1.0), np.full(40, np.nan)):
        with pytest.raises(SamplingError, match="all weights are zero"):
            Sampler(Sampling(), vocab_size=40, seed=0).draw(nothing, 0, StreamId.DRAFT)
        with pytest.raises(SamplingError, match="all weights are zero"):
            reference_draw(nothing, seed=0, position=0, stream=StreamId.DRAFT)
    with pytest.raises(UsageError, match="41 weights do not fit a vocabulary of 40"):
        Sampler(Sampling(), vocab_size=40, seed=0).draw(np.ones(41), 0, StreamId.DRAFT)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=1.0),
        Sampling(temperature=1.5, top_p=0.95),
        Sampling(temperature=0.8, top_p=0.95),
        Sampling(temperature=0.8, top_k=50),
        Sampling(temperature=0.8, top_k=4000),
        Sampling(temperature=0.8, top_k=20, top_p=0.9, min_p=0.01),
        Sampling(temperature=0.8, min_p=0.02, top_p=0.99),
    ],
)
def test_choose_equals_the_reference_on_a_large_vocabulary(sampling: Sampling) -> None:
    n = 49152
    sampler = Sampler(sampling, vocab_size=n, seed=11)
    for position in range(10):
        logits = normal_logits(n, position)
        expected = reference_choose(logits, sampling, seed=11, position=position)
        assert sampler.choose(logits, position) == expected


@pytest.mark.parametrize("temperature", [1e-3, 0.7, 1.0, 5.0, 100.0])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 3.0, 1e4])
def test_few_logarithms_choose_what_all_of_them_choose(temperature: float, scale: float) -> None:
    n = 3001
    sampler = Sampler(Sampling(temperature=temperature), vocab_size=n, seed=7)
    for position in range(40):
        logits = normal_logits(n, position, scale)
        full = sampler.processed(logits) + sampler.noise(position, range(n))
        assert sampler.choose(logits, position) == int(full.argmax())


def test_noise_equals_the_reference() -> None:
    sampler = Sampler(Sampling(), vocab_size=100_000, seed=2**64 - 1, index=3, stream=2)
    tokens = np.arange(0, 100_000, 7)
    expected = gumbel(hash_noise(2**64 - 1, 3, 2, 12345, tokens))
    np.testing.assert_allclose(sampler.noise(12345, tokens), expected, rtol=1e-14, atol=1e-15)


def test_gumbel_reaches_its_ends() -> None:
    low, high = gumbel(np.array([2**32 - 1, 0], np.uint32))
    assert low == pytest.approx(-math.log(33 * math.log(2)))
    assert high == pytest.approx(33 * math.log(2))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0),
        Sampling(temperature=0.6, top_k=5),
        Sampling(temperature=1.4, top_p=0.8, repetition_penalty=1.3),
        Sampling(temperature=1.0, min_p=0.1, logit_bias={2: 1.0}),
    ],
)
def test_frequencies_match_probabilities(sampling: Sampling) -> None:
    n, draws = 12, 20_000
    logits = normal_logits(n, 3, 1.0)
    sampler = Sampler(sampling, vocab_size=n, seed=42, prompt=[1, 4])
    counts = np.bincount([sampler.choose(logits, p) for p in range(draws)], minlength=n)
    expected = probabilities(logits, sampling, prompt=[1, 4]) * draws
    assert (counts[expected == 0] == 0).all()
    likely = expected > 0
    chi_square = ((counts - expected)[likely] ** 2 / expected[likely]).sum()
    # The 99.99% quantile of a chi-square of at most 11 degrees of freedom is 37.4.
    assert chi_square < 37.4


@pytest.mark.parametrize("change", ["seed", "index", "stream", "position", "token"])
def test_noise_is_independent_across_its_key(change: str) -> None:
    n = 40_000
    key = {"seed": 5, "index": 0, "stream": 0, "position": 100}
    tokens = np.arange(n)
    first = gumbel(hash_noise(**key, tokens=tokens))
    if change == "token":
        tokens = tokens + 1
    else:
        key[change] += 1
    second = gumbel(hash_noise(**key, tokens=tokens))
    # The correlation of independent noise has a standard deviation of 1 / sqrt(n).
    assert abs(np.corrcoef(first, second)[0, 1]) < 4.5 / math.sqrt(n)


def test_noise_of_one_token_is_independent_from_position_to_position() -> None:
    n = 20_000
    noise = np.array([gumbel(hash_noise(5, 0, 0, p, [17, 18]))[0] for p in range(n)])
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 4.5 / math.sqrt(n)
    assert noise.mean() == pytest.approx(np.euler_gamma, abs=4.5 * 1.2825 / math.sqrt(n))


def test_hashed_bits_are_uniform() -> None:
    n = 200_000
    h = hash_noise(1, 0, 0, 9, np.arange(n))
    bits = (h[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    assert (np.abs(bits.mean(axis=0) - 0.5) < 4.5 * 0.5 / math.sqrt(n)).all()
    pairs = np.corrcoef(bits.T.astype(np.float64)) - np.eye(32)
    assert np.abs(pairs).max() < 5.0 / math.sqrt(n)


def test_hash_keeps_the_shape_of_its_tokens() -> None:
    flat = hash_noise(1, 2, 3, 4, np.arange(6))
    assert hash_noise(1, 2, 3, 4, 5).shape == ()
    assert int(hash_noise(1, 2, 3, 4, 5)) == int(flat[5])
    np.testing.assert_array_equal(hash_noise(1, 2, 3, 4, np.arange(6).reshape(2, 3)).ravel(), flat)


def test_hashed_bits_stay_what_they_are() -> None:
    """A seed in an old record has to give the same tokens for ever."""
    assert hash_noise(1234, 1, 2, 56, [0, 1, 49151]).tolist() == [3414413763, 655190802, 1361715702]


def test_choice_does_not_depend_on_earlier_choices() -> None:
    n = 1000
    logits = [normal_logits(n, i) for i in range(20)]
    sampling = Sampling(temperature=1.0, top_p=0.9)
    forward = Sampler(sampling, vocab_size=n, seed=9)
    backward = Sampler(sampling, vocab_size=n, seed=9)
    chosen = [forward.choose(logits[i], i) for i in range(20)]
    assert [backward.choose(logits[i], i) for i in reversed(range(20))] == chosen[::-1]


@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_a_path_counts_as_output(case: dict) -> None:
    sampler = make_sampler(case)
    along = sampler.choose(case["logits"], case["position"], case["path"], case["mask"])
    again = sampler.choose(case["logits"], case["position"], case["path"], case["mask"])
    sampler.advance(case["path"])
    after = sampler.choose(case["logits"], case["position"], (), case["mask"])
    assert along == again == after


def test_penalties_follow_vllm() -> None:
    logits = np.array([2.0, -2.0, 3.0, -1.0, 5.0], np.float32)
    sampling = Sampling(
        temperature=1.0, repetition_penalty=2.0, presence_penalty=0.5, frequency_penalty=0.25
    )
    sampler = Sampler(sampling, vocab_size=5, seed=0, prompt=[0, 1])
    sampler.advance([2, 3])
    x = sampler.processed(logits, path=[2])
    # In the prompt only: 2 / 2 and -2 * 2. Twice and once in the output: 3 / 2 - 2 * 0.25 - 0.5
    # and -1 * 2 - 0.25 - 0.5. Token 4 is new.
    np.testing.assert_allclose(x, np.array([1.0, -4.0, 0.5, -2.75, 5.0]) - 5.0)


def test_bias_comes_before_penalties() -> None:
    logits = np.array([-1.0, 0.0], np.float32)
    sampling = Sampling(temperature=1.0, repetition_penalty=2.0, logit_bias={0: 3.0})
    x = Sampler(sampling, vocab_size=2, seed=0, prompt=[0]).processed(logits)
    assert x.tolist() == [0.0, -1.0]


def test_filters_keep_the_lowest_id_of_ties() -> None:
    logits = np.zeros(40, np.float32)
    for sampling in (Sampling(temperature=1.0, top_k=3), Sampling(temperature=1.0, top_p=3 / 40)):
        x = Sampler(sampling, vocab_size=40, seed=0).processed(logits)
        assert np.flatnonzero(np.isfinite(x)).tolist() == [0, 1, 2]


def test_greedy_takes_the_lowest_id_of_ties() -> None:
    for n in (3, 300, 5000):
        logits = np.zeros(n, np.float32)
        logits[[n // 2, n - 1]] = 1.0
        assert Sampler(Sampling(), vocab_size=n, seed=0).choose(logits, 0) == n // 2


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1e-6),
        Sampling(temperature=5e-324),
        Sampling(temperature=5e-324, top_p=0.5),
        Sampling(temperature=1e-6, top_p=1 - 2**-53),
        Sampling(temperature=1.0, top_k=1),
        Sampling(temperature=1.0, top_p=1e-12),
        Sampling(temperature=1.0, min_p=1.0),
    ],
)
def test_limits_are_greedy(sampling: Sampling) -> None:
    logits = normal_logits(2000, 1)
    sampler = Sampler(sampling, vocab_size=2000, seed=3)
    assert {sampler.choose(logits, p) for p in range(20)} == {int(logits.argmax())}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 17, 299])
def test_logits_that_are_no_numbers(temperature: float, bad: float, place: int) -> None:
    logits = normal_logits(300)
    logits[place] = bad
    sampling = Sampling(temperature=temperature)
    sampler = Sampler(sampling, vocab_size=300, seed=0)
    hidden = pack_mask([t for t in range(300) if t != place], 300)
    for mask in (None, hidden):
        with pytest.raises(SamplingError, match="NaN or infinity"):
            sampler.choose(logits, 0, (), mask)
        with pytest.raises(SamplingError, match="NaN or infinity"):
            reference_choose(logits, sampling, seed=0, position=0, mask=mask)
    with pytest.raises(SamplingError, match="NaN or infinity"):
        logprob(logits, 1)
    with pytest.raises(SamplingError, match="NaN or infinity"):
        top(logits, 1)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_token_left(temperature: float) -> None:
    sampling = Sampling(temperature=temperature)
    sampler = Sampler(sampling, vocab_size=70, seed=0)
    with pytest.raises(SamplingError, match="No token is left"):
        sampler.choose(normal_logits(70), 0, (), pack_mask([], 70))
    with pytest.raises(SamplingError, match="No token is left"):
        sampler.choose(np.full(70, -np.inf, np.float32), 0)
    with pytest.raises(SamplingError, match="No token is left"):
        reference_choose(normal_logits(70), sampling, seed=0, position=0, mask=pack_mask([], 70))


@pytest.mark.parametrize("token", [0, 31, 32, 69])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_mask_of_one_token(token: int, temperature: float) -> None:
    sampling = Sampling(temperature=temperature, top_p=0.9)
    sampler = Sampler(sampling, vocab_size=70, seed=0)
    assert sampler.choose(normal_logits(70), 5, (), pack_mask([token], 70)) == token


def test_forks_share_history_and_nothing_else() -> None:
    sampling = Sampling(temperature=1.0, presence_penalty=5.0)
    sampler = Sampler(sampling, vocab_size=50, seed=8, prompt=[1])
    sampler.advance([2])
    fork = sampler.fork(3)
    draft = fork.with_stream(StreamId.DRAFT)
    assert (fork.seed, fork.index, fork.stream) == (8, 3, StreamId.TARGET)
    assert (draft.seed, draft.index, draft.stream) == (8, 3, StreamId.DRAFT)
    assert draft.sampling is sampling
    logits = normal_logits(50)
    np.testing.assert_array_equal(fork.processed(logits), sampler.processed(logits))
    fork.advance([4])
    assert fork.processed(logits)[4] < sampler.processed(logits)[4]
    np.testing.assert_allclose(draft.noise(7, range(50)), gumbel(hash_noise(8, 3, 1, 7, range(50))))


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="logit_bias names token 10, but the vocabulary has 10"):
        Sampler(Sampling(logit_bias={10: 1.0}), vocab_size=10, seed=0)
    with pytest.raises(UsageError, match="logit_bias of token 1 has to lie within"):
        Sampler(Sampling(logit_bias={1: 1e39}), vocab_size=10, seed=0)
    with pytest.raises(UsageError, match="Token 12 is outside the vocabulary"):
        Sampler(Sampling(repetition_penalty=1.1), vocab_size=10, seed=0, prompt=[12])
    with pytest.raises(UsageError, match="A seed has to lie"):
        Sampler(Sampling(), vocab_size=10, seed=-1)
    with pytest.raises(UsageError, match="at least one token"):
        Sampler(Sampling(), vocab_size=0, seed=0)
    sampler = Sampler(Sampling(), vocab_size=10, seed=0)
    with pytest.raises(UsageError, match="A row of 11 logits"):
        sampler.choose(normal_logits(11), 0)
    with pytest.raises(UsageError, match="A mask of 2 words"):
        sampler.choose(normal_logits(10), 0, (), pack_mask([1], 33))
    with pytest.raises(UsageError, match="Token -1 is outside"):
        sampler.choose(normal_logits(10), 0, [-1])
    with pytest.raises(UsageError, match="Token 10 is outside"):
        sampler.advance([10])
    with pytest.raises(UsageError, match="Token 10 is outside"):
        logprob(normal_logits(10), 10)
    with pytest.raises(UsageError, match="11 likeliest"):
        top(normal_logits(10), 11)
    with pytest.raises(UsageError, match="no sampling kernels named 'abacus'"):
        _native.use_sampling_kernels("abacus")


@pytest.mark.parametrize("n", [1, 7, 300, 49152])
@pytest.mark.parametrize("quantised", [False, True])
def test_log_probabilities(n: int, quantised: bool) -> None:
    logits = normal_logits(n)
    if quantised:
        logits = np.round(logits)
    if n > 1:
        logits[n // 3] = -np.inf
    x = logits.astype(np.float64)
    expected = x - x.max() - np.log(np.exp(x - x.max()).sum())
    for k in {1, min(n, 5), min(n, 300), min(n, 4000)}:
        ids, logprobs = top(logits, k)
        np.testing.assert_array_equal(ids, np.argsort(-x, kind="stable")[:k])
        np.testing.assert_allclose(logprobs, expected[ids], rtol=1e-13, atol=1e-13)
    for token in {0, n // 3, n - 1}:
        assert logprob(logits, token) == pytest.approx(expected[token], rel=1e-13, abs=1e-13)
    assert top(logits, 0)[0].size == 0


def test_kernels_give_the_same_bytes(kernel: str) -> None:
    logits = normal_logits(20_011)
    answers = set()
    for name in KERNELS:
        _native.use_sampling_kernels(name)
        ids, logprobs = top(logits, 500)
        sampler = Sampler(Sampling(temperature=0.8, top_p=0.99), vocab_size=20_011, seed=1)
        noise = sampler.noise(3, range(20_011))
        p = sampler.probabilities(logits)
        arrays = (
            ids,
            logprobs,
            noise,
            p,
            Sampler(Sampling(temperature=1.3), vocab_size=20_011, seed=1).probabilities(logits),
        )
        answers.add((*(array.tobytes() for array in arrays), sampler.draw(p, 9, 3)))
    _native.use_sampling_kernels(kernel)
    assert len(answers) == 1


def test_probabilities_sum_to_one() -> None:
    p = probabilities(normal_logits(500), Sampling(temperature=0.7, top_k=30, top_p=0.9))
    assert p.sum() == pytest.approx(1.0)
    assert 1 <= np.count_nonzero(p) <= 30
    greedy = probabilities(normal_logits(500), Sampling())
    assert greedy.max() == 1.0
    assert greedy.sum() == 1.0


def test_derived_seeds_are_distinct_and_stay_what_they_are() -> None:
    seeds = {derive_seed(1, i) for i in range(1000)}
    seeds |= {derive_seed(1, "probe", i) for i in range(1000)}
    seeds |= {derive_seed(1), derive_seed(2), derive_seed(1, "1"), derive_seed(1, 1, 1)}
    assert len(seeds) == 2004
    assert all(0 <= s < 2**64 for s in seeds)
    assert derive_seed(1, np.int64(5)) == derive_seed(1, 5)
    assert derive_seed(1, "probe", 5) == 9816837466593097224


def test_drawn_seeds_differ() -> None:
    seeds = {draw_seed() for _ in range(100)}
    assert len(seeds) == 100
    assert all(0 <= s < 2**53 for s in seeds)
