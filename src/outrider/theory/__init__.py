"""The closed forms of speculative decoding; each names its equation and its paper.

Words, the same throughout:

- α, `alpha`: the probability that a drafted token is accepted, given that those before it were.
  It is not accepted / drafted, which also counts tokens behind a rejected one; `acceptance_rate`
  and `alpha_of_rate` turn one into the other.
- K, `length`: drafted tokens a pass. A pass over them has K + 1 rows.
- c: the time of drafting one token, in passes of the target over one row.
- v(M), `rows_cost`: the time of the target's pass over M rows, in passes over one row.
"""

from outrider.theory.acceptance import (
    AcceptanceCurves,
    acceptance_by_temperature,
    coupled_acceptance,
    coupled_bound,
    greedy_acceptance,
    independent_acceptance,
    recursive_acceptance,
    rejection_acceptance,
    total_variation,
)
from outrider.theory.scaling import (
    QUOTED_FACTOR,
    ComputeOptimal,
    optimal_for_flops,
    optimal_for_params,
)
from outrider.theory.speedup import (
    LONGEST,
    BestLength,
    BreakEven,
    RowsCost,
    acceptance_rate,
    alpha_of_rate,
    best_length,
    break_even,
    break_even_cost,
    expected_tokens,
    flat,
    lowest_break_even,
    rows_cost,
    speedup,
)
from outrider.theory.trees import (
    BestTree,
    best_nodes,
    best_subtree,
    best_tree,
    expected_tree_tokens,
)

__all__ = [
    "LONGEST",
    "QUOTED_FACTOR",
    "AcceptanceCurves",
    "BestLength",
    "BestTree",
    "BreakEven",
    "ComputeOptimal",
    "RowsCost",
    "acceptance_by_temperature",
    "acceptance_rate",
    "alpha_of_rate",
    "best_length",
    "best_nodes",
    "best_subtree",
    "best_tree",
    "break_even",
    "break_even_cost",
    "coupled_acceptance",
    "coupled_bound",
    "expected_tokens",
    "expected_tree_tokens",
    "flat",
    "greedy_acceptance",
    "independent_acceptance",
    "lowest_break_even",
    "optimal_for_flops",
    "optimal_for_params",
    "recursive_acceptance",
    "rejection_acceptance",
    "rows_cost",
    "speedup",
    "total_variation",
]
