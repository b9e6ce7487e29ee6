from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider import theory
from outrider.errors import UsageError


@given(flops=st.floats(1e15, 1e28))
def test_the_best_run_spends_the_compute_at_twenty_tokens_a_parameter(flops: float) -> None:
    best = theory.optimal_for_flops(flops)

    assert 6 * best.params * best.tokens == pytest.approx(flops)
    assert best.tokens == pytest.approx(20 * best.params)
    back = theory.optimal_for_params(best.params)
    assert (back.flops, back.tokens) == (pytest.approx(flops), pytest.approx(best.tokens))


def test_seventy_billion_parameters_are_best_trained_on_1_4_trillion_tokens() -> None:
    best = theory.optimal_for_params(70e9)

    assert best.tokens == 1.4e12
    assert best.flops == pytest.approx(5.88e23)


def test_the_quoted_factor_means_other_tokens_a_parameter() -> None:
    params = theory.QUOTED_FACTOR * math.sqrt(1e24)

    assert 1e24 / (6 * params) / params == pytest.approx(66.7, abs=0.1)
    assert theory.optimal_for_flops(1e24).params / math.sqrt(1e24) == pytest.approx(
        0.0913, abs=5e-5
    )


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_budgets_have_to_be_positive(value: float) -> None:
    with pytest.raises(UsageError, match="positive"):
        theory.optimal_for_flops(value)
    with pytest.raises(UsageError, match="positive"):
        theory.optimal_for_params(value)
