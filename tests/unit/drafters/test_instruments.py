"""The drafters to measure with: as often right as they are to be, and honest about it."""

from __future__ import annotations

import pytest
from lab.toy_model import toy_llm

from outrider.drafters.base import DraftEntry
from outrider.drafters.instruments import INSTRUMENTS, PerturbedDrafter, RandomDrafter
from outrider.engines.toy import ToyEngine
from outrider.errors import UsageError
from outrider.registry import load
from outrider.sampling import Sampler
from outrider.types import Sampling, Usage

PROMPTS = ("abcabc", "theQuick", "xyxy", "hello")


def accepted(drafter: str, temperature: float = 0.0) -> Usage:
    """What came of a drafter that drafts four tokens at every step."""
    with toy_llm() as llm:
        answers = [
            llm.generate(
                prompt,
                drafter=drafter,
                controller="fixed",
                num_draft_tokens=4,
                max_tokens=40,
                ignore_eos=True,
                temperature=temperature,
                seed=seed,
            )
            for seed, prompt in enumerate(PROMPTS)
        ]
        plain = [
            llm.generate(
                p,
                speculation=False,
                ignore_eos=True,
                max_tokens=40,
                temperature=temperature,
                seed=seed,
            )
            for seed, p in enumerate(PROMPTS)
        ]
    assert [a.tokens for a in answers] == [p.tokens for p in plain]
    assert all(a.usage.note is None for a in answers)
    return Usage(
        draft_tokens=sum(a.usage.draft_tokens for a in answers),
        accepted_tokens=sum(a.usage.accepted_tokens for a in answers),
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_without_noise_every_token_is_accepted(temperature: float) -> None:
    usage = accepted("perturbed:noise=0", temperature)

    assert usage.draft_tokens > 50
    assert usage.accepted_tokens == usage.draft_tokens


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_more_noise_is_less_agreement(temperature: float) -> None:
    rates = [
        accepted(f"perturbed:noise={noise}", temperature).acceptance_rate for noise in (0.2, 2, 50)
    ]

    assert rates[0] > rates[1] > rates[2]
    assert rates[2] < 0.2


def entry(seed: int, tokens: tuple[int, ...] = (1, 2, 3)) -> DraftEntry:
    sampler = Sampler(Sampling(), vocab_size=48, seed=seed)
    return DraftEntry(0, list(tokens), 2, sampler, max_nodes=4, max_depth=3)


def test_random_guesses_are_as_likely_as_they_say() -> None:
    drafter = RandomDrafter(ToyEngine())
    trees = drafter.draft([entry(seed) for seed in range(2000)])

    counts = [0] * 48
    for tree in trees:
        assert tree.parents == (-1, 0, 1)
        assert tree.probabilities == (1 / 48,) * 3
        counts[tree.tokens[0]] += 1
    # Each count is binomial: mean 42, standard deviation 6.4.
    assert min(counts) > 10
    assert max(counts) < 80
    assert drafter.draft([entry(7)]) == drafter.draft([entry(7)])


@pytest.mark.parametrize(("worth", "length"), [(0.0, 3), (1 / 48, 1), (1 / 48**2, 2), (0.5, 0)])
def test_random_guesses_end_where_they_are_not_worth_a_row(worth: float, length: int) -> None:
    asked = entry(0)
    asked.min_path_probability = worth

    (tree,) = RandomDrafter(ToyEngine()).draft([asked])

    assert len(tree) == length


def test_the_declared_cost_is_told_and_changes_nothing() -> None:
    drafter = PerturbedDrafter(ToyEngine(), noise=0.5, cost=0.25)

    assert drafter.facts == {"draft_noise": 0.5, "declared_draft_cost": 0.25}
    assert accepted("perturbed:noise=0.5,cost=0") == accepted("perturbed:noise=0.5,cost=9")


@pytest.mark.parametrize("options", ["noise=-1", "noise=nan", "cost=-0.1", "cost=inf"])
def test_sizes_that_are_none(options: str) -> None:
    with pytest.raises(UsageError, match="of the drafter 'perturbed' has to be a finite number"):
        load("drafters", f"perturbed:{options}")(ToyEngine())


def test_they_are_registered() -> None:
    assert [load("drafters", name) for name in INSTRUMENTS] == [PerturbedDrafter, RandomDrafter]
