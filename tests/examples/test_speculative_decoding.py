"""The example's algorithm, over everything that chance can do to it, and by simulation."""

from __future__ import annotations

import ast
import importlib.util
import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

SOURCE = Path(__file__).parents[2] / "examples" / "speculative_decoding.py"
Model = NDArray[np.float64]

TARGET = np.asarray([[0.5, 0.2, 0.3], [0.1, 0.0, 0.9], [0.25, 0.7, 0.05]])
NEAR = np.asarray([[0.2, 0.4, 0.4], [0.3, 0.3, 0.4], [0.5, 0.5, 0.0]])
FAR = np.asarray([[0.0, 1.0, 0.0], [0.6, 0.1, 0.3], [0.0, 0.1, 0.9]])


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("speculative_decoding", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def enumerate_outcomes(
    example: ModuleType, run: Callable[[], tuple[int, ...]]
) -> Iterator[tuple[tuple[int, ...], float]]:
    """What `run` gives for every sequence of draws that can happen, and its probability.

    All chance comes from `example.sample`. Each run follows a script of draws, then takes the
    first of what can be drawn and leaves the others as scripts for later runs.
    """
    scripts: list[tuple[int, ...]] = [()]
    while scripts:
        script = scripts.pop()
        drawn: list[int] = []
        chances: list[float] = []

        def sample(weights: Model, rng: object) -> int:
            share = weights / weights.sum()
            if len(drawn) < len(script):  # noqa: B023 - called within this round only
                index = script[len(drawn)]  # noqa: B023
            else:
                index, *others = np.flatnonzero(share).tolist()
                scripts.extend((*drawn, other) for other in others)  # noqa: B023
            drawn.append(index)  # noqa: B023
            chances.append(float(share[index]))  # noqa: B023
            return int(index)

        example.sample = sample
        yield run(), math.prod(chances)


def distribution_of(
    example: ModuleType, drafts: list[Model], count: int, **options: object
) -> dict[tuple[int, ...], float]:
    """The exact distribution of the first tokens."""
    outcomes: Counter[tuple[int, ...]] = Counter()
    for tokens, probability in enumerate_outcomes(
        example, lambda: tuple(example.generate(TARGET, drafts, count, None, **options)[0])
    ):
        outcomes[tokens] += probability  # type: ignore[assignment]
    return dict(outcomes)


def expected(count: int) -> dict[tuple[int, ...], float]:
    """The target's own distribution of the first tokens."""
    return {
        tokens: math.prod(TARGET[a, b] for a, b in zip((0, *tokens), tokens, strict=False))
        for tokens in product(range(3), repeat=count)
    }


@pytest.mark.parametrize(
    ("drafts", "count", "options"),
    [
        ([], 3, {"length": 0}),
        ([NEAR], 3, {"length": 1}),
        ([NEAR], 3, {"length": 2}),
        ([FAR], 3, {"length": 3}),
        ([TARGET], 2, {"length": 2}),
        ([NEAR, FAR], 2, {"length": 1}),
        ([FAR, NEAR], 2, {"length": 2}),
        ([NEAR, NEAR, FAR], 2, {"length": 1}),
        ([NEAR], 3, {"length": 2, "adaptive": True}),
    ],
)
def test_the_tokens_are_distributed_as_the_targets(
    example: ModuleType, drafts: list[Model], count: int, options: dict[str, object]
) -> None:
    found = distribution_of(example, drafts, count, **options)

    assert sum(found.values()) == pytest.approx(1.0)
    for tokens, probability in expected(count).items():
        assert found.get(tokens, 0.0) == pytest.approx(probability, abs=1e-12)


def test_a_threshold_changes_the_distribution(example: ModuleType) -> None:
    found = distribution_of(example, [NEAR], 1, length=1, threshold=0.3)
    assert found[(1,)] - TARGET[0, 1] == pytest.approx(0.2)

    # Whatever is guessed stands, so the tokens are the draft's.
    found = distribution_of(example, [NEAR], 1, length=1, threshold=0.0)
    assert found == {(token,): pytest.approx(NEAR[0, token]) for token in range(3)}


def test_a_threshold_that_nothing_reaches_leaves_the_target(example: ModuleType) -> None:
    found = distribution_of(example, [TARGET], 1, length=1, threshold=2.0)

    assert found == {(token,): pytest.approx(TARGET[0, token]) for token in range(3)}


def test_the_target_as_its_own_draft_is_always_right(example: ModuleType) -> None:
    rng = np.random.default_rng(1)

    tokens, passes, drafted, accepted = example.generate(TARGET, [TARGET], 100, rng, length=4)

    assert len(tokens) == 100
    assert passes == 20
    assert accepted == drafted == 80


def test_length_follows_acceptance(example: ModuleType) -> None:
    assert [example.next_length(4, recent) for recent in (0.4, 0.5, 0.8, 0.81)] == [3, 4, 4, 5]
    assert example.next_length(1, 0.0) == 1

    rng = np.random.default_rng(1)
    good = example.generate(TARGET, [TARGET], 500, rng, length=2, adaptive=True)
    bad = example.generate(TARGET, [FAR], 500, rng, length=6, adaptive=True)
    assert good[2] / good[1] > 4
    assert bad[2] / bad[1] < 3


def chi_square(target: Model, tokens: list[int]) -> tuple[float, float]:
    """Of the steps from token to token, and its degrees of freedom."""
    counts = np.zeros_like(target)
    np.add.at(counts, ([0, *tokens[:-1]], tokens), 1)
    wanted = counts.sum(axis=1, keepdims=True) * target
    return float(((counts - wanted) ** 2 / wanted).sum()), target.size - len(target)


def test_many_tokens_are_distributed_as_the_targets(example: ModuleType) -> None:
    rng = np.random.default_rng(3)
    target = rng.dirichlet(np.full(6, 3.0), size=6)
    drafts = [0.5 * target + 0.5 * rng.dirichlet(np.full(6, 3.0), size=6) for _ in range(2)]

    for models, options in (
        (drafts[:1], {"length": 4}),
        (drafts, {"length": 3}),
        (drafts, {"length": 5, "adaptive": True}),
    ):
        tokens, *_ = example.generate(target, models, 6_000, rng, **options)
        found, freedom = chi_square(target, tokens)
        assert found < freedom + 5 * math.sqrt(2 * freedom)  # its mean and standard deviation

    tokens, *_ = example.generate(target, drafts[:1], 6_000, rng, threshold=0.3)
    found, freedom = chi_square(target, tokens)
    assert found > freedom + 5 * math.sqrt(2 * freedom)


def test_it_runs_and_shows_every_variant(
    example: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    example.main(count=400)

    heading, *lines = capsys.readouterr().out.splitlines()
    assert " ".join(heading.split()) == "tokens a pass mean K accepted off by chance"
    assert len(lines) == 5
    assert [line for line in lines if "LOSSY" in line] == lines[-1:]
    assert max(map(len, [heading, *lines])) <= 80


def test_it_is_short_and_needs_numpy_alone() -> None:
    text = SOURCE.read_text(encoding="utf-8")

    assert len(text.splitlines()) < 150
    imported = {
        alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {"numpy"}
