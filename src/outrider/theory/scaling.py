"""How large a model, and on how many tokens, a budget of training compute is best spent.

Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models", arXiv:2203.15556: parameters
and tokens grow together, some 20 tokens a parameter. Training takes some 6 operations a parameter
and token (Kaplan et al. 2020, arXiv:2001.08361).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from outrider.errors import UsageError

FLOPS_PER_PARAM_AND_TOKEN: Final = 6.0
TOKENS_PER_PARAM: Final = 20.0

QUOTED_FACTOR: Final = 0.05
"""Of the often quoted N = 0.05·√C. It contradicts C = 6·N·D with D = 20·N, which give
N = √(C / 120) = 0.0913·√C; it would mean 67 tokens a parameter."""


@dataclass(frozen=True, slots=True)
class ComputeOptimal:
    """A training run that spends its compute best.

    Attributes:
        flops: C, floating-point operations.
        params: N, the model's parameters.
        tokens: D, the training tokens.
    """

    flops: float
    params: float
    tokens: float


def optimal_for_flops(flops: float) -> ComputeOptimal:
    """N = √(C / 120) and D = 20·N, from C = 6·N·D.

    Raises:
        UsageError: the compute is not a positive number.
    """
    _check_positive("Compute", flops)
    params = math.sqrt(flops / (FLOPS_PER_PARAM_AND_TOKEN * TOKENS_PER_PARAM))
    return ComputeOptimal(flops, params, TOKENS_PER_PARAM * params)


def optimal_for_params(params: float) -> ComputeOptimal:
    """D = 20·N and C = 6·N·D = 120·N².

    Raises:
        UsageError: the size is not a positive number.
    """
    _check_positive("The number of parameters", params)
    tokens = TOKENS_PER_PARAM * params
    return ComputeOptimal(FLOPS_PER_PARAM_AND_TOKEN * params * tokens, params, tokens)


def _check_positive(what: str, value: float) -> None:
    if not 0.0 < value < math.inf:
        raise UsageError(f"{what} has to be a positive number, not {value!r}.")
